"""IDF-TDDT: fusion driven by a text that names the task."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, NetworkMethod, joined, strict

from .network import IDFTDDTNet


class IDFTDDT(NetworkMethod):
    """Luma of both images in, fused luma in (0,1) out, by the base network; its text-driven part is in ``network``."""

    network: IDFTDDTNet

    def make(self) -> IDFTDDTNet:
        """See :meth:`NetworkMethod.make`."""
        return IDFTDDTNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: a state dict under ``net`` and one under ``T_dpi``."""
        return strict(joined(state), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir, luma(vis))
        return fused
