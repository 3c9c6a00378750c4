"""Hybrid multi-scale decomposition (Hybrid-MSD).

Zhou, Wang, Li, Dong, "Perceptual fusion of infrared and visible images through a hybrid multi-scale decomposition with
Gaussian and bilateral filters", Information Fusion 30, 2016. Each level holds texture (what a bilateral filter takes
away) and edges (what a Gaussian takes away beyond that). Coarse levels and the base follow infrared where its edges are
the stronger ones, by atan(lambda p)/atan(lambda) of the difference p, blurred; the finest level takes the larger
magnitude. The bilateral filter is Paris and Durand's (ECCV 2006): a blur on a coarse grid of place and level.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import gaussian

SPACE, RANGE = 2.0, 0.05  # of the first level: sigma in pixels, doubled from level to level, and in levels, halved
BASE, COARSE = (
    2.0,
    1.0,
)  # sigma of the blur of weights: the base's, in the next level's sigmas, and that of coarse levels
AROUND = 2  # cells of the grid around what is in it


def _spread(x: Tensor) -> Tensor:
    """Twice [1,2,1]/4 along each of the three last dimensions; cells at the border stay empty."""
    for dim in (-3, -2, -1):
        for _ in range(2):
            inner, out = x.shape[dim] - 2, torch.zeros_like(x)
            before, here, after = (x.narrow(dim, start, inner) for start in (0, 1, 2))
            out.narrow(dim, 1, inner).copy_((before + after + 2 * here) / 4)
            x = out
    return x


def bilateral(image: Tensor, space: float, levels: float) -> Tensor:
    """Bilateral filter on a grid.

    Args:
        image: ``[H,W]``.
        space: sigma in pixels, and the side of a cell.
        levels: sigma in the image's levels, and the height of a cell.

    Returns:
        ``[H,W]``; every pixel lies in a cell that it is counted in, so none is without a value.
    """
    where = [torch.arange(n, dtype=image.dtype, device=image.device) / space for n in image.shape]
    place = torch.stack([*torch.meshgrid(*where, indexing="ij"), (image - image.min()) / levels]).flatten(1)
    ends = [(n - 1) / space for n in image.shape] + [float((image.max() - image.min()).detach() / levels)]
    shape = [int(end) + 1 + 2 * AROUND for end in ends]
    sides = (shape[1] * shape[2], shape[2], 1)
    strides = torch.tensor(sides, device=image.device)[:, None]
    cell = (((place + 0.5).floor().long() + AROUND) * strides).sum(0)
    sums = image.new_zeros(2, math.prod(shape))
    sums[0].index_add_(0, cell, image.flatten())
    sums[1].index_add_(0, cell, torch.ones_like(image).flatten())
    sums = _spread(sums.view(2, *shape)).flatten(1)
    corner = place.floor()
    first, part = ((corner.long() + AROUND) * strides).sum(0), place - corner
    total = image.new_zeros(2, image.numel())
    for number in range(8):
        ends3 = [number >> 2 & 1, number >> 1 & 1, number & 1]
        weight = torch.stack([p if end else 1 - p for p, end in zip(part, ends3, strict=True)]).prod(0)
        step = sum(end * side for end, side in zip(ends3, sides, strict=True))
        total += weight * sums[:, first + step]
    return (total[0] / total[1]).view(image.shape)


class HybridMSD(Method):
    """Texture and edges of levels of Gaussian and bilateral filters."""

    def __init__(self, levels: int = 4, lam: float = 30.0) -> None:
        super().__init__(levels=levels, lam=lam)
        if not 2 <= levels <= 8 or lam <= 0:
            raise ValueError(f"hybrid_msd: needs 2 <= levels <= 8 and lam > 0; got {self.options}")
        self.levels, self.lam = levels, lam

    def decompose(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Texture and edges of each level, finest first, and the base."""
        texture, edges, smooth = [], [], x
        for level in range(self.levels):
            sigma = SPACE * 2**level
            blurred = gaussian(x, sigma, int(3 * sigma))
            smooth = torch.stack([bilateral(one[0], sigma, RANGE / 2**level) for one in smooth])[:, None]
            texture.append(x - smooth)
            edges.append(smooth - blurred)
            x = blurred
        return texture, edges, x

    def weight(self, ir_edges: Tensor, vis_edges: Tensor) -> Tensor:
        """Of infrared, in [0,1]: how much stronger its edges are, in parts of the most; none, where they never are."""
        more = (ir_edges.abs() - vis_edges.abs()).clamp_min(0)
        most = more.amax((-2, -1), keepdim=True)
        return torch.where(most > 0, torch.atan(self.lam * more / most.clamp_min(1e-300)), 0.0) / math.atan(self.lam)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        ir_texture, ir_edges, ir_base = self.decompose(ir.double())
        vis_texture, vis_edges, vis_base = self.decompose(luma(vis).double())
        sigma = BASE * SPACE * 2**self.levels
        weight = gaussian(self.weight(ir_edges[-1], vis_edges[-1]), sigma, int(3 * sigma))
        fused = weight * ir_base + (1 - weight) * vis_base
        for level in range(1, self.levels):
            weight = gaussian(self.weight(ir_edges[level], vis_edges[level]), COARSE, int(3 * COARSE))
            for a, b in ((ir_edges, vis_edges), (ir_texture, vis_texture)):
                fused = fused + weight * a[level] + (1 - weight) * b[level]
        for a, b in ((ir_edges, vis_edges), (ir_texture, vis_texture)):
            fused = fused + torch.where(b[0].abs() < a[0].abs(), a[0], b[0])
        return fused.to(ir.dtype)
