"""SMoA: an architecture that was searched for each modality (IEEE Signal Processing Letters 2021)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, joined, singly, strict

from .network import SMoANet


class SMoA(NetworkMethod):
    """Grey levels 0..255 of both images in, a fused image in 0..255 out."""

    network: SMoANet

    def make(self) -> SMoANet:
        """See :meth:`NetworkMethod.make`."""
        return SMoANet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the three released files."""
        return strict(joined(state), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return singly(self.network, ir * 255, grey(vis) * 255) / 255
