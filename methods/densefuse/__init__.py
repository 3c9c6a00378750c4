"""DenseFuse: a dense encoder, a rule that adds its features, a decoder (IEEE TIP 2019)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import STRATEGIES, DenseFuseNet


class DenseFuse(NetworkMethod):
    """Grey levels 0..255 of both images in, a fused image in 0..255 out."""

    network: DenseFuseNet
    halo = 8  # eight convolutions of 3x3

    def make(self) -> DenseFuseNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there is no such strategy.
        """
        return DenseFuseNet(self.choice("strategy", STRATEGIES))

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused = self.run(ir * 255, grey(vis) * 255)
        return fused / 255
