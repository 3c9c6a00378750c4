"""Visual saliency map and weighted least squares (VSMWLS).

Ma, Zhou, Wang, Zong, "Infrared and visible image fusion based on visual saliency map and weighted least square
optimization", Infrared Physics & Technology 82, 2017. Levels of detail by a rolling guidance filter, the last by a
Gaussian. Bases are weighted by the difference of two maps of saliency, a pixel's being the sum of its distances to all
others in grey level. The finest details are taken by the larger magnitude. The others are d = argmin of (d - m)^2 +
lambda a (d - r)^2, with m the details by the larger magnitude (under a blurred choice), r those of one image, and a the
inverse of their mean over 7x7 pixels, so that faint details come from one image alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import box, gaussian
from fusionbench.methods.gff import guided_filter

RANGE = 0.05  # below which a difference is no edge to the guided filter
CHOICE = 2  # sigma of the blur of the choice between details
WINDOW, LEAST = 7, 1e-4  # of the mean of details


def rolling_guidance(x: Tensor, radius: int, rounds: int) -> Tensor:
    """Remove what is smaller than ``radius`` and bring back the edges of the rest; ``[B,1,H,W]`` in float64.

    Zhang, Shen, Xu, Jia, "Rolling Guidance Filter", ECCV 2014, with guided filters: the image is filtered under a flat
    guide, then under the result, and so on.
    """
    guide = torch.zeros_like(x)
    for _ in range(rounds):
        guide = guided_filter(guide, x, radius, RANGE**2)
    return guide


def contrast(x: Tensor) -> Tensor:
    """Sum of the distances of each pixel to all pixels' grey levels, ``[B,H*W]`` of images ``[B,1,H,W]`` in [0,1]."""
    levels = (x.clamp(0, 1) * 255).round().long()
    grid = torch.arange(256, dtype=x.dtype, device=x.device)
    distance = (grid[:, None] - grid).abs()
    count = torch.zeros(len(x), 256, dtype=x.dtype, device=x.device)
    flat = levels.flatten(1)
    count.scatter_add_(1, flat, torch.ones_like(flat, dtype=x.dtype))
    return (count @ distance).gather(1, flat)


def saliency(x: Tensor) -> Tensor:
    """:func:`contrast` stretched to [0,1]; a flat image has none."""
    result = contrast(x)
    low, high = result.amin(1, keepdim=True), result.amax(1, keepdim=True)
    return torch.where(high > low, (result - low) / (high - low), 0.0).view(x.shape)


class VSMWLS(Method):
    """Bases by saliency, details by weighted least squares."""

    def __init__(self, levels: int = 2, sigma: int = 2, rounds: int = 4, lam: float = 0.01) -> None:
        super().__init__(levels=levels, sigma=sigma, rounds=rounds, lam=lam)
        if min(levels, sigma, rounds) < 1 or lam < 0:
            raise ValueError(f"vsmwls: needs levels, sigma, rounds >= 1 and lam >= 0; got {self.options}")
        self.levels, self.sigma, self.rounds, self.lam = levels, sigma, rounds, lam

    def decompose(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Details, finest first, and the base."""
        details = []
        for level in range(self.levels):
            sigma = self.sigma * 2**level
            last = level == self.levels - 1
            smooth = gaussian(x, sigma, 3 * sigma) if last else rolling_guidance(x, sigma, self.rounds)
            details.append(x - smooth)
            x = smooth
        return details, x

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        images = [ir.double(), luma(vis).double()]
        (first, base1), (second, base2) = (self.decompose(x) for x in images)
        weight = 0.5 + 0.5 * (saliency(images[0]) - saliency(images[1]))
        fused = weight * base1 + (1 - weight) * base2
        for level, (a, b) in enumerate(zip(first, second, strict=True)):
            if level == 0:
                fused = fused + torch.where(a.abs() > b.abs(), a, b)
                continue
            choice = gaussian((b.abs() > a.abs()).to(a.dtype), CHOICE, 3 * CHOICE)
            both = choice * b + (1 - choice) * a
            pull = self.lam / (box(a, WINDOW).abs() + LEAST)
            fused = fused + (both + pull * a) / (1 + pull)
        return fused.to(ir.dtype)
