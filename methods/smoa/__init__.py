"""SMoA: an architecture that was searched for each modality (IEEE Signal Processing Letters 2021)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

from .network import SMoANet


class SMoA(NetworkMethod):
    """Grey levels 0..255 of both images in, a fused image in whole levels out."""

    network: SMoANet

    def make(self) -> SMoANet:
        """See :meth:`NetworkMethod.make`."""
        return SMoANet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the three released files."""
        tensors = {}
        for part, held in state.items():
            for name, value in (held if isinstance(held, dict) else {}).items():
                tensors[f"{part}.{name}"] = value
        return strict(tensors or state, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir * 255, grey(vis) * 255)
        return fused.clamp(0, 255).trunc() / 255  # saved so before the colours return
