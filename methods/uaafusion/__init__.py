"""UAAFusion: unfolding guided by attribution (TCSVT 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, NetworkMethod, joined, strict

from .network import UAAFusionNet


class UAAFusion(NetworkMethod):
    """Luma of both images in, a fused image in (0,1) out."""

    network: UAAFusionNet

    def make(self) -> UAAFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return UAAFusionNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: a state dict under ``model_f`` and one under ``model_s``."""
        return strict(joined(state), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir, luma(vis))
        return fused
