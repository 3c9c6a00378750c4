"""SegMiF's networks under the names of the release; 1,034,370 (fusion) and 44,604,873 parameters (segmentation).

Liu et al., "Multi-interactive Feature Learning and a Full-time Multi-modality Benchmark for Image Fusion and
Segmentation", ICCV 2023, section 3: features of a segmentation network enter the fusion by cross attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._mit import DIMS, TINY, Four, TokenLinear, add_encoder, at_one_size, encoded
from fusionbench.methods.vsmwls import saliency

ENDS = ("encoder.patch_embed1.proj", "decoder.linear_pred")  # layers that tell the size and the classes
C = 64
GROWTH = 32
HEADS = 8
CLASSES = 9


class Size(NamedTuple):
    """Of the segmentation: blocks and channels of each stage of its encoder, channels of its decoder."""

    depths: Four
    dims: Four
    width: int


SIZES = {"mit-b3": Size((3, 4, 18, 3), DIMS, 256), "tiny": Size((1, 1, 1, 1), TINY, 32)}  # tiny: ours


class DenseDilated(nn.Module):
    """Residual: five dilated convolutions, each of all that is before it, and 1x1."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(5):
            layer = nn.Conv2d(C + number * GROWTH, GROWTH, 3, padding=2, dilation=2)
            self.add_module(f"Dcov{number + 1}", layer)
        self.conv = nn.Conv2d(C + 5 * GROWTH, C, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for number in range(5):
            seen = torch.cat((seen, F.relu(self.get_submodule(f"Dcov{number + 1}")(seen))), dim=1)
        out: Tensor = x + F.relu(self.conv(seen))
        return out


def in_heads(x: Tensor) -> Tensor:
    """Tokens ``[B,N,C]`` to ``[B,heads,N,C/heads]``."""
    out: Tensor = x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    return out


def looked_up(x: Tensor, to: nn.Module, source: Tensor) -> Tensor:
    """Tokens times the softmax of keys and values of others, in heads."""
    k, v = (in_heads(t) for t in to(source).chunk(2, dim=-1))
    context: Tensor = (k.transpose(-2, -1) @ v * (C // HEADS) ** -0.5).softmax(-2)
    return (in_heads(x) @ context).transpose(1, 2).flatten(2)


class Keys(nn.Module):
    """Linear layers to keys and values, by name."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(C, 2 * C, bias=False))


class Cross(nn.Module):
    """Tokens of infrared and visible, each with what the segmentation says of them."""

    def __init__(self) -> None:
        super().__init__()
        self.channel_proj1, self.channel_proj2, self.channel_proj3 = (nn.Linear(C, 2 * C) for _ in range(3))
        self.cross_attn, self.cross_attn2 = Keys("kv3"), Keys("kv1", "kv2")
        self.end_proj1, self.end_proj2 = nn.Linear(2 * C, C), nn.Linear(2 * C, C)
        self.norm1, self.norm2 = nn.LayerNorm(C), nn.LayerNorm(C)

    def forward(self, ir: Tensor, vis: Tensor, seg: Tensor) -> tuple[Tensor, Tensor]:
        y_ir, u_ir = F.relu(self.channel_proj1(ir)).chunk(2, dim=-1)
        y_vis, u_vis = F.relu(self.channel_proj2(vis)).chunk(2, dim=-1)
        y_seg, u_seg = F.relu(self.channel_proj3(seg)).chunk(2, dim=-1)
        kv1, kv2, kv3 = (*self.cross_attn2.children(), *self.cross_attn.children())
        a = torch.cat((looked_up(y_seg, kv1, y_ir), looked_up(u_ir, kv3, u_seg)), dim=-1)
        b = torch.cat((looked_up(y_seg, kv2, y_vis), looked_up(u_vis, kv3, u_seg)), dim=-1)
        return self.norm1(ir + self.end_proj1(a)), self.norm2(vis + self.end_proj2(b))


class Interaction(nn.Module):
    """:class:`Cross` of maps ``[B,64,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.cross = Cross()

    def forward(self, ir: Tensor, vis: Tensor, seg: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.cross(*(x.flatten(2).transpose(1, 2) for x in (ir, vis, seg)))
        return first.transpose(1, 2).view_as(ir), second.transpose(1, 2).view_as(vis)


class Fusion(nn.Module):
    """The fusion network, ``Fusion_Network3_ac``. ``ffm2`` is released and not used.

    Args:
        dims: channels of the maps of the segmentation.
    """

    def __init__(self, dims: Four = DIMS) -> None:
        super().__init__()
        self.conv1_ir, self.conv1_vis = (nn.Conv2d(1, C, 3, padding=1) for _ in range(2))
        self.DRDB1, self.DRDB2, self.DRDB3, self.DRDB4 = (DenseDilated() for _ in range(4))
        self.conv2 = nn.Conv2d(2 * C, C, 3, padding=1)
        self.relu = nn.PReLU()
        self.ffm, self.ffm2 = Interaction(), Interaction()
        self.conv3, self.conv4 = nn.Conv2d(dims[0], C, 1), nn.Conv2d(dims[1], C, 1)
        self.conv21, self.conv22 = nn.Conv2d(C, C // 2, 3, padding=1), nn.Conv2d(C // 2, 1, 3, padding=1)

    def forward(self, ir: Tensor, vis: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        ir, vis = self.DRDB1(self.relu(self.conv1_ir(ir))), self.DRDB2(self.relu(self.conv1_vis(vis)))
        ir, vis = self.ffm(ir, vis, self.conv3(fine))
        ir, vis = self.ffm(self.DRDB3(ir), self.DRDB4(vis), self.conv4(coarse))
        x = torch.cat((ir, vis), dim=1)
        for layer in (self.conv2, self.conv21, self.conv22):
            x = self.relu(layer(x))
        return x


class Merge(nn.Module):
    """1x1 convolution of the four scales, normalisation, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * width, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class SegFormerHead(nn.Module):
    """The segmentation's decoder, of the maps of four stages; the fusion needs the encoder's only."""

    def __init__(self, dims: Four, width: int, classes: int) -> None:
        super().__init__()
        for number, dim in enumerate(dims, 1):
            self.add_module(f"linear_c{number}", TokenLinear(dim, width))
        self.linear_fuse = Merge(width)
        self.linear_pred = nn.Conv2d(width, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        own = [self.get_submodule(f"linear_c{number}")(x) for number, x in enumerate(maps, 1)]
        x = self.linear_fuse(at_one_size(own[::-1], maps[0].shape[-2:]))
        out: Tensor = self.linear_pred(F.dropout2d(x, 0.1, self.training))
        return out


class Segmentation(nn.Module):
    """SegFormer: encoder, decoder and a classifier of the last map, which is released and not used."""

    def __init__(self, size: Size = SIZES["mit-b3"], classes: int = CLASSES) -> None:
        super().__init__()
        self.denoise_net = nn.Module()
        encoder = nn.Module()
        add_encoder(encoder, size.depths, dims=size.dims)
        self.denoise_net.add_module("encoder", encoder)
        self.denoise_net.add_module("decoder", SegFormerHead(size.dims, size.width, classes))
        self.denoise_net.add_module("classifier", nn.Conv2d(size.dims[-1], classes, 1, bias=False))

    def forward(self, mask: Tensor, stages: int = 2) -> list[Tensor]:
        """The first maps of the encoder."""
        encoder = self.denoise_net.get_submodule("encoder")
        maps = [mask]
        for number in range(1, stages + 1):
            maps.append(encoded(encoder, number, maps[-1]))
        return maps[1:]

    def logits(self, image: Tensor) -> Tensor:
        """Scores of classes ``[B,classes,H/4,W/4]`` of a normalised image ``[B,3,H,W]``."""
        out: Tensor = self.denoise_net.get_submodule("decoder")(self(image, 4))
        return out


def at_size(maps: list[Tensor], size: torch.Size) -> list[Tensor]:
    """Maps brought to the size of an image."""
    return [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in maps]


def salient(ir: Tensor, vis: Tensor) -> Tensor:
    """Two grey images ``[B,1,H,W]`` in [0,1] as one, each weighted by its saliency (as VSMWLS weights its bases)."""
    share = 0.5 + 0.5 * (saliency(ir) - saliency(vis))
    return share * ir + (1 - share) * vis


class SegMiFNet(nn.Module):
    """The two as they are used together; sides of at least 32 pixels.

    Args:
        size: of the segmentation.
        classes: that it tells apart.
    """

    def __init__(self, size: Size = SIZES["mit-b3"], classes: int = CLASSES) -> None:
        super().__init__()
        self.fusion, self.seg = Fusion(size.dims), Segmentation(size, classes)

    @classmethod
    def like(cls, state: Mapping[str, object]) -> SegMiFNet:
        """A network of the size and classes that a state dict has; the released one where it has others."""
        ends = [state.get(f"seg.denoise_net.{name}.weight") for name in ENDS]
        first, last = (end.shape[0] if isinstance(end, Tensor) and end.ndim else 0 for end in ends)
        size = next((size for size in SIZES.values() if size.dims[0] == first), SIZES["mit-b3"])
        return cls(size, last if 1 < last <= 256 else CLASSES)

    def forward(self, ir: Tensor, vis: Tensor, mask: Tensor) -> Tensor:
        """Fused image of two grey ones ``[B,1,H,W]`` in [0,1] and a mask ``[B,3,H,W]``; of no fixed range."""
        fine, coarse = at_size(self.seg(mask), ir.shape[-2:])
        out: Tensor = self.fusion(ir, vis, fine, coarse)
        return out
