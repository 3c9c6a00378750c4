"""YDTR under the names of the released checkpoint; 217,770 parameters, some of them idle.

Tang, He and Liu, "YDTR: Infrared and Visible Image Fusion via Y-Shape Dynamic Transformer", IEEE TMM 25, 2023, section
III: two branches with the same weights that end in one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._one_token import ConvNorm, IdleNorm, OneTokenTransformer, Output

WIDTH = 64


class SpatialBranch(nn.Module):
    """A factor for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(WIDTH, WIDTH // 8, 3, padding=1), nn.Conv2d(WIDTH // 8, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class ChannelBranch(nn.Module):
    """A factor for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Conv2d(WIDTH, WIDTH // 8, 1), nn.ReLU(), nn.Conv2d(WIDTH // 8, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x.mean((2, 3), keepdim=True))
        return out


class DynamicDetail(nn.Module):
    """Features times the factors of their pixels, plus features times those of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial_branch, self.channel_branch = SpatialBranch(), ChannelBranch()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.spatial_branch(x) + x * self.channel_branch(x)
        return out


class YDTRNet(nn.Module):
    """The same three modules for each image, the last two again for their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.convInput, self.convolutional_out = ConvNorm(1, WIDTH), Output(WIDTH)
        self.conv64, self.conv = ConvNorm(WIDTH, WIDTH), ConvNorm(2 * WIDTH, WIDTH)  # in the checkpoint, never applied
        self.DDF, self.patch_embed, self.basicLayer = DynamicDetail(), IdleNorm(), OneTokenTransformer(WIDTH)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (-1,1)."""
        a, b = (self.basicLayer(self.DDF(F.relu(self.convInput(x)))) for x in (ir, vis))
        fused: Tensor = self.convolutional_out(self.basicLayer(self.DDF(a + b)))
        return fused
