"""The mean of the two lumas."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method


class Average(Method):
    """Half infrared, half visible luma."""

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return (ir + luma(vis)) / 2
