"""VIF: visual information fidelity in the pixel domain, against both sources."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages
from .filters import gaussian, separable

NOISE = 2.0  # variance of the visual noise, for levels 0..255
EPS = 1e-10
TAPS = (17, 9, 5, 3)


@per_image
def vif(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    aggregate: str = "mean",
    unit: bool = False,
    saturate: bool = False,
    kernel: str = "centred",
) -> Tensor:
    """Pixel-domain visual information fidelity of the fused image with each source as the reference.

    On four scales (Gaussian windows of 17, 9, 5, 3 taps, sigma a fifth of that, full windows only; each next scale
    smoothed by its window and decimated by 2), with local variances s_X, s_F and covariance s_XF,
    ``g = s_XF / s_X``, ``s_V = s_F - g s_XF`` (``g = 0``, ``s_V = s_F`` where g < 0), and
    ``VIF_X = sum log(1 + g^2 s_X / (s_V + 2)) / sum log(1 + s_X / 2)``.

    From 0 up, 1 for a copy of the source, above it for one with more contrast; higher is better. NaN where a source
    is flat. Sheikh and Bovik, IEEE Trans. Image Processing 15(2), 2006, eqs. (7)-(16); pixel form: their program
    ``vifp_mscale``. This is not the wavelet VIF, nor VIFF.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 41 x 41 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        aggregate: ``mean`` or ``sum`` of the two.
        unit: bring the levels to 0..1 first, as some callers do; the noise stays 2.
        saturate: clip the products of levels at 255 on the first scale, as MATLAB's uint8 arithmetic does.
        kernel: ``centred``, or ``ivif_zoo``: that port's off-centre taps, over zero-padded images.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `aggregate` or `kernel`.

    Example:
        >>> ir = (torch.arange(2304) * 29 % 256).view(1, 48, 48)
        >>> vif(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.0682], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if kernel not in ("centred", "ivif_zoo"):
        raise ValueError(f"kernel is centred or ivif_zoo, got {kernel!r}")
    if f.smaller(41):
        return f.undefined()
    if unit:
        f, a, b = f.unit(), a.unit(), b.unit()
    form = (saturate, kernel)
    return combined(_fidelity(f, a, form), _fidelity(f, b, form), aggregate)


def _fidelity(f: Planes, source: Planes, form: tuple[bool, str]) -> Tensor:
    def compute() -> Tensor:
        parts = (_channel(f, source, form, scale) for scale in range(len(TAPS)))
        seen = [(power / (rest + NOISE)).log1p_().sum((-2, -1)) for _, power, rest in parts]
        return torch.stack(seen).sum(0) / source.once(("vif information", form), lambda: _information(source, form))

    return f.with_source(source, ("vif", form), compute)


def _channel(f: Planes, source: Planes, form: tuple[bool, str], scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gain g from source to fused image, ``g^2 s_X`` and s_V in every window of a scale; VIFF's too."""

    def compute() -> tuple[Tensor, Tensor, Tensor]:
        n, (x, mx, sx), (y, my, sy) = TAPS[scale], _scales(source, form)[scale], _scales(f, form)[scale]
        product = x * y
        if form[0] and scale == 0:
            product.clamp_(max=255)
        sxy = _smooth(product, n, form[1]).addcmul_(mx, my, value=-1)
        g = sxy.clamp(min=0).div_(sx + EPS).mul_(sx.sign()).mul_(sy.sign())  # 0 where either is flat
        return g, (g * g).mul_(sx), torch.addcmul(sy, g, sxy, value=-1).clamp_(min=EPS)

    return f.with_source(source, ("vif channel", form, scale), compute)


def _information(p: Planes, form: tuple[bool, str]) -> Tensor:
    return torch.stack([(s / NOISE).log1p_().sum((-2, -1)) for _, _, s in _scales(p, form)]).sum(0)


def _scales(p: Planes, form: tuple[bool, str]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Image, local mean and local variance on every scale."""
    saturate, kernel = form

    def compute() -> list[tuple[Tensor, Tensor, Tensor]]:
        x, out = p.x, []
        for n in TAPS:
            if n < 17:
                x = _smooth(x, n, kernel, stride=2)
            square = x.square()
            if saturate and n == 17:
                square.clamp_(max=255)
            mean = _smooth(x, n, kernel)
            variance = torch.addcmul(_smooth(square, n, kernel), mean, mean, value=-1)
            out.append((x, mean, torch.threshold_(variance, EPS, 0)))
        return out

    return p.once(("vif scales", form), compute)


def _smooth(x: Tensor, n: int, kernel: str, stride: int = 1) -> Tensor:
    if kernel == "centred":
        return separable(x, gaussian(n, n / 5, x.dtype, x.device), stride=stride)
    t = torch.linspace(-n // 2, n // 2, n, dtype=x.dtype, device=x.device)  # -9..8 for 17 taps
    k = torch.exp(-t.square() / (2 * (n / 5) ** 2))
    return separable(x, k / k.sum(), "zero", stride=stride)


class VIF(MeanOverImages):
    """Mean of :func:`vif` over images."""

    function = staticmethod(vif)
