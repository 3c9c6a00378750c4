"""SeAFusion: fusion in the loop of segmentation (Information Fusion 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, NetworkMethod

from .network import SeAFusionNet


class SeAFusion(NetworkMethod):
    """Luma of both images in, fused luma in (0,1) out."""

    network: SeAFusionNet
    halo = 9  # nine convolutions of 3x3 in a row

    def make(self) -> SeAFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return SeAFusionNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(luma(vis), ir)
