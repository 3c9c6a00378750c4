"""MUFusion's network for infrared and visible images under the names of the released checkpoint; 554,721 parameters.

Cheng, Xu and Wu, "MUFusion: A general unsupervised image fusion network based on memory unit", Information Fusion 92,
2023, section 3; the memory unit is part of the training alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(inputs: int, outputs: int, last: nn.Module | None = None, stride: int = 1) -> nn.Sequential:
    """3x3 convolution with mirrored edges, and ReLU or another end."""
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3, stride), last or nn.ReLU())


class MUFusionNet(nn.Module):
    """A dense encoder, at half size from the third layer on, and a decoder with all of its maps beside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = layer(2, 32), layer(32, 32), layer(64, 64, stride=2)
        self.conv4, self.conv5, self.conv6 = layer(64, 64), layer(128, 64), layer(192, 64)
        self.conv66, self.conv55, self.conv44 = layer(64, 64), layer(128, 64), layer(128, 64)
        self.conv33, self.conv22, self.conv11 = layer(128, 64), layer(96, 32), layer(64, 1, nn.Tanh())

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1], H and W even; in (-1,1)."""
        first = self.conv1(torch.cat((ir, vis), dim=1))
        second = self.conv2(first)
        third = self.conv3(torch.cat((first, second), dim=1))
        fourth = self.conv4(third)
        fifth = self.conv5(torch.cat((third, fourth), dim=1))
        x = self.conv66(self.conv6(torch.cat((third, fourth, fifth), dim=1)))
        for skip, stage in ((fifth, self.conv55), (fourth, self.conv44), (third, self.conv33)):
            x = stage(torch.cat((skip, x), dim=1))
        x = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        x = self.conv22(torch.cat((second, x), dim=1))
        fused: Tensor = self.conv11(torch.cat((first, x), dim=1))
        return fused
