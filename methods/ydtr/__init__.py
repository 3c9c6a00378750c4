"""YDTR: a Y of two branches with dynamic transformers (IEEE TMM 2023)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import YDTRNet


class YDTR(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out."""

    network: YDTRNet

    def make(self) -> YDTRNet:
        """See :meth:`NetworkMethod.make`."""
        return YDTRNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir, grey(vis))
        return fused
