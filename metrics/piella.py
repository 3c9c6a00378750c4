"""Qs, Qw and Qe: the fusion quality indices of Piella and Heijmans."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from .filters import box

INDICES = {"ssim": 11, "uqi": 8}


@per_image
def qs(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, index: str = "ssim") -> Tensor:
    """Fusion quality index ``mean(l q(ir,f) + (1-l) q(vis,f))``, ``l = var(ir) / (var(ir) + var(vis))`` per window.

    l is 1/2 where both sources are flat. -1 to 1; higher is better.
    Piella and Heijmans, IEEE Int. Conf. Image Processing 2003.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``); NaN if smaller than the window.
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        index: q and its window. ``uqi``: the universal quality index of the paper, in 8 x 8 windows as Wang and Bovik
            have them. ``ssim``: SSIM in 11 x 11 Gaussian windows, sigma 1.5, L = 255, as Liu et al. 2012.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `index`.

    Example:
        >>> ir = (torch.arange(256) * 29 % 256).view(1, 16, 16)
        >>> qs(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.4741], dtype=torch.float64)
    """
    f, a, b = _ready(fused, ir, vis, index)
    if f.smaller(INDICES[index]):
        return f.undefined()
    return _local(f, a, b, index)[0].mean((-2, -1)).clamp(-1, 1)


@per_image
def qw(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, index: str = "ssim") -> Tensor:
    """Weighted fusion quality index: the windows of :func:`qs` weighted with ``max(var(ir), var(vis))``.

    -1 to 1, NaN where both sources are flat all over; higher is better. Arguments and errors as for :func:`qs`.

    Example:
        >>> ir = (torch.arange(256) * 29 % 256).view(1, 16, 16)
        >>> qw(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.4736], dtype=torch.float64)
    """
    return _weighted(index, *_ready(fused, ir, vis, index))


@per_image
def qe(
    fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, index: str = "ssim", alpha: float = 1
) -> Tensor:
    """Edge-dependent fusion quality index ``Qw(images) * Qw(edge images)^alpha``.

    The edge images are Prewitt magnitudes, zeros beyond the border. -1 to 1; higher is better. Arguments and errors
    as for :func:`qs`.

    Example:
        >>> ir = (torch.arange(256) * 29 % 256).view(1, 16, 16)
        >>> qe(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.0475], dtype=torch.float64)
    """
    images = _ready(fused, ir, vis, index)
    return _weighted(index, *images) * _weighted(index, *map(_edges, images)) ** alpha


def _ready(
    fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, index: str
) -> tuple[Planes, Planes, Planes]:
    if index not in INDICES:
        raise ValueError(f"index is ssim or uqi, got {index!r}")
    return aligned(fused, ir, vis)


def _weighted(index: str, f: Planes, a: Planes, b: Planes) -> Tensor:
    if f.smaller(INDICES[index]):
        return f.undefined()
    quality, weight = _local(f, a, b, index)
    return ((quality * weight).sum((-2, -1)) / weight.sum((-2, -1))).clamp(-1, 1)


def _edges(p: Planes) -> Planes:
    def compute() -> Planes:
        q = nnf.pad(p.x, (1, 1, 1, 1))
        across, down = q[..., 2:] - q[..., :-2], q[..., 2:, :] - q[..., :-2, :]
        across = across[:, :-2] + across[:, 1:-1] + across[:, 2:]
        down = down[..., :-2] + down[..., 1:-1] + down[..., 2:]
        return Planes((across * across).addcmul_(down, down).sqrt_())

    return p.once("prewitt", compute)


def _mean(p: Planes, index: str, product: Planes | None = None) -> Tensor:
    if index == "ssim":
        return p.window("gauss11", product)
    return box(p.x if product is None else p.x * product.x, 8)  # exact for 8-bit images


def _moments(p: Planes, index: str) -> tuple[Tensor, Tensor]:
    """Local mean and variance; a variance of rounding's size is 0."""

    def compute() -> tuple[Tensor, Tensor]:
        mean = _mean(p, index)
        variance = torch.addcmul(_mean(p, index, p), mean, mean, value=-1)
        return mean, torch.threshold_(variance, 1e-8, 0)

    return p.once(("piella", index), compute)


def _quality(f: Planes, source: Planes, index: str) -> Tensor:
    (mf, sf), (mx, sx) = _moments(f, index), _moments(source, index)
    means, squares, spread = mf * mx, (mf * mf).addcmul_(mx, mx), sf + sx
    covariance = _mean(f, index, source) - means
    if index == "ssim":
        c1, c2 = 2.55**2, 7.65**2
        return means.mul_(2).add_(c1).mul_(covariance.mul_(2).add_(c2)).div_(squares.add_(c1).mul_(spread.add_(c2)))
    luminance = torch.where(squares == 0, 1.0, 2 * means / squares)
    return torch.where(spread == 0, 1.0, 2 * covariance / spread).mul_(luminance)


def _local(f: Planes, a: Planes, b: Planes, index: str) -> tuple[Tensor, Tensor]:
    """The mixed quality and the weight of every window."""

    def compute() -> tuple[Tensor, Tensor]:
        (_, sa), (_, sb) = _moments(a, index), _moments(b, index)
        return (sa / (sa + sb)).nan_to_num_(0.5), torch.maximum(sa, sb)

    share, weight = b.with_source(a, ("piella", index), compute)

    def mixed() -> tuple[Tensor, Planes]:  # b goes with the value, so that its id is not used again
        return torch.lerp(_quality(f, b, index), _quality(f, a, index), share), b

    return f.with_source(a, ("piella", index, id(b)), mixed)[0], weight


class QS(MeanOverImages):
    """Mean of :func:`qs` over images."""

    function = staticmethod(qs)


class QW(MeanOverImages):
    """Mean of :func:`qw` over images."""

    function = staticmethod(qw)


class QE(MeanOverImages):
    """Mean of :func:`qe` over images."""

    function = staticmethod(qe)
