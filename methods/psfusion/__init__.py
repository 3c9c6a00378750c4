"""PSFusion: progressive semantic injection (Information Fusion 2023)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fusionbench.method import Context, NetworkMethod, strict

from .network import PSFusionNet

STEP = 32


class PSFusion(NetworkMethod):
    """Infrared and colours in, fused luma in (0,1) out."""

    network: PSFusionNet

    def make(self) -> PSFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return PSFusionNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: what it holds under ``MTAN``, or a plain state dict."""
        held = state.get("MTAN")
        return strict(held if isinstance(held, dict) else state, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; as released, made smaller to multiples of 32, then larger again.

        Raises:
            ValueError: a picture smaller than 32x32.
        """
        height, width = ir.shape[-2:]
        small = (height // STEP * STEP, width // STEP * STEP)
        if not all(small):
            raise ValueError(f"psfusion needs pictures of at least {STEP}x{STEP}, got {height}x{width}")
        fused: Tensor = self.network(resized(vis, small), resized(ir, small))
        return resized(fused, (height, width))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, to a size; the same where it has it."""
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
