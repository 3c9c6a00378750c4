"""The mean of the two lumas."""

from __future__ import annotations

from fusionbench.colour import luma
from fusionbench.method import Method


class Average(Method):
    """Half infrared, half visible luma."""

    def fuse(self, ir, vis, context=None):
        """See :meth:`fusionbench.method.Method.fuse`."""
        return (ir + luma(vis)) / 2
