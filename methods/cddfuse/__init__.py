"""CDDFuse: base and detail, decomposed by correlation (CVPR 2023)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, joined, strict

from .network import CDDFuseNet


class CDDFuse(NetworkMethod):
    """Grey levels of both images in, a fused image in (0,1) out."""

    network: CDDFuseNet

    def make(self) -> CDDFuseNet:
        """See :meth:`NetworkMethod.make`."""
        return CDDFuseNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file, a state dict for each of the four and ``module.`` before names, or as exported."""
        nets = dict(self.network.named_children())
        return strict(
            joined({name: held for name, held in state.items() if name.partition(".")[0] in nets}), self.network
        )

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir, grey(vis))
        return fused
