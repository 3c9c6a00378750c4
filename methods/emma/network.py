"""EMMA's fusion network (U-Fuser) under the names of the release; 1,517,657 parameters.

Zhao et al., "Equivariant Multi-Modality Image Fusion", CVPR 2024, section 3.3 and supplement: a U-shaped network of
blocks that join a global (channel attention) and a local (convolutions) branch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods._global_feature import GlobalFeature

WIDTHS = (8, 16, 32, 32)


def conv(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3x3 convolution with mirrored borders."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias, padding_mode="reflect")


class Residual(nn.Module):
    """Two convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(channels, channels, bias=True), nn.ReLU(), conv(channels, channels, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(x)
        return out


class LocalFeature(nn.Module):
    """Two residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Extraction = nn.Sequential(Residual(channels), Residual(channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.Extraction(x)
        return out


class Unit(nn.Module):
    """Global and local branch of one embedding, joined."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.embed = conv(inputs, outputs)
        self.GlobalFeature = GlobalFeature(outputs, "reflect")
        self.LocalFeature = LocalFeature(outputs)
        self.FFN = conv(2 * outputs, outputs)

    def forward(self, *x: Tensor) -> Tensor:
        x_in = self.embed(torch.cat(x, dim=1))
        out: Tensor = self.FFN(torch.cat((self.GlobalFeature(x_in), self.LocalFeature(x_in)), dim=1))
        return out


def up(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.ReLU())


class EMMANet(nn.Module):
    """An encoder for each image, a fusing unit for each level, one decoder; height and width are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        before = (1, *WIDTHS)
        for level, width in enumerate(WIDTHS, 1):
            self.add_module(f"V_en_{level}", Unit(before[level - 1], width))
            self.add_module(f"I_en_{level}", Unit(before[level - 1], width))
            self.add_module(f"f_{level}", Unit(2 * width, width))
            if level < len(WIDTHS):
                self.add_module(f"V_down{level}", conv(width, width, 2))
                self.add_module(f"I_down{level}", conv(width, width, 2))
        self.up4, self.up3, self.up2 = up(32, 32), up(32, 16), up(16, 8)
        self.de_1, self.de_2, self.de_3, self.de_4 = Unit(16, 8), Unit(32, 16), Unit(64, 32), Unit(32, 32)
        self.last = nn.Sequential(conv(8, 1, bias=True), nn.Sigmoid())

    def encode(self, x: Tensor, source: str) -> list[Tensor]:
        """Features of the four levels of one image, ``V`` or ``I``."""
        parts, levels = dict(self.named_children()), []
        for level in range(1, len(WIDTHS) + 1):
            x = parts[f"{source}_en_{level}"](x)
            levels.append(x)
            if level < len(WIDTHS):
                x = parts[f"{source}_down{level}"](x)
        return levels

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        parts = dict(self.named_children())
        both = zip(self.encode(ir, "I"), self.encode(vis, "V"), strict=True)
        f1, f2, f3, f4 = (parts[f"f_{level}"](*pair) for level, pair in enumerate(both, 1))
        x = self.de_4(f4)
        x = self.de_3(self.up4(x), f3)
        x = self.de_2(self.up3(x), f2)
        out: Tensor = self.last(self.de_1(self.up2(x), f1))
        return out
