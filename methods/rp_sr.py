"""Ratio pyramid, base by sparse codes (RP-SR).

Liu, Liu, Wang, "A general framework for image fusion based on multi-scale transform and sparse representation",
Information Fusion 24, 2015. Ratios of Gaussian levels by area-based maximum with a consistency check; a level with an
odd side is one row or column longer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context
from fusionbench.methods.laplacian import expand, reduce
from fusionbench.methods.selection import stronger
from fusionbench.methods.sparse import SparseMethod

FLOOR = 1e-6  # added to what is divided by, in levels 0..255


class RPSR(SparseMethod):
    """Ratios by activity, bases by sparse codes."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__(levels=levels)
        if levels < 1:
            raise ValueError(f"rp_sr: levels is {levels}; it must be 1 or more")
        self.levels = levels

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        a, b = 255 * ir.double(), 255 * luma(vis).double()
        ratios: list[Tensor] = []
        sizes: list[torch.Size] = []
        while len(ratios) < self.levels and min(a.shape[-2:]) >= 8:
            sizes.append(a.shape[-2:])
            a, b = (F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="reflect") for x in (a, b))
            small = [reduce(x) for x in (a, b)]
            pair = [x / (expand(y, x.shape[-2:]) + FLOOR) for x, y in zip((a, b), small, strict=True)]
            ratios.append(stronger(pair[0], pair[1]))
            a, b = small
        x = self.base(a, b)
        for (height, width), ratio in zip(reversed(sizes), reversed(ratios), strict=True):
            x = ((expand(x, ratio.shape[-2:]) + FLOOR) * ratio)[..., :height, :width]
        return (x / 255).to(ir.dtype)
