"""The visible image itself, as a row to compare with."""

from __future__ import annotations

from torch import Tensor

from fusionbench.method import Context, Method


class Visible(Method):
    """Returns the visible colours as they are."""

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return vis.clone()
