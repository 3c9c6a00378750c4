"""FMI: mutual information of image features in small windows, after Haghighat's Fast-FMI."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._planes import Planes, aligned, entropy, per_image
from ._stateful import MeanOverImages

FEATURES = ("pixel", "gradient", "dct")
CELLS = 9
TINY = 1e-300


@per_image
def fmi(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, feature: str = "gradient") -> Tensor:
    """Feature mutual information, ``mean over windows and sources of 2 I(X; F) / (H(X) + H(F))``.

    Every 3 x 3 window of the feature image, min-max rescaled and divided by its sum, is taken for a distribution over
    its 9 pixels, with cumulative sums X and F. Nelsen's joint distribution is ``phi J + (1 - phi) p_X p_F``, where J is
    the Frechet bound of correlation's sign (upper: the increments of min(X_i, F_j)) and phi the correlation of p_X
    and p_F over that of J. A window equal in both images counts 1, one that is flat in just one image, or in both on
    different levels, 0.

    From 0 up, at most 1 but for windows where phi > 1, so that the joint is no distribution (a bright pixel on dark
    noise; up to 3.4 seen); higher is better. Haghighat, Aghagolzadeh and Seyedarabi, Computers and Electrical
    Engineering 37(5), 2011; Haghighat and Razian, AICT 2014.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 3 x 3 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        feature: ``pixel`` (the levels), ``gradient`` (central difference along the rows) or ``dct`` (of the image).

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `feature`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> fmi(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.2714], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if feature not in FEATURES:
        raise ValueError(f"feature is one of {', '.join(FEATURES)}, got {feature!r}")
    if f.smaller(3):
        return f.undefined()
    x, y, z = (_feature(p, feature) for p in (f, a, b))
    return ((_shared(x, y) + _shared(x, z)) / 2).clamp(min=0)


def _feature(p: Planes, feature: str) -> Tensor:
    def compute() -> Tensor:
        x = p.x
        if feature == "gradient":
            along: Tensor = torch.gradient(x, dim=-1)[0]
            return along
        if feature == "dct":
            flat = x.amin((-2, -1), keepdim=True) == x.amax((-2, -1), keepdim=True)
            x = dct(dct(x).transpose(-2, -1)).transpose(-2, -1)
            mean = x[:, :1, :1].clone()
            x = x.masked_fill_(flat, 0)  # of rounding
            x[:, :1, :1] = mean
        return x

    return p.once(("fmi", feature), compute)


def dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II along the last axis, from one FFT of its length."""
    n = x.shape[-1]
    k = torch.arange(n, dtype=x.dtype, device=x.device) * (-math.pi / (2 * n))
    spectrum: Tensor = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    out = (spectrum.real * k.cos() - spectrum.imag * k.sin()) * math.sqrt(2 / n)
    out[..., 0] /= math.sqrt(2)
    return out


def _shared(x: Tensor, y: Tensor) -> Tensor:
    """Normalised information averaged over the windows, ``[B]``; in tiles, on a CPU of the size of its cache."""
    h, w = x.shape[-2:]
    tile = 2048 if x.device.type == "cpu" else 2**18
    images = max(1, tile // ((h - 2) * (w - 2)))
    rows = max(1, tile // (images * (w - 2)))
    totals = []
    for u, v in zip(torch.split(x, images), torch.split(y, images), strict=True):
        tiles = [_windows(*(_cells(t[:, r : r + rows + 2]) for t in (u, v))) for r in range(0, h - 2, rows)]
        totals.append(torch.cat(tiles, -1).mean(-1))
    return torch.cat(totals)


def _cells(x: Tensor) -> Tensor:
    """All 3 x 3 windows, down their columns, ``[9,B,N]``."""
    h, w = x.shape[-2] - 2, x.shape[-1] - 2
    return torch.stack([x[:, i : i + h, j : j + w].flatten(1) for j in range(3) for i in range(3)])


def _windows(x: Tensor, y: Tensor) -> Tensor:
    """``2 I / (H + H)`` of windows ``[9,B,N]``."""
    same = (x == y).all(0)
    p, flat_x = _distribution(x)
    q, flat_y = _distribution(y)
    c = ((p - 1 / CELLS) * (q - 1 / CELLS)).sum(0)
    c = c / ((p - 1 / CELLS).square().sum(0) * (q - 1 / CELLS).square().sum(0)).sqrt()
    c = c.masked_fill(flat_x | flat_y, 0)
    q = torch.where(c < 0, q.flip(0), q)  # turns the lower bound into the upper one
    i = torch.arange(1, CELLS + 1, dtype=x.dtype, device=x.device)[:, None, None]
    mean_x, mean_y = (i * p).sum(0), (i * q).sum(0)
    spread = ((i * i * p).sum(0) - mean_x**2) * ((i * i * q).sum(0) - mean_y**2)
    edge = torch.zeros_like(p[:1])
    cx, cy = torch.cat([edge, p]).cumsum(0), torch.cat([edge, q]).cumsum(0)
    least = torch.minimum(cx[:, None], cy)  # [10,10,B,N], the first row and column 0
    bound = least.sum((0, 1)) - cx.sum(0) * cy.sum(0)
    phi = c.abs() * spread.clamp(min=0).sqrt() / bound
    phi = torch.where((c == 0) | (spread <= 0) | (bound == 0), 0, phi)
    joint = least[1:] - least[:-1]
    joint = (joint[:, 1:] - joint[:, :-1]).mul_(phi)
    joint.add_(((1 - phi) * p)[:, None] * q)
    logs = torch.addcmul(edge + TINY, joint, joint).log_()
    h, h_joint = entropy(p, 0) + entropy(q, 0), logs.mul_(joint).sum((0, 1)) / -2
    return torch.where(same, 1, torch.where(h == 0, 0, 2 * (h - h_joint) / h))


def _distribution(x: Tensor) -> tuple[Tensor, Tensor]:
    low, high = x.amin(0), x.amax(0)
    flat = low == high
    unit = torch.where(flat, 1, (x - low) / (high - low))
    return unit / unit.sum(0), flat


class FMI(MeanOverImages):
    """Mean of :func:`fmi` over images."""

    function = staticmethod(fmi)
