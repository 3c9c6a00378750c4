"""TarDAL's generator under the names of the released checkpoints; 296,577 parameters.

Liu et al., "Target-aware Dual Adversarial Learning and a Multi-scenario Multi-Modality Benchmark to Fuse Infrared and
Visible for Object Detection", CVPR 2022, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods._norm import Norm


def layer(inputs: int, outputs: int, own: bool) -> nn.Sequential:
    """3x3 convolution, normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), Norm(outputs, own), nn.ReLU())


class TarDALNet(nn.Module):
    """An encoder, three dense layers, four that narrow.

    Args:
        own_statistics: whether each image is normalised by its own statistics.
    """

    def __init__(self, own_statistics: bool = False) -> None:
        super().__init__()
        self.encoder = layer(2, 32, own_statistics)
        self.dense = nn.ModuleList(layer(32 * i, 32, own_statistics) for i in (1, 2, 3))
        self.fuse = nn.Sequential(
            nn.Sequential(nn.Conv2d(128, 128, 3, padding=1), nn.ReLU()),
            layer(128, 64, own_statistics),
            layer(64, 32, own_statistics),
            nn.Sequential(nn.Conv2d(32, 1, 3, padding=1), nn.Tanh()),
        )

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (-1,1)."""
        x = self.encoder(torch.cat((ir, vis), dim=1))
        for stage in self.dense:
            x = torch.cat((x, stage(x)), dim=1)
        fused: Tensor = self.fuse(x)
        return fused
