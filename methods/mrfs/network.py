"""MRFS's network under the names of the release; 134,963,348 parameters.

Zhang et al., "MRFS: Mutually Reinforcing Image Fusion and Segmentation", CVPR 2024, section 3: two encoders whose maps
weight each other at each of four stages; one head fuses, another segments what attention across both has made.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._mit import (
    DIMS,
    HEADS,
    REDUCTIONS,
    Reduced,
    TokenLinear,
    add_encoder,
    at_one_size,
    attend,
    encoded,
)

MIT_B4 = (3, 8, 27, 3)
CLASSES = 9
INNER = 16  # channels of each map in the fusion head


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

    def __init__(self) -> None:
        super().__init__()
        add_encoder(self, MIT_B4)
        add_encoder(self, MIT_B4, "extra_")
        self.IGMAVCs = nn.ModuleList(IGMAVC(dim) for dim in DIMS)
        self.PCASCs = nn.ModuleList(PCASC(*sizes) for sizes in zip(DIMS, HEADS, REDUCTIONS, strict=True))

    def forward(self, rgb: Tensor, ir: Tensor) -> list[tuple[Tensor, Tensor]]:
        maps = []
        for number, mix in enumerate(self.IGMAVCs, 1):
            rgb, ir = mix(encoded(self, number, rgb), encoded(self, number, ir, "extra_"))
            maps.append((rgb, ir))
        return maps


class SegmentationHead(nn.Module):
    """SegFormer's decoder: maps of four stages to classes at a quarter of the size."""

    def __init__(self, inner: int = 512) -> None:
        super().__init__()
        for number, dim in enumerate(DIMS, 1):
            self.add_module(f"linear_c{number}", TokenLinear(dim, inner))
        self.linear_fuse = nn.Sequential(nn.Conv2d(4 * inner, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
        self.linear_pred = nn.Conv2d(inner, CLASSES, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        own = [self.get_submodule(f"linear_c{number}")(x) for number, x in enumerate(maps, 1)]
        out: Tensor = self.linear_pred(self.linear_fuse(at_one_size(own[::-1], maps[0].shape[-2:])))
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

    def __init__(self) -> None:
        super().__init__()
        for number, dim in enumerate(DIMS, 1):
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
    """The network; sides of at least 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Encoders()
        self.decode_head, self.aux_head = SegmentationHead(), FusionHead()

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        """Fused colours of two images, each ``[B,3,H,W]`` in [0,1]; in (0,1)."""
        out: Tensor = self.aux_head(rgb, ir, self.backbone(rgb, ir))
        return out

    def segment(self, rgb: Tensor, ir: Tensor) -> Tensor:
        """Scores of classes, ``[B,9,H,W]``, of the same two."""
        maps = self.backbone(rgb, ir)
        joined = [join(*both) for join, both in zip(self.backbone.PCASCs, maps, strict=True)]
        return F.interpolate(self.decode_head(joined), rgb.shape[-2:], mode="bilinear", align_corners=False)
