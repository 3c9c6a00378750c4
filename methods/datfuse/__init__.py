"""DATFuse: dual attention around a transformer (IEEE TCSVT 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import DATFuseNet


class DATFuse(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out."""

    network: DATFuseNet

    def make(self) -> DATFuseNet:
        """See :meth:`NetworkMethod.make`."""
        return DATFuseNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(torch.cat((ir, grey(vis)), dim=1))
        return fused
