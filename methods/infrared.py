"""The infrared image itself, as a row to compare with."""

from __future__ import annotations

from fusionbench.method import Method


class Infrared(Method):
    """Returns the infrared image as it is."""

    def fuse(self, ir, vis, context=None):
        """See :meth:`fusionbench.method.Method.fuse`."""
        return ir.clone()
