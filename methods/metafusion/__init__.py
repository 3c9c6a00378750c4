"""MetaFusion: features of a detector, embedded (CVPR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.method import Context, NetworkMethod

from .network import MetaFusionNet


class MetaFusion(NetworkMethod):
    """Infrared and colours in, the colours with a fused value (HSV) in whole levels out."""

    network: MetaFusionNet
    halo = 14  # fourteen convolutions of 3x3

    def make(self) -> MetaFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return MetaFusionNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`. Hue and saturation stay where all channels scale alike."""
        value = vis.amax(1, keepdim=True)
        fused = self.run(torch.cat((ir, vis), dim=1), value)
        fused = (fused.clamp(0, 1) * 255).trunc() / 255
        return torch.where(value > 0, vis * (fused / value), fused)
