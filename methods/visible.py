"""The visible image itself, as a row to compare with."""

from __future__ import annotations

from fusionbench.method import Method


class Visible(Method):
    """Returns the visible colours as they are."""

    def fuse(self, ir, vis, context=None):
        """See :meth:`fusionbench.method.Method.fuse`."""
        return vis.clone()
