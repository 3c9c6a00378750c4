"""LUT-Fuse: fusion by looking up four numbers of each pixel (ICCV 2025)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, NetworkMethod, strict

from .network import LUTFuseNet


class LUTFuse(NetworkMethod):
    """The visible image in colours and infrared in, fused luma out."""

    network: LUTFuseNet

    def make(self) -> LUTFuseNet:
        """See :meth:`NetworkMethod.make`."""
        return LUTFuseNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files: the state dict of the context network, and the table."""
        held = state.get("context")
        return strict({**held, "lut": state["lut"]} if isinstance(held, dict) else state, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(vis, ir, luma(vis))
        return fused
