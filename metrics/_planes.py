"""What metrics share: a batch of grey images, with every quantity derived from it computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

from . import filters
from ._device import wide
from ._levels import Array, batch

T = TypeVar("T")


class Planes:
    """A batch of grey images and the quantities that several metrics need from it, computed once.

    Its levels are taken as they are: :func:`planes` is what looks at the images of users first.

    Args:
        x: ``[B,1,H,W]`` or ``[B,H,W]``, grey levels 0..255 of any type. Gradients are not tracked.

    Attributes:
        x: the images as ``[B,H,W]`` in float64, in which everything is computed: local variances of float32 would be
            rounding where an image is nearly flat.
        dtype: type of the values of a metric: float64, but float32 for images in float32 or a narrower float type.
        whole: whether they came as integers, so that no pixel can be NaN or infinite.

    Raises:
        ValueError: for any other shape.
    """

    def __init__(self, x: Tensor) -> None:
        if x.ndim == 4 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 3:
            raise ValueError(f"grey images are [B,1,H,W] or [B,H,W], got {list(x.shape)}")
        self.whole = not x.is_floating_point()
        self.dtype = torch.float64 if self.whole or x.dtype == torch.float64 else torch.float32
        self.x = x.detach().double()
        self._cache: dict[Hashable, object] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` gave the first time `key` was asked for."""
        if key not in self._cache:
            self._cache[key] = compute()
        return cast(T, self._cache[key])  # one key stands for one quantity, and so for one type

    def with_source(self, source: Planes, key: Hashable, compute: Callable[[], T]) -> T:
        """Like :meth:`once`, for a quantity of this (fused) batch and one source."""
        # the source goes with the value, so that its id is not used again
        return self.once(("with", key, id(source)), lambda: (source, compute()))[1]

    def finite(self) -> Tensor:
        """Which images have no NaN and no infinite pixel, ``[B]``."""
        return self.once("finite", lambda: self.x.amin((-2, -1)).isfinite() & self.x.amax((-2, -1)).isfinite())

    def undefined(self) -> Tensor:
        """NaN for every image, ``[B]``."""
        return self.x.new_full((self.x.shape[0],), torch.nan)

    def smaller(self, n: int) -> bool:
        """Whether the images are too small for a metric that needs `n` rows and `n` columns."""
        return min(self.x.shape[-2:]) < n

    def unit(self) -> Planes:
        """The same images with levels 0..1."""
        return self.once("unit", lambda: Planes(self.x / 255))

    def stretched(self) -> Tensor:
        """Min-max rescaled to 0..255 per image and rounded, halves up, as the Chen, Chen-Blum and Hossny programs do.

        ``[B,H,W]``. An image of one level has no range: NaN, but all black stays black.
        """

        def compute() -> Tensor:
            x = self.x
            low, high = x.amin((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True)
            unit = (x - low).div_(torch.where((low == 0) & (high == 0), 1.0, high - low))
            return unit.mul_(255).add_(0.5).floor_()

        return self.once("stretched", compute)

    def spectrum(self) -> Tensor:
        """Half spectrum of :meth:`stretched`, ``[B,H,W//2+1]``."""

        def compute() -> Tensor:
            spectrum: Tensor = torch.fft.rfft2(self.stretched())
            return spectrum

        return self.once("spectrum", compute)

    def levels(self, kind: str = "raw") -> Tensor:
        """Grey levels as integers ``[B,H*W]``, 0..255.

        `kind`: ``raw`` (rounded) or ``stretched`` (of :meth:`stretched`; one level only: 0).
        """

        def compute() -> Tensor:
            x = self.stretched().nan_to_num(0) if kind == "stretched" else self.x.round()
            if not self.whole:
                x = x.nan_to_num_(0)  # no level; the metric has no value then
            return x.clamp_(0, 255).to(torch.int64).flatten(1)

        if kind not in ("raw", "stretched"):
            raise ValueError(f"levels are raw or stretched, got {kind!r}")
        return self.once(("levels", kind), compute)

    def histogram(self, kind: str = "raw") -> Tensor:
        """Shares of the 256 grey levels, ``[B,256]``."""
        return self.once(("histogram", kind), lambda: _shares(self.levels(kind), 256))

    def entropy(self, kind: str = "raw") -> Tensor:
        """Entropy of the grey levels in nats, ``[B]``."""
        return self.once(("entropy", kind), lambda: entropy(self.histogram(kind)))

    def mutual_information(self, source: Planes, kind: str = "raw", top: int = 255) -> Tensor:
        """I(source; this) of the 256 x 256 joint histogram in nats, ``[B]``.

        `top`: the joint histogram, but not the two single ones, counts the levels above it as `top`.
        """

        def compute() -> Tensor:
            x, y = (p.levels(kind) if top == 255 else p.levels(kind).clamp(max=top) for p in (source, self))
            joint = _shares(torch.add(y, x, alpha=256), 65536)
            return source.entropy(kind) + self.entropy(kind) - entropy(joint)

        return self.with_source(source, ("mutual information", kind, top), compute)

    def centred(self) -> tuple[Tensor, Tensor]:
        """The images less their means ``[B,H*W]``, and the sum of squares of that ``[B]``."""

        def compute() -> tuple[Tensor, Tensor]:
            x = centred(self.x.flatten(1))
            return x, x.square().sum(-1)

        return self.once("centred", compute)

    def squared_error(self, source: Planes) -> Tensor:
        """Mean squared difference from a source, ``[B]``."""
        return self.with_source(source, "squared error", lambda: (self.x - source.x).square().mean((-2, -1)))

    def edges(self, by_columns: bool = False) -> tuple[Tensor, Tensor]:
        """Sobel magnitude, and direction atan(y/x) in (-pi/2, pi/2], pi/2 where x is 0; zero border.

        y points up, which matters because pi/2 and -pi/2 are not taken for the same direction. `by_columns`: sum in
        the order of MATLAB's ``conv2``; of no consequence for integer levels.
        """

        def compute() -> tuple[Tensor, Tensor]:
            if by_columns:
                sx, sy = (s.mT.contiguous() for s in reversed(filters.sobel(self.x.mT)))
            else:
                sx, sy = filters.sobel(self.x)
            return polar(sx, sy)

        return self.once(("edges", by_columns), compute)

    def sobel(self, border: str = "zero") -> tuple[Tensor, Tensor]:
        """Horizontal and vertical Sobel responses, see :func:`filters.sobel`."""
        return self.once(("sobel", border), lambda: filters.sobel(self.x, border))

    def window(self, kind: str, product: Planes | None = None) -> Tensor:
        """Windowed mean of these images (of their product with `product`'s), one value per window position.

        `kind`: ``uniform7`` and ``gauss11`` (sigma 1.5) over full windows only, ``gauss11-replicate`` at every pixel,
        with the edge pixels repeated beyond the border.
        """

        def compute() -> Tensor:
            x = self.x if product is None else self.x * product.x
            if kind == "uniform7":
                return filters.box(x, 7)
            taps = filters.gaussian(11, 1.5, x.dtype, x.device)
            return filters.separable(x, taps, "replicate" if kind == "gauss11-replicate" else "valid")

        if product is None or product is self:
            return self.once(("window", kind, product is None), compute)
        return self.with_source(product, ("window", kind), compute)


def polar(sx: Tensor, sy: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and direction of Sobel responses, see :meth:`Planes.edges`."""
    strength = (sx.square() + sy.square()).sqrt_()  # equal for equal responses, which hypot need not be
    return strength, torch.atan(sy / -sx).masked_fill_(sx == 0, torch.pi / 2)


def entropy(shares: Tensor, dim: int = -1) -> Tensor:
    """Entropy in nats of the distributions along one dimension."""
    terms: Tensor = torch.special.entr(shares)
    return terms.sum(dim)


def _shares(codes: Tensor, bins: int) -> Tensor:
    """Relative frequency of every code ``0..bins-1`` in each row, ``[B,bins]`` in float64."""
    rows, n = codes.shape
    if wide(codes):
        return _counted_apart(codes, bins).double() / n
    if rows > 1:
        codes = codes + torch.arange(rows, device=codes.device)[:, None] * bins
    return torch.bincount(codes.flatten(), minlength=rows * bins).view(rows, bins).double() / n


def _counted_apart(codes: Tensor, bins: int) -> Tensor:
    """Counts ``[B,bins]`` without waiting for the device, as bincount would, to learn the largest code.

    Neighbours, who are often alike, count in places of their own beside each other, so that they do not wait for one
    another; these are summed afterwards. 64-bit places for 32 images: 4 MiB of 256 bins, 64 MiB of 65,536.
    """
    rows, n = codes.shape
    lanes = 64 if bins <= 1024 else 4
    place = torch.arange(n, device=codes.device).remainder_(lanes)
    place = place + torch.arange(rows, device=codes.device)[:, None] * (bins * lanes)
    counts = codes.new_zeros(rows * bins * lanes)
    one = codes.new_ones(()).expand(rows * n)  # takes no memory
    counts.scatter_add_(0, place.add_(codes, alpha=lanes).flatten(), one)
    return counts.view(rows, bins, lanes).sum(-1)


def centred(x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows ``[B,N]`` less their means; one that varies by no more than the rounding of levels to `dtype` becomes 0."""
    spread = x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)
    return torch.where(spread <= 1024 * torch.finfo(dtype).eps, 0, x - x.mean(-1, keepdim=True))


Images = Tensor | Array | Planes


def planes(x: Images, levels: float | None = None) -> Planes:
    """Wrap a batch of images, see :func:`fusionbench.metrics._levels.batch` for what is taken; pass `Planes` through.

    Args:
        x: ``[B,1,H,W]``, ``[B,H,W]`` or ``[H,W]``, a tensor or an array, levels 0..255.
        levels: the white level of images in a float type, 1 or 255; None: 255, but what looks like 0..1 is refused.

    Raises:
        TypeError: no tensor or array of numbers.
        ValueError: another shape, or levels outside the range.
    """
    return x if isinstance(x, Planes) else Planes(batch(x, levels))


def aligned(fused: Images, ir: Images, vis: Images, levels: float | None = None) -> tuple[Planes, Planes, Planes]:
    """Wrap the three images of a metric, each as :func:`planes` does, and check that they have one shape.

    Raises:
        TypeError: one of them is no tensor or array of numbers.
        ValueError: when the shapes differ, or as :func:`planes` does.
    """
    wrapped = []
    for role, x in (("fused", fused), ("ir", ir), ("vis", vis)):
        try:
            wrapped.append(planes(x, levels))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{role}: {error}") from None
    f, a, b = wrapped
    if not f.x.shape == a.x.shape == b.x.shape:
        shapes = [list(p.x.shape) for p in (f, a, b)]
        raise ValueError(f"fused, ir and vis differ in shape: {shapes[0]}, {shapes[1]}, {shapes[2]}")
    return f, a, b


class Metric(Protocol):
    """A metric as it is called: one value for each image of a batch.

    Args:
        fused: fused images, ``[B,1,H,W]``, ``[B,H,W]`` or ``[H,W]``, a tensor or an array, levels 0..255.
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        levels: the white level of images in a float type, 1 or 255; None: 255, but what looks like 0..1 is refused.
        **options: the metric's own.
    """

    def __call__(
        self,
        fused: Images,
        ir: Images,
        vis: Images,
        *,
        levels: float | None = None,
        **options: bool | int | float | str,
    ) -> Tensor:
        """The values, ``[B]``."""
        ...


def per_image(function: Callable[..., Tensor]) -> Metric:
    """Make a metric of aligned images give one value for each, whatever they hold.

    The metric is called with three :class:`Planes`, whatever images its caller has, see :class:`Metric`. Where a pixel
    of one of the three images is NaN or infinite the value is NaN, whether the metric looks at that image or not. An
    empty batch has no values, an image without pixels has NaN. The values get the type of the fused images, see
    :attr:`Planes.dtype`.
    """

    if "levels" in (getattr(function, "__kwdefaults__", None) or {}):
        raise TypeError(f"{function.__name__}: per_image adds `levels` to a metric; give its own option another name")

    @wraps(function)
    def metric(
        fused: Images,
        ir: Images,
        vis: Images,
        *,
        levels: float | None = None,
        **options: bool | int | float | str,
    ) -> Tensor:
        f, a, b = aligned(fused, ir, vis, levels)
        if not f.x.numel():  # the options are looked at all the same
            black = Planes(f.x.new_zeros(1, *(max(n, 1) for n in f.x.shape[1:])))
            return function(black, black, black, **options).new_full((f.x.shape[0],), torch.nan).to(f.dtype)
        value = function(f, a, b, **options)
        for p in (f, a, b):
            if not p.whole:
                value = value.masked_fill(~p.finite(), torch.nan)
        return value.to(f.dtype)

    return metric


def combined(ir: Tensor, vis: Tensor, aggregate: str, low: float = -torch.inf, high: float = torch.inf) -> Tensor:
    """The scores against the two sources as one: their ``mean`` or ``sum``.

    `low` and `high` bound a single score; what rounding puts beyond them is cut off.

    Raises:
        ValueError: for any other `aggregate`.
    """
    if aggregate not in ("mean", "sum"):
        raise ValueError(f"aggregate is mean or sum, got {aggregate!r}")
    total = (ir + vis).clamp(2 * low, 2 * high)
    return total / 2 if aggregate == "mean" else total
