"""MRFS's network under the names of the release; 134,963,348 parameters.

Zhang et al., "MRFS: Mutually Reinforcing Image Fusion and Segmentation", CVPR 2024, section 3: two encoders whose maps
weight each other at each of four stages; one head fuses, another segments what attention across both has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._mit import (
    DIMS,
    HEADS,
    REDUCTIONS,
    TINY,
    Four,
    Reduced,
    TokenLinear,
    add_encoder,
    at_one_size,
    attend,
    encoded,
)

CLASSES = 9
ENDS = ("backbone.patch_embed1.proj.weight", "decode_head.linear_pred.weight")  # they tell the size and the classes
INNER = 16  # channels of each map in the fusion head


class Size(NamedTuple):
    """Blocks and channels of each stage of the encoders, channels of the segmentation's decoder."""

    depths: Four
    dims: Four
    width: int


SIZES = {"mit-b4": Size((3, 8, 27, 3), DIMS, 512), "tiny": Size((1, 1, 1, 1), TINY, 32)}  # tiny: ours


class ChannelGate(nn.Module):
    """A weight for each channel of both maps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, 2 * dim))

    def forward(self, both: Tensor) -> Tensor:
        out: Tensor = (self.mlp(both.mean((-2, -1))) + self.mlp(both.amax((-2, -1)))).sigmoid()
        return out[..., None, None]


class SpatialGate(nn.Module):
    """A weight for each pixel of both maps."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(4, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1), nn.Sigmoid())

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        seen = [f for x in (rgb, ir) for f in (x.mean(1, keepdim=True), x.amax(1, keepdim=True))]
        out: Tensor = self.mlp(torch.cat(seen, dim=1))
        return out


class Mixed(nn.Module):
    """The weights of both kinds."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ca_gate, self.sa_gate = ChannelGate(dim), SpatialGate()


class IGMAVC(nn.Module):
    """Interactive gated mix attention: each map gets what it lacks of the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.MA = Mixed(dim)
        self.gate = nn.Sequential(nn.Linear(2 * dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim), nn.Sigmoid())

    def forward(self, rgb: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat((rgb, ir), dim=1)
        gate = self.gate(both.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        of_rgb, of_ir = self.MA.ca_gate(both).chunk(2, dim=1)
        at_rgb, at_ir = self.MA.sa_gate(rgb, ir).chunk(2, dim=1)
        return rgb + (1 - gate) * of_ir * at_ir * ir, ir + gate * of_rgb * at_rgb * rgb


class SelfAttention(Reduced):
    """Attention of a map ``[B,H,W,C]`` to itself; the map is added before the last layer."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__(dim, reduction)
        self.q, self.kv = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        k, v = self.kv(self.reduce(x)).chunk(2, dim=-1)
        out: Tensor = self.proj(attend(self.q(x.flatten(1, 2)), k, v, self.heads).view(x.shape) + x)
        return out


class CrossAttention(Reduced):
    """The same of a map to another."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__(dim, reduction)
        self.q1, self.kv2 = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        k, v = self.kv2(self.reduce(other)).chunk(2, dim=-1)
        out: Tensor = self.proj(attend(self.q1(x.flatten(1, 2)), k, v, self.heads).view(x.shape) + x)
        return out


class PCASC(nn.Module):
    """Progressive cycle attention: from both maps the one that is segmented."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.SA_x1, self.SA_x2 = (SelfAttention(dim, heads, reduction) for _ in range(2))
        self.CA_x1toX2, self.CA_x2toX1 = (CrossAttention(dim, heads, reduction) for _ in range(2))
        self.proj = nn.Linear(dim, dim)

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        rgb, ir = rgb.permute(0, 2, 3, 1), ir.permute(0, 2, 3, 1)
        first = self.SA_x1(rgb)
        second = self.SA_x2(self.CA_x1toX2(ir, first))
        out: Tensor = self.proj(self.CA_x2toX1(first, second)).permute(0, 3, 1, 2)
        return out


class Encoders(nn.Module):
    """Both encoders and what stands between them."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        add_encoder(self, size.depths, dims=size.dims)
        add_encoder(self, size.depths, "extra_", size.dims)
        self.IGMAVCs = nn.ModuleList(IGMAVC(dim) for dim in size.dims)
        self.PCASCs = nn.ModuleList(PCASC(*sizes) for sizes in zip(size.dims, HEADS, REDUCTIONS, strict=True))

    def forward(self, rgb: Tensor, ir: Tensor) -> list[tuple[Tensor, Tensor]]:
        maps = []
        for number, mix in enumerate(self.IGMAVCs, 1):
            rgb, ir = mix(encoded(self, number, rgb), encoded(self, number, ir, "extra_"))
            maps.append((rgb, ir))
        return maps


class SegmentationHead(nn.Module):
    """SegFormer's decoder: maps of four stages to classes at a quarter of the size."""

    def __init__(self, dims: Four, inner: int, classes: int) -> None:
        super().__init__()
        for number, dim in enumerate(dims, 1):
            self.add_module(f"linear_c{number}", TokenLinear(dim, inner))
        self.linear_fuse = nn.Sequential(nn.Conv2d(4 * inner, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
        self.linear_pred = nn.Conv2d(inner, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        own = [self.get_submodule(f"linear_c{number}")(x) for number, x in enumerate(maps, 1)]
        x = F.dropout2d(self.linear_fuse(at_one_size(own[::-1], maps[0].shape[-2:])), 0.1, self.training)
        out: Tensor = self.linear_pred(x)
        return out


class Point(nn.Module):
    """1x1 convolution, normalisation, ReLU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pconv = nn.Sequential(nn.Conv2d(dim, INNER, 1), nn.BatchNorm2d(INNER), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pconv(x)
        return out


class FusionHead(nn.Module):
    """Maps of both at four stages, and both images, to colours."""

    def __init__(self, dims: Four) -> None:
        super().__init__()
        for number, dim in enumerate(dims, 1):
            for name in ("rgb", "ir"):
                self.add_module(f"PointConv_{number}_{name}", Point(dim))
        self.CNN_fuse = nn.Sequential(
            nn.Conv2d(8 * INNER + 6, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Sigmoid()
        )

    def forward(self, rgb: Tensor, ir: Tensor, maps: list[tuple[Tensor, Tensor]]) -> Tensor:
        own = [
            self.get_submodule(f"PointConv_{number}_{name}")(x)
            for number, both in enumerate(maps, 1)
            for name, x in zip(("rgb", "ir"), both, strict=True)
        ]
        out: Tensor = self.CNN_fuse(torch.cat((at_one_size(own, rgb.shape[-2:]), rgb, ir), dim=1))
        return out


class MRFSNet(nn.Module):
    """The network; sides of at least 32 pixels.

    Args:
        size: of both encoders and of the segmentation's decoder.
        classes: that the segmentation tells apart.
    """

    def __init__(self, size: Size = SIZES["mit-b4"], classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone = Encoders(size)
        self.decode_head, self.aux_head = SegmentationHead(size.dims, size.width, classes), FusionHead(size.dims)

    @classmethod
    def like(cls, state: Mapping[str, object]) -> MRFSNet:
        """A network of the size and classes that a state dict has; the released size where it has another."""
        first, last = (end.shape[0] if isinstance(end := state.get(n), Tensor) and end.ndim else 0 for n in ENDS)
        size = next((size for size in SIZES.values() if size.dims[0] == first), SIZES["mit-b4"])
        return cls(size, last if 1 < last <= 256 else CLASSES)

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        """Fused colours of two images, each ``[B,3,H,W]`` in [0,1]; in (0,1)."""
        out: Tensor = self.aux_head(rgb, ir, self.backbone(rgb, ir))
        return out

    def segment(self, rgb: Tensor, ir: Tensor) -> Tensor:
        """Scores of classes, ``[B,classes,H,W]``, of the same two."""
        return self._segmented(self.backbone(rgb, ir), rgb.shape[-2:])

    def both(self, rgb: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        """Fused colours, and scores of classes."""
        maps = self.backbone(rgb, ir)
        return self.aux_head(rgb, ir, maps), self._segmented(maps, rgb.shape[-2:])

    def _segmented(self, maps: list[tuple[Tensor, Tensor]], size: torch.Size) -> Tensor:
        joined = [join(*both) for join, both in zip(self.backbone.PCASCs, maps, strict=True)]
        return F.interpolate(self.decode_head(joined), size, mode="bilinear", align_corners=False)
