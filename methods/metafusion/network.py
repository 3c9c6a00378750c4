"""MetaFusion's fusion network under the names of the release; 2,252,994 parameters (1,441,280 of them buffers there).

Zhao et al., "MetaFusion: Infrared and Visible Image Fusion via Meta-Feature Embedding from Object Detection", CVPR
2023, section 3: three blocks that widen, and a head that weighs the two images pixel by pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Block(nn.Module):
    """Two convolutions, then two side by side: ``2 * width`` channels."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1_1, self.conv1_2 = conv(inputs, width), conv(width, width)
        self.conv1_0_00, self.conv1_0_01 = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1_2(F.relu(self.conv1_1(x))))
        return F.relu(torch.cat((self.conv1_0_00(x), self.conv1_0_01(x)), dim=1))


class MetaFusionNet(nn.Module):
    """Infrared and colours in, one weight for each of two images out."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(Block(4, 64), Block(128, 128), Block(256, 128))
        layers: list[nn.Module] = []
        for inputs, outputs in ((256, 128), (128, 128), (128, 128), (128, 128), (128, 64)):
            layers += [conv(inputs, outputs), nn.ReLU()]
        self.block2 = nn.Sequential(*layers, nn.Conv2d(64, 2, 1), nn.Sigmoid())

    def forward(self, both: Tensor, value: Tensor) -> Tensor:
        """Fused value of infrared and colours ``[B,4,H,W]`` and of the colours' value ``[B,1,H,W]``, all in [0,1]."""
        w_ir, w_vis = self.block2(self.block1(both)).chunk(2, dim=1)
        out: Tensor = w_ir * both[:, :1] + w_vis * value
        return out
