"""The block that CDDFuse calls base feature and EMMA global feature: channel attention, then a gated feed-forward.

Zhao et al., CDDFuse (CVPR 2023, section 3.2) and EMMA (CVPR 2024, supplement).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.refusion.network import HEADS, LayerNorm, channel_attention

Padding = Literal["zeros", "reflect"]


class Attention(nn.Module):
    """Attention between channels; the second projection is a dense 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qkv1 = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv2 = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, bias=False)
        self.proj = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv2(self.qkv1(x)).chunk(3, dim=1)
        out: Tensor = self.proj(channel_attention(q, k, v, self.scale))
        return out


class Gated(nn.Module):
    """Feed-forward of the same width, gated by its other half."""

    def __init__(self, channels: int, padding: Padding) -> None:
        super().__init__()
        wide = 2 * channels
        self.project_in = nn.Conv2d(channels, wide, 1, bias=False)
        self.dwconv = nn.Conv2d(wide, wide, 3, padding=1, groups=channels, bias=False, padding_mode=padding)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(gate) * value)
        return out


class GlobalFeature(nn.Module):
    """``[B,C,H,W]`` to the same.

    Args:
        channels: C, a multiple of 8.
        padding: of the feed-forward's convolution, ``zeros`` or ``reflect``.
    """

    def __init__(self, channels: int, padding: Padding = "zeros") -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = Attention(channels)
        self.norm2 = LayerNorm(channels)
        self.mlp = Gated(channels, padding)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
