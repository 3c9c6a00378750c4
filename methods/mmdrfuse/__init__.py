"""MMDRFuse: a network of 113 parameters, distilled (ACM MM 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import MMDRFuseNet


class MMDRFuse(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out, which the output rule stretches."""

    network: MMDRFuseNet
    halo = 2  # two convolutions of 3x3

    def make(self) -> MMDRFuseNet:
        """See :meth:`NetworkMethod.make`."""
        return MMDRFuseNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
