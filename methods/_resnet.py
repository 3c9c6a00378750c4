"""Residual networks (He et al., CVPR 2016, table 1) under torchvision's names: blocks and stages."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """What the block's input passes where its size or width changes."""
    conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3x3 convolutions, as in ResNet-34."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if stride > 1 or inputs != width:
            self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        past = self.downsample(x) if hasattr(self, "downsample") else x
        out: Tensor = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + past)
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, as in ResNet-50; the 3x3 one halves the size."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        if stride > 1 or inputs != outputs:
            self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        past = self.downsample(x) if hasattr(self, "downsample") else x
        inner = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        out: Tensor = F.relu(self.bn3(self.conv3(inner)) + past)
        return out


def stages(block: type[Basic] | type[Bottleneck], depths: tuple[int, int, int, int]) -> list[nn.Sequential]:
    """The four stages of a network after its stem of 64 channels; all but the first halve the size."""
    made, inputs = [], 64
    for index, depth in enumerate(depths):
        width = 64 << index
        blocks = []
        for number in range(depth):
            blocks.append(block(inputs, width, 2 if index and not number else 1))
            inputs = width * block.expansion
        made.append(nn.Sequential(*blocks))
    return made
