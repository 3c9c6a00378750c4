"""IFCNN under the names of the released checkpoints; 83,587 parameters.

Zhang et al., "IFCNN: A general image fusion framework based on convolutional neural network", Information Fusion 54,
2020, section 3.1. The first convolution is ResNet-101's, not trained further.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCHEMES = ("max", "sum", "mean")


class Block(nn.Module):
    """3x3 convolution with repeated edges, normalisation, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(64, 64, 3, padding=1, padding_mode="replicate", bias=False)
        self.bn = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class IFCNNNet(nn.Module):
    """Two convolutions for each image, an element-wise rule, two more.

    Args:
        scheme: ``max``, ``sum`` or ``mean``: what is made of two features.
    """

    def __init__(self, scheme: str = "max") -> None:
        super().__init__()
        self.scheme = scheme
        self.conv2, self.conv3 = Block(), Block()
        self.conv4 = nn.Conv2d(64, 3, 1)
        self.conv1 = nn.Conv2d(3, 64, 7, padding=3, padding_mode="replicate", bias=False)

    def forward(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused colours of two images, each ``[B,3,H,W]`` and normalised as ImageNet's."""
        a, b = (self.conv2(self.conv1(x)) for x in (vis, ir))
        x = torch.maximum(a, b) if self.scheme == "max" else (a + b) / (2 if self.scheme == "mean" else 1)
        fused: Tensor = self.conv4(self.conv3(x))
        return fused
