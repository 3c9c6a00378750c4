"""Multi-resolution singular value decomposition (MSVD).

Naidu, "Image Fusion Technique using Multi-resolution Singular Value Decomposition", Defence Science Journal 61(5),
2011. The pixels of each 2x2 block are a column of a matrix A = U S V'; the rows of U'A are an approximation and three
details. Approximations are averaged, details taken by the larger magnitude, and brought back with the mean of the two
images' U. The columns of a U have no sign of their own: those of the visible image are turned towards
those of the infrared one, since opposite ones would cancel in the mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import padded


def axes(blocks: Tensor) -> Tensor:
    """Left singular vectors of ``[B,4,N]``, that of the largest singular value first."""
    vectors: Tensor = torch.linalg.eigh(blocks @ blocks.mT)[1]
    return vectors.flip(-1)


def _fused(ir: Tensor, vis: Tensor, levels: int) -> Tensor:
    height, width = ir.shape[-2:]
    first, second = (F.pixel_unshuffle(padded(x, (0, height % 2), (0, width % 2)), 2) for x in (ir, vis))
    a, b = first.flatten(2), second.flatten(2)
    u, v = axes(a), axes(b)
    v = torch.where((u * v).sum(1, keepdim=True) < 0, -v, v)
    a, b = u.mT @ a, v.mT @ b
    parts = torch.where(a.abs() >= b.abs(), a, b)
    if levels > 1:
        low = [x[:, :1].reshape(len(x), 1, *first.shape[-2:]) for x in (a, b)]
        parts[:, :1] = _fused(low[0], low[1], levels - 1).flatten(2)
    else:
        parts[:, :1] = (a[:, :1] + b[:, :1]) / 2
    whole = ((u + v) / 2 @ parts).view(first.shape)
    return F.pixel_shuffle(whole, 2)[..., :height, :width]


class MSVD(Method):
    """Details of the larger magnitude (infrared where equal), approximations averaged."""

    def __init__(self, levels: int = 1) -> None:
        super().__init__(levels=levels)
        if levels < 1:
            raise ValueError(f"msvd: levels is {levels}; it must be 1 or more")
        self.levels = levels

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return _fused(ir.double(), luma(vis).double(), self.levels).to(ir.dtype)
