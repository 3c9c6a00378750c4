"""Pyramids of ratios and of contrasts.

Toet, "Image fusion by a ratio of low-pass pyramid", Pattern Recognition Letters 9(4), 1989: a level is the ratio of a
Gaussian level to the expanded next one, R = G_i / EXPAND(G_(i+1)), and the one that is farther from 1 is taken. Toet,
van Ruyven, Valeton, "Merging thermal and visual images by a contrast pyramid", Optical Engineering 28(7), 1989: the
same levels as luminance contrast, C = R - 1. Taken by its magnitude that is the same choice, so that here the ratio
pyramid takes the larger change in proportion, |log R|, for which half and double are equally far from 1, and the
contrast pyramid the larger |C|, which prefers what is brighter than its surroundings. Coarsest levels are averaged.
Gaussian levels as in the Laplacian pyramid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods.laplacian import expand, reduce

FLOOR = 1 / 255  # one level; added to both sides of a ratio, since black has none


def ratios(x: Tensor, levels: int) -> list[Tensor]:
    """At most ``levels`` images of ratios, finest first, and the base; stops before a side falls below 4 pixels."""
    parts: list[Tensor] = []
    x = x + FLOOR
    while len(parts) < levels and min(x.shape[-2:]) >= 8:
        small = reduce(x)
        parts.append(x / expand(small, x.shape[-2:]))
        x = small
    return [*parts, x]


class RatioPyramid(Method):
    """Ratios of the larger logarithm (infrared where equal), bases averaged."""

    name = "ratio_pyramid"

    def __init__(self, levels: int = 4) -> None:
        super().__init__(levels=levels)
        if levels < 1:
            raise ValueError(f"{self.name}: levels is {levels}; it must be 1 or more")
        self.levels = levels

    def strength(self, ratio: Tensor) -> Tensor:
        """How far a ratio is from 1."""
        return ratio.log().abs()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        *first, base1 = ratios(ir.double(), self.levels)
        *second, base2 = ratios(luma(vis).double(), self.levels)
        x = (base1 + base2) / 2
        for a, b in zip(reversed(first), reversed(second), strict=True):
            x = expand(x, a.shape[-2:]) * torch.where(self.strength(a) >= self.strength(b), a, b)
        return (x - FLOOR).to(ir.dtype)


class ContrastPyramid(RatioPyramid):
    """Contrasts of the larger magnitude (infrared where equal), bases averaged."""

    name = "contrast_pyramid"

    def strength(self, ratio: Tensor) -> Tensor:
        """Magnitude of the contrast."""
        return (ratio - 1).abs()
