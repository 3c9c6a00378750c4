"""Guided filtering fusion.

Li, Kang, Hu, "Image Fusion With Guided Filtering", IEEE Trans. Image Processing 22(7), 2013. Both images are split in
a base (mean over 31x31) and details. Saliency is the blurred magnitude of the Laplacian; the image with the larger
one owns the pixel, and a guided filter with the image itself as guide makes smooth weights of these maps, wide ones
for the bases and narrow ones for the details. Window means of the guided filter count only pixels of the image; the
other filters repeat the border. Computed in float64: with eps 1e-6 window variances need the digits.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import correlated

SIGMA = 5  # of the Gaussian that blurs the saliency; also its radius in pixels
_BELL = [math.exp(-(n**2) / (2 * SIGMA**2)) for n in range(-SIGMA, SIGMA + 1)]
TAPS = [tap / sum(_BELL) for tap in _BELL]


def _padded(x: Tensor, radius: int) -> Tensor:
    return F.pad(x, (radius,) * 4, mode="replicate")


def _window_sums(x: Tensor, radius: int, dim: int) -> Tensor:
    """Sums over 2*radius+1 neighbours along one axis, as far as they lie inside: differences of running sums."""
    size = x.shape[dim]
    radius = min(radius, size)
    running = torch.cumsum(x, dim)
    last = running.narrow(dim, size - 1, 1).expand_as(x.narrow(dim, 0, radius))
    total = torch.cat((running.narrow(dim, radius, size - radius), last), dim)
    if (rest := size - radius - 1) > 0:
        total.narrow(dim, radius + 1, rest).sub_(running.narrow(dim, 0, rest))
    return total


def _window_counts(size: int, radius: int, like: Tensor) -> Tensor:
    """Number of the 2*radius+1 neighbours that lie inside, along one axis."""
    position = torch.arange(size, device=like.device)
    return ((position + radius).clamp(max=size - 1) - (position - radius).clamp(min=0) + 1).to(like.dtype)


def window_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the part of the (2*radius+1)^2 window that lies inside the image; ``[B,1,H,W]`` in float64."""
    total = _window_sums(_window_sums(x, radius, -1), radius, -2)
    counts = _window_counts(x.shape[-2], radius, x)[:, None] * _window_counts(x.shape[-1], radius, x)
    return total.div_(counts)


def guided_filter(guide: Tensor, x: Tensor, radius: int, eps: float) -> Tensor:
    """Edge-preserving smoothing of ``x`` under a grey guide (He, Sun, Tang, PAMI 2013)."""
    mean_g, mean_x = window_mean(guide, radius), window_mean(x, radius)
    covariance = window_mean(guide * x, radius) - mean_g * mean_x
    variance = window_mean(guide * guide, radius) - mean_g * mean_g
    a = covariance / (variance + eps)
    b = mean_x - a * mean_g
    return window_mean(a, radius) * guide + window_mean(b, radius)


def saliency(x: Tensor) -> Tensor:
    """Magnitude of the 4-neighbour Laplacian, blurred with a normalised Gaussian of 11x11, sigma 5."""
    around = _padded(x, 1)
    above, below = around[..., :-2, 1:-1], around[..., 2:, 1:-1]
    high = (above + around[..., 1:-1, :-2]).sub_(x, alpha=4).add_(around[..., 1:-1, 2:]).add_(below).abs_()
    return correlated(correlated(_padded(high, SIGMA), TAPS, -1), TAPS, -2)


class GFF(Method):
    """Two scales, weights by guided filtering."""

    def __init__(self, r1: int = 45, eps1: float = 0.3, r2: int = 7, eps2: float = 1e-6, base: int = 31) -> None:
        super().__init__(r1=r1, eps1=eps1, r2=r2, eps2=eps2, base=base)
        if base < 1 or base % 2 == 0 or min(r1, r2) < 1 or min(eps1, eps2) <= 0:
            raise ValueError(f"gff: needs r1, r2 >= 1, eps1, eps2 > 0 and an odd base; got {self.options}")
        self.base, self.wide, self.narrow = base, (r1, eps1), (r2, eps2)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        images = [ir.double(), luma(vis).double()]
        radius = self.base // 2
        bases = [
            window_mean(_padded(x, radius), radius)[..., radius : -radius or None, radius : -radius or None]
            for x in images
        ]
        salient = [saliency(x) for x in images]
        best = torch.maximum(*salient)
        owners = [(s == best).double() for s in salient]
        fused = torch.zeros_like(images[0])
        for parts, setting in ((bases, self.wide), ([x - b for x, b in zip(images, bases, strict=True)], self.narrow)):
            weights = [guided_filter(x, owner, *setting) for x, owner in zip(images, owners, strict=True)]
            total = weights[0] + weights[1] + 1e-12
            fused = fused + (weights[0] * parts[0] + weights[1] * parts[1]) / total
        return fused.to(ir.dtype)
