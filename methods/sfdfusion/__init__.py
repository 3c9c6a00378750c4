"""SFDFusion: fusion in space and in frequency (ECAI 2024)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, NetworkMethod, strict

from .network import SFDFusionNet


class SFDFusion(NetworkMethod):
    """Luma of both images in, fused luma in [0,1] out."""

    network: SFDFusionNet

    def make(self) -> SFDFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return SFDFusionNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file, which has the state dict under ``fuse_net``."""
        held = state.get("fuse_net", state)
        return strict(held if isinstance(held, dict) else {}, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; a width that is odd is mirrored by a pixel."""
        wide = ir.shape[-1]
        first, second = (F.pad(x, (0, wide % 2, 0, 0), mode="reflect") for x in (ir, luma(vis)))
        fused: Tensor = self.network(first, second)
        return fused[..., :wide]
