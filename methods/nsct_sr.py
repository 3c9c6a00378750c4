"""Nonsubsampled contourlets, approximations by sparse codes (NSCT-SR).

Liu, Liu, Wang, "A general framework for image fusion based on multi-scale transform and sparse representation",
Information Fusion 24, 2015. One level of the pyramid in four directions, as VIFB runs it.
"""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context
from fusionbench.methods.nsct import fused, read_halvings
from fusionbench.methods.selection import stronger
from fusionbench.methods.sparse import SparseMethod


class NSCTSR(SparseMethod):
    """Directional bands by activity, approximations by sparse codes."""

    def __init__(self, directions: str = "2") -> None:
        super().__init__(directions=directions)
        self.halvings = read_halvings("nsct_sr", directions)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        x = fused(255 * ir.double(), 255 * luma(vis).double(), self.halvings, self.base, stronger)
        return (x / 255).to(ir.dtype)
