"""The infrared image itself, as a row to compare with."""

from __future__ import annotations

from torch import Tensor

from fusionbench.method import Context, Method


class Infrared(Method):
    """Returns the infrared image as it is."""

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return ir.clone()
