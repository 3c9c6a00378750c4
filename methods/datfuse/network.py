"""DATFuse under the names of the released checkpoint; 10,760 parameters and what is idle.

Tang et al., "DATFuse: Infrared and Visible Image Fusion via Dual Attention Transformer", IEEE TCSVT 33(7), 2023,
section III: dual attention residual module, transformer module, dual attention again.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._one_token import ConvNorm, IdleNorm, OneTokenTransformer, Output

WIDTH = 16


class ChannelAttention(nn.Module):
    """A weight in (0,1) for each channel."""

    def __init__(self) -> None:
        super().__init__()
        squeeze, excite = nn.Conv2d(WIDTH, WIDTH // 4, 1), nn.Conv2d(WIDTH // 4, WIDTH, 1)
        self.fc = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x.mean((2, 3), keepdim=True))
        return out


class SpatialAttention(nn.Module):
    """A weight in (0,1) for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH // 4, 3, padding=1),
            nn.BatchNorm2d(WIDTH // 4),
            nn.ReLU(),
            nn.Conv2d(WIDTH // 4, 1, 3, padding=1),
            nn.BatchNorm2d(1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class DATFuseNet(nn.Module):
    """Both images as two channels; the attention modules are the same before and after the transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutional, self.convolutional_out = ConvNorm(2, WIDTH, 5), Output(WIDTH)
        self.fem, self.cam, self.sam = ConvNorm(WIDTH, WIDTH), ChannelAttention(), SpatialAttention()
        self.patch_embed, self.basicLayer = IdleNorm(), OneTokenTransformer(WIDTH)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and what both attentions make of them, added."""
        x = self.fem(F.relu(self.fem(x)))  # one convolution, twice
        return x, x * self.cam(x) + x * self.sam(x)

    def forward(self, pair: Tensor) -> Tensor:
        """Fused image of a pair ``[B,2,H,W]``, infrared and visible grey levels in [0,1]; in (-1,1)."""
        x = F.relu(self.convolutional(pair))
        x = self.basicLayer(F.relu(self.attend(x)[1] + x))
        x, attended = self.attend(x)
        fused: Tensor = self.convolutional_out(attended + x)
        return fused
