"""SeAFusion's network under the names of the released checkpoint; 166,883 parameters.

Tang, Yuan and Ma, "Image fusion in the loop of high-level vision tasks: A semantic-aware real-time infrared and visible
image fusion network", Information Fusion 82, 2022, section 3.2 (gradient residual dense blocks).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """A convolution that keeps the size, named as in the checkpoint."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, idle_norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        if idle_norm:  # in the checkpoint, but never applied
            self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Dense(nn.Module):
    """Two convolutions, each beside everything before it: three times the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels)
        self.conv2 = Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((x, F.leaky_relu(self.conv1(x), 0.2)), dim=1)
        return torch.cat((x, F.leaky_relu(self.conv2(x), 0.2)), dim=1)


class Sobel(nn.Module):
    """Sum of the sizes of two depthwise filters, which begin as Sobel's and are trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convx = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.convy = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convx(x).abs() + self.convy(x).abs()
        return out


class GradientResidualDense(nn.Module):
    """Dense part and gradient part, added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dense = Dense(inputs)
        self.convdown = Conv(3 * inputs, outputs, 1)
        self.sobelconv = Sobel(inputs)
        self.convup = Conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.convdown(self.dense(x)) + self.convup(self.sobelconv(x)), 0.1)


class SeAFusionNet(nn.Module):
    """Two encoders with weights of their own, one decoder."""

    def __init__(self) -> None:
        super().__init__()
        for source in ("vis", "inf"):
            setattr(self, f"{source}_conv", Conv(1, 16))
            setattr(self, f"{source}_rgbd1", GradientResidualDense(16, 32))
            setattr(self, f"{source}_rgbd2", GradientResidualDense(32, 48))
        self.decode4 = Conv(96, 64, idle_norm=True)
        self.decode3 = Conv(64, 32, idle_norm=True)
        self.decode2 = Conv(32, 16, idle_norm=True)
        self.decode1 = Conv(16, 1, idle_norm=True)

    def encode(self, x: Tensor, source: str) -> Tensor:
        """Features ``[B,48,H,W]`` of one source, ``vis`` or ``inf``."""
        x = F.leaky_relu(getattr(self, f"{source}_conv")(x), 0.2)
        out: Tensor = getattr(self, f"{source}_rgbd2")(getattr(self, f"{source}_rgbd1")(x))
        return out

    def forward(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused luma of visible luma and infrared, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        x = torch.cat((self.encode(vis, "vis"), self.encode(ir, "inf")), dim=1)
        for stage in (self.decode4, self.decode3, self.decode2):
            x = F.leaky_relu(stage(x), 0.2)
        return torch.tanh(self.decode1(x)) / 2 + 0.5
