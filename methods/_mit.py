"""Mix transformer, the encoder of SegFormer (Xie et al., NeurIPS 2021, section 3.1), under the names of its release.

Networks hold its parts side by side with others, so that they are added to a module: ``patch_embed1``, ``block1``,
``norm1`` and so on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._depth import Residual

DIMS = (64, 128, 320, 512)
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
TINY = (16, 32, 80, 128)  # ours
SMALLEST = 32  # pixels of a side, so that no map is smaller than what one step of its attention reduces


class PatchEmbed(nn.Module):
    """A map to a smaller one: overlapping patches, normalised over channels."""

    def __init__(self, inputs: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, dim, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of tokens ``[B,N,C]`` to others ``[B,M,C]``, in heads."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Reduced(nn.Module):
    """What keys and values are made of: a map ``[B,H,W,C]`` at a fraction of its size, as tokens."""

    def __init__(self, dim: int, reduction: int) -> None:
        super().__init__()
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim)
        self.reduction = reduction

    def reduce(self, x: Tensor) -> Tensor:
        """``[B,H,W,C]`` to ``[B,M,C]``."""
        if self.reduction == 1:
            return x.flatten(1, 2)
        out: Tensor = self.norm(self.sr(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2))
        return out


class Attention(Reduced):
    """Attention of a map to itself at a fraction of its size."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__(dim, reduction)
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        k, v = self.kv(self.reduce(x)).chunk(2, dim=-1)
        out: Tensor = self.proj(attend(self.q(x.flatten(1, 2)), k, v, self.heads)).view(x.shape)
        return out


class Depthwise(nn.Module):
    """Depthwise 3x3 convolution of a map ``[B,H,W,C]``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out


class MixFFN(nn.Module):
    """Feed-forward with a convolution inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.dwconv, self.fc2 = nn.Linear(dim, 4 * dim), Depthwise(4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(x))))
        return out


class Block(Residual):
    """Attention and feed-forward, ``[B,H,W,C]`` to the same."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, reduction)
        self.mlp = MixFFN(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.at_times(self.attn(self.norm1(x)))
        out: Tensor = x + self.at_times(self.mlp(self.norm2(x)))
        return out


Four = tuple[int, int, int, int]  # of each stage


def add_encoder(to: nn.Module, depths: Four, prefix: str = "", dims: Four = DIMS) -> None:
    """Put the four stages of an encoder of colours into a module, their names after a prefix."""
    inputs = 3
    for number, (dim, heads, reduction, depth) in enumerate(zip(dims, HEADS, REDUCTIONS, depths, strict=True), 1):
        kernel, stride = (7, 4) if number == 1 else (3, 2)
        to.add_module(f"{prefix}patch_embed{number}", PatchEmbed(inputs, dim, kernel, stride))
        to.add_module(f"{prefix}block{number}", nn.Sequential(*(Block(dim, heads, reduction) for _ in range(depth))))
        to.add_module(f"{prefix}norm{number}", nn.LayerNorm(dim, eps=1e-6))
        inputs = dim


def begun(module: nn.Module) -> None:
    """Initial weights as released: small linear layers, convolutions by what they give; in place."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
        elif isinstance(part, nn.Conv2d):
            outputs = part.kernel_size[0] * part.kernel_size[1] * part.out_channels // part.groups
            nn.init.normal_(part.weight, std=(2 / outputs) ** 0.5)
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)


def encoded(of: nn.Module, number: int, x: Tensor, prefix: str = "") -> Tensor:
    """One stage of an encoder, the first being 1: ``[B,C,H,W]`` to a map of half its size (the first: a quarter)."""
    for part in ("patch_embed", "block", "norm"):
        x = of.get_submodule(f"{prefix}{part}{number}")(x)
    return x.permute(0, 3, 1, 2).contiguous()


def too_small(x: Tensor) -> str:
    """Why an image ``[...,H,W]`` cannot be encoded, or ""."""
    height, width = x.shape[-2:]
    return "" if min(height, width) >= SMALLEST else f"pictures of at least {SMALLEST}x{SMALLEST}, got {height}x{width}"


class TokenLinear(nn.Module):
    """A linear layer over channels: ``[B,C,H,W]`` to ``[B,D,H,W]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


def at_one_size(maps: list[Tensor], size: torch.Size) -> Tensor:
    """Maps side by side, each brought to a size (bilinear)."""
    return torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps], dim=1)
