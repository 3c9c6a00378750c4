"""Swin blocks with windows of one pixel, as DATFuse and YDTR have them.

With one token in a window the softmax is 1, so that attention is two linear layers. The released code views the memory
of ``[B,C,H,W]`` as ``[B,H*W,C]`` without moving anything: a token is C values that lie side by side in a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Projected values; queries, keys and the bias of positions are in the checkpoint and change nothing."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int = 8) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros(1, heads))
        self.register_buffer("relative_position_index", torch.zeros(1, 1, dtype=torch.int64))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        width = self.proj.in_features
        values = F.linear(x, self.qkv.weight[2 * width :], self.qkv.bias[2 * width :])
        out: Tensor = self.proj(values)
        return out


class MLP(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention and two linear layers, each normalised before and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class OneTokenTransformer(nn.Module):
    """Two blocks over a map ``[B,C,H,W]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.blocks = nn.Sequential(Block(width), Block(width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x.contiguous().view(len(x), -1, self.width))
        return out.view_as(x)


class IdleNorm(nn.Module):
    """A layer norm that is in both checkpoints and is never applied."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)


class ConvNorm(nn.Module):
    """Convolution with repeated edges, and the normalisation named beside it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="replicate")
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class Output(nn.Module):
    """1x1 convolution to one channel, tanh."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))
