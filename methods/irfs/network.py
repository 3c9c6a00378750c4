"""IRFS's fusion network FSFNet under the names of the release; 241,701 parameters.

Wang et al., "An interactively reinforced paradigm for joint infrared-visible image fusion and saliency object
detection", Information Fusion 98, 2023, section 3.2: a head that screens features for each image, two residual blocks,
a tail.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 64


class SpatialAttention(nn.Module):
    """Each pixel by its largest and its mean channel."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.ModuleDict({"conv": nn.Conv2d(2, 1, 5, padding=2, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial["conv"](seen))


class ChannelAttention(nn.Module):
    """Each channel by its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH // 8, 1, bias=False), nn.ReLU(), nn.Conv2d(WIDTH // 8, WIDTH, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv_du(x.mean((-2, -1), keepdim=True)))


class Head(nn.Module):
    """Features ``[B,64,H,W]`` of one image; the slope of the PReLU is shared by both heads."""

    def __init__(self, act: nn.PReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), act, nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        )
        self.SA, self.CA = SpatialAttention(), ChannelAttention()
        self.conv1x1 = nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        out: Tensor = self.conv1x1(torch.cat((self.SA(x), self.CA(x)), dim=1))
        return out


class Residual(nn.Module):
    """Two convolutions added to their input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class FSFNet(nn.Module):
    """Two images in, one out."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.PReLU()
        self.head_1, self.head_2 = Head(act), Head(act)
        self.body = nn.Sequential(Residual(), Residual())
        self.tail = nn.Sequential(nn.Conv2d(WIDTH, 1, 3, padding=1, bias=False))

    def forward(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused luma of visible luma and infrared, each ``[B,1,H,W]`` in [0,1]; not bounded."""
        out: Tensor = self.tail(self.body(self.head_1(vis) + self.head_2(ir)))
        return out
