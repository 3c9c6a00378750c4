"""IRFS: fusion and salient objects, reinforcing each other (Information Fusion 2023)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import FSFNet


class IRFS(NetworkMethod):
    """8-bit luma of both images in, fused luma in whole levels out."""

    network: FSFNet

    def make(self) -> FSFNet:
        """See :meth:`NetworkMethod.make`."""
        return FSFNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; luma is truncated before the colours return, as released."""
        fused: Tensor = self.network(grey(vis), ir)
        return (fused.clamp(0, 1) * 255).trunc() / 255
