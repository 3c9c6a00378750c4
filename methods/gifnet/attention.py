"""Window attention of GIFNet's two streams, after DehazeFormer's (Song et al., IEEE TIP 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW, HEADS = 8, 2
Streams = tuple[Tensor, Tensor]  # ivif and mfif, each [B,C,H,W]


class RescaledNorm(nn.Module):
    """Layer normalisation of a whole image; also what brings its scale and its mean back afterwards."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, width, 1, 1)), nn.Parameter(torch.zeros(1, width, 1, 1))
        self.meta1, self.meta2 = nn.Conv2d(1, width, 1), nn.Conv2d(1, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normalised map, and what to multiply with and to add later."""
        mean = x.mean((1, 2, 3), keepdim=True)
        std = ((x - mean).square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
        return (x - mean) / std * self.weight + self.bias, self.meta1(std), self.meta2(mean)


class Windows(nn.Module):
    """Attention inside windows, with a learned bias of relative positions."""

    relative_positions: Tensor

    def __init__(self) -> None:
        super().__init__()
        at = torch.stack(torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0).float()
        self.register_buffer("relative_positions", apart.sign() * (1 + apart.abs()).log())
        self.meta = nn.Sequential(nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, HEADS))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of maps ``[B,C,H,W]``, whose sides are multiples of the window's."""
        size = query.shape
        bias = self.meta(self.relative_positions).permute(2, 0, 1)
        seen = F.scaled_dot_product_attention(cut(query), cut(key), cut(value), attn_mask=bias)
        return joined(seen, size)


def cut(x: Tensor) -> Tensor:
    """A map ``[B,C,H,W]`` to windows ``[B*windows,heads,64,C/heads]``."""
    batch, width, high, wide = x.shape
    x = x.view(batch, HEADS, width // HEADS, high // WINDOW, WINDOW, wide // WINDOW, WINDOW)
    return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, HEADS, WINDOW * WINDOW, width // HEADS)


def joined(x: Tensor, size: torch.Size) -> Tensor:
    """Windows back to a map of a size."""
    batch, width, high, wide = size
    x = x.view(batch, high // WINDOW, wide // WINDOW, HEADS, WINDOW, WINDOW, width // HEADS)
    return x.permute(0, 3, 6, 1, 4, 2, 5).reshape(size)


class Attention(nn.Module):
    """Attention plus a depthwise convolution, for both streams; ``_mfif`` ends the names of the second's layers."""

    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        for end in ("", "_mfif"):
            self.add_module(f"conv{end}", nn.Conv2d(width, width, 5, padding=2, groups=width, padding_mode="reflect"))
            self.add_module(f"V{end}", nn.Conv2d(width, width, 1))
            self.add_module(f"proj{end}", nn.Conv2d(width, width, 1))
            self.add_module(f"QK{end}", nn.Conv2d(width, 2 * width, 1))
        self.attn = Windows()

    def query(self, x: Tensor, end: str) -> Tensor:
        """Queries of one stream."""
        out: Tensor = self.get_submodule(f"QK{end}")(x).chunk(2, dim=1)[0]
        return out

    def forward(self, x: Tensor, query: Tensor, end: str) -> Tensor:
        """One stream under given queries; windows beyond the edge are filled by mirroring."""
        high, wide = x.shape[-2:]
        value = self.get_submodule(f"V{end}")(x)
        key = self.get_submodule(f"QK{end}")(x).chunk(2, dim=1)[1]
        before = self.shift
        right, below = ((WINDOW - before + -side % WINDOW) % WINDOW for side in (wide, high))
        padded = [F.pad(t, (before, right, before, below), mode="reflect") for t in (query, key, value)]
        seen = self.attn(*padded)[..., before : before + high, before : before + wide]
        out: Tensor = self.get_submodule(f"proj{end}")(self.get_submodule(f"conv{end}")(value) + seen)
        return out


class MLP(nn.Module):
    """Two linear layers for each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Of a map ``[B,C,H,W]``."""
        out: Tensor = self.mlp(x)
        return out


class Block(nn.Module):
    """A transformer block for both streams; in the unshifted one the ivif stream asks with the other's queries."""

    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm1_mfif = RescaledNorm(width), RescaledNorm(width)
        self.attn = Attention(width, shift)
        self.mlp, self.mlp_mfif = MLP(width), MLP(width)

    def forward(self, streams: Streams) -> Streams:
        """Both streams, one block further."""
        ivif, scale, mean = self.norm1(streams[0])
        mfif, scale_mfif, mean_mfif = self.norm1_mfif(streams[1])
        query = self.attn.query(mfif, "_mfif")
        own = self.attn.query(ivif, "") if self.attn.shift else query
        first = streams[0] + self.attn(ivif, own, "") * scale + mean
        second = streams[1] + self.attn(mfif, query, "_mfif") * scale_mfif + mean_mfif
        return first + self.mlp(first), second + self.mlp_mfif(second)

    def mfif_alone(self, x: Tensor) -> Tensor:
        """The mfif stream, where the other is not needed any more."""
        mfif, scale, mean = self.norm1_mfif(x)
        x = x + self.attn(mfif, self.attn.query(mfif, "_mfif"), "_mfif") * scale + mean
        out: Tensor = x + self.mlp_mfif(x)
        return out
