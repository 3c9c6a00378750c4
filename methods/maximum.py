"""The larger of the two lumas."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method


class Maximum(Method):
    """Pixel by pixel the brighter source."""

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return torch.maximum(ir, luma(vis))
