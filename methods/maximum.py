"""The larger of the two lumas."""

from __future__ import annotations

import torch

from fusionbench.colour import luma
from fusionbench.method import Method


class Maximum(Method):
    """Pixel by pixel the brighter source."""

    def fuse(self, ir, vis, context=None):
        """See :meth:`fusionbench.method.Method.fuse`."""
        return torch.maximum(ir, luma(vis))
