"""DenseFuse's encoder and decoder under the names of the released checkpoint; 74,193 parameters.

Li and Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE TIP 28(5), 2019, sections
III.A and III.B.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRATEGIES = ("addition", "l1norm")


class Layer(nn.Module):
    """3x3 convolution with mirrored edges, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2d(x))


class DenseLayer(nn.Module):
    """A layer of 16 channels beside its input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense_conv = Layer(inputs, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.dense_conv(x)), dim=1)


class DenseBlock(nn.Module):
    """Three dense layers: 16 channels to 64."""

    def __init__(self) -> None:
        super().__init__()
        self.denseblock = nn.Sequential(*(DenseLayer(inputs) for inputs in (16, 32, 48)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.denseblock(x)
        return out


class DenseFuseNet(nn.Module):
    """One encoder for both images, a fusion rule, one decoder.

    Args:
        strategy: ``addition`` (the mean of both encodings) or ``l1norm`` (weighted by their sums of absolute values).
    """

    def __init__(self, strategy: str = "addition") -> None:
        super().__init__()
        self.strategy = strategy
        self.conv1, self.DB1 = Layer(1, 16), DenseBlock()
        self.conv2, self.conv3, self.conv4, self.conv5 = Layer(64, 64), Layer(64, 32), Layer(32, 16), Layer(16, 1)

    def merge(self, ir: Tensor, vis: Tensor) -> Tensor:
        """One encoding of two; where both are zero it is zero."""
        if self.strategy == "addition":
            return (ir + vis) / 2
        a, b = (x.abs().sum(1, keepdim=True) for x in (ir, vis))
        total = a + b
        return torch.where(total > 0, (a * ir + b * vis) / total, ir)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in 0..255; 0 and more."""
        x = self.merge(self.DB1(self.conv1(ir)), self.DB1(self.conv1(vis)))
        for stage in (self.conv2, self.conv3, self.conv4, self.conv5):
            x = stage(x)
        return x
