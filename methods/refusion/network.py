"""The ReFusion network: 59,856 parameters, all convolutions without bias, named as in the authors' checkpoints.

Bai et al., "ReFusion: Learning Image Fusion from Reconstruction with Learnable Loss via Meta-Learning", IJCV 2024.
The same network is the fusion network F of TDFusion (CVPR 2025). The block is that of Restormer (Zamir et al.,
CVPR 2022): attention over channels and a gated feed-forward, each with a depthwise 3x3 convolution. Everything here
is ordinary differentiable PyTorch, twice differentiable, and works under ``torch.func.functional_call``; the way of
working for large images on a CPU is in ``fast.py``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 8
EPS = 1e-5  # of the layer normalisation


def _conv1(inp: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(inp, out, 1, bias=False)


def _conv3(inp: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(inp, out, 3, padding=1, bias=False)


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


def channel_attention(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    """Attention between channels: ``softmax(q k^T * temperature) v`` per head, q and k of length 1 over the pixels.

    ``q``, ``k``, ``v`` are [B,C,H,W], ``temperature`` [heads,1,1]; so is the result [B,C,H,W].
    """
    heads = temperature.shape[0]
    shape = q.shape
    q, k, v = (t.reshape(shape[0], heads, shape[1] // heads, -1) for t in (q, k, v))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    weights = (q @ k.transpose(-2, -1) * temperature).softmax(dim=-1)
    return (weights @ v).reshape(shape)


class _Affine(nn.Module):
    """Layer normalisation over the channels of each pixel (biased variance), with weight and bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(dim=1, keepdim=True)
        x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPS)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class LayerNorm(nn.Module):
    """Holds the normalisation one level down, where the checkpoints have it (``norm1.body.weight``)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = _Affine(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B,C,H,W]`` to the same."""
        out: Tensor = self.body(x)
        return out


class _Attention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qkv = _conv1(channels, 3 * channels)
        self.qkv_dwconv = _depthwise(3 * channels)
        self.project_out = _conv1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        out: Tensor = self.project_out(channel_attention(q, k, v, self.temperature))
        return out


class _FeedForward(nn.Module):
    def __init__(self, channels: int, expansion: int = 2):
        super().__init__()
        hidden = expansion * channels
        self.project_in = _conv1(channels, 2 * hidden)
        self.dwconv = _depthwise(2 * hidden)
        self.project_out = _conv1(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(gate) * value)
        return out


class Block(nn.Module):
    """One transformer block of the Restormer kind, [B,C,H,W] to the same."""

    piece = True  # computed again by itself where training saves memory

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = _Attention(channels)
        self.norm2 = LayerNorm(channels)
        self.ffn = _FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then feed-forward, each added to its input."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.ffn(self.norm2(x))
        return out


class Fusion(nn.Module):
    """Two feature maps of width ``channels`` become one of twice the width, by cross attention and gates."""

    piece = True

    def __init__(self, channels: int):
        super().__init__()
        both, wide = 2 * channels, 4 * channels
        self.temperature1 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.temperature2 = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qkv1 = _conv1(channels, 3 * channels)
        self.qkv1_dwconv = _depthwise(3 * channels)
        self.qkv2 = _conv1(channels, 3 * channels)
        self.qkv2_dwconv = _depthwise(3 * channels)
        self.project_mid1 = _conv1(channels, channels)
        self.project_mid2 = _conv1(channels, channels)
        self.project_E = _conv1(both, 2 * wide)
        self.project_E_d = _depthwise(2 * wide)
        self.project_E1 = _conv1(channels, wide)
        self.project_E1_d = _depthwise(wide)
        self.project_E2 = _conv1(channels, wide)
        self.project_E2_d = _depthwise(wide)
        self.project_out1 = _conv1(wide, both)
        self.project_out2 = _conv1(wide, both)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """[B,channels,H,W] of each modality to [B,2*channels,H,W]."""
        q1, k1, v1 = self.qkv1_dwconv(self.qkv1(x1)).chunk(3, dim=1)
        q2, k2, v2 = self.qkv2_dwconv(self.qkv2(x2)).chunk(3, dim=1)
        x1 = x1 + self.project_mid1(channel_attention(q2, k1, v1, self.temperature1))
        x2 = x2 + self.project_mid2(channel_attention(q1, k2, v2, self.temperature2))
        both = torch.cat((x1, x2), dim=1)
        gate1, gate2 = self.project_E_d(self.project_E(both)).chunk(2, dim=1)
        out1 = self.project_out1(F.gelu(gate1) * self.project_E1_d(self.project_E1(x1)))
        out2 = self.project_out2(F.gelu(gate2) * self.project_E2_d(self.project_E2(x2)))
        out: Tensor = both + out1 + out2
        return out


class ReFusionNet(nn.Module):
    """Two lumas in [0,1] in, one fused luma in (0,1) out; height and width stay as they are."""

    def __init__(self, channels: int = 16, blocks: int = 2):
        super().__init__()
        both = 2 * channels
        self.project_in_1 = _conv3(1, channels)
        self.project_in_2 = _conv3(1, channels)
        self.encoder1 = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.encoder2 = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.FM = Fusion(channels)
        self.decoder = nn.Sequential(*(Block(both) for _ in range(blocks)))
        self.project_out_0 = _conv3(both, channels)
        self.project_out_1 = _conv3(channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two images [B,1,H,W] (infrared first, then visible luma); returns [B,1,H,W]."""
        x1 = self.encoder1(self.project_in_1(first))
        x2 = self.encoder2(self.project_in_2(second))
        x = self.decoder(self.FM(x1, x2))
        return torch.sigmoid(self.project_out_1(F.leaky_relu(self.project_out_0(x), 0.01)))
