"""Window attention and Swin transformer blocks, after Liu et al., "Swin Transformer", ICCV 2021.

Tokens are ``[B,H,W,C]``, H and W multiples of the window. Names are those of the authors' code; masks and position
indices, which follow from the size, are no part of a state dict here.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._depth import Residual

MASKED = -100.0


@lru_cache(maxsize=8)
def position_index(window: int) -> Tensor:
    """Row of the table of biases for each pair of places in a window, ``[window^4]``."""
    with torch.inference_mode(False):  # training may want what fusing has made first
        places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + window - 1
        return (apart[0] * (2 * window - 1) + apart[1]).flatten()


def windows(x: Tensor, size: int) -> Tensor:
    """``[B,H,W,C]`` to ``[B*windows,size*size,C]``."""
    b, h, w, c = x.shape
    return x.view(b, h // size, size, w // size, size, c).transpose(2, 3).reshape(-1, size * size, c)


def joined(x: Tensor, size: int, h: int, w: int) -> Tensor:
    """The way back, to ``[B,H,W,C]``."""
    return x.view(-1, h // size, w // size, size, size, x.shape[-1]).transpose(2, 3).reshape(-1, h, w, x.shape[-1])


def shift_mask(h: int, w: int, size: int, shift: int, like: Tensor) -> Tensor:
    """Which places of a shifted window were no neighbours, ``[windows,size*size,size*size]``: 0 or -100."""
    regions = torch.zeros(1, h, w, 1, device=like.device, dtype=like.dtype)
    bounds = (slice(0, -size), slice(-size, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in bounds for c in bounds):
        regions[:, rows, columns] = number
    seen = windows(regions, size)[..., 0]
    return torch.where(seen[:, None] == seen[:, :, None], 0.0, MASKED).to(like)


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for each relative place.

    Args:
        dim: channels.
        heads: number of heads.
        window: side of a window.
        cross: keys and values come from other tokens than queries.
    """

    def __init__(self, dim: int, heads: int, window: int, cross: bool = False) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        if cross:
            self.q, self.kv = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        else:
            self.qkv = nn.Linear(dim, 3 * dim)
        self.cross = cross
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        """Windows ``[N,P,C]``, those that are looked at (the same for self-attention), and a mask ``[windows,P,P]``."""
        if self.cross:
            q, (k, v) = self.q(x), self.kv(other).chunk(2, dim=-1)
        else:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        places = self.window**2
        index = position_index(self.window).to(x.device)
        bias = self.relative_position_bias_table[index].view(places, places, -1).permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(x.shape[0] // mask.shape[0], 1, 1, 1)
        scale = q.shape[-1] ** -0.5
        attention = ((q * scale) @ k.transpose(-2, -1) + bias).softmax(dim=-1)
        out: Tensor = self.proj((attention @ v).transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """Two linear layers and GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Windowed(Residual):
    """What self- and cross-attention blocks share: shifting, cutting into windows, putting together."""

    def __init__(self, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift

    def attend(self, attention: WindowAttention, x: Tensor, other: Tensor) -> Tensor:
        """Attention of tokens ``[B,H,W,C]`` to others, in shifted windows."""
        h, w = x.shape[1:3]
        mask = None
        if self.shift:
            x, other = (torch.roll(t, (-self.shift, -self.shift), (1, 2)) for t in (x, other))
            mask = shift_mask(h, w, self.window, self.shift, x)
        out = attention(windows(x, self.window), windows(other, self.window), mask)
        out = joined(out, self.window, h, w)
        return torch.roll(out, (self.shift, self.shift), (1, 2)) if self.shift else out


class Block(Windowed):
    """A Swin block."""

    def __init__(self, dim: int, heads: int, window: int, shift: int, ratio: int = 2) -> None:
        super().__init__(window, shift)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.mlp = MLP(dim, ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm1(x)
        x = x + self.at_times(self.attend(self.attn, seen, seen))
        out: Tensor = x + self.at_times(self.mlp(self.norm2(x)))
        return out
