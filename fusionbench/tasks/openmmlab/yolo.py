"""Backbone and neck of YOLOv5 (release 6) and YOLOv8, registered with mmdetection. Imported behind ``load("mmdet")``.

Written from public descriptions of the two families, with mmdetection's parts. YOLOv5's C3 block is mmdetection's
``CSPLayer``; YOLOv8's C2f block passes on the output of every bottleneck; both end in a fast spatial pyramid (SPPF)
and share the path aggregation neck (Liu et al. 2018, PANet) with nearest upsampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.models.layers import CSPLayer
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor, nn

NORM = {"type": "BN", "momentum": 0.03, "eps": 1e-3}
ACT = {"type": "SiLU", "inplace": True}
WIDTHS = (64, 128, 256, 512, 1024)  # at width 1
DEPTHS = {"v5": (3, 6, 9, 3), "v8": (3, 6, 6, 3)}  # at depth 1


def conv(into: int, out: int, kernel: int = 1, stride: int = 1, padding: int | None = None) -> ConvModule:
    """Convolution without bias, batch normalisation, SiLU."""
    padding = kernel // 2 if padding is None else padding
    return ConvModule(into, out, kernel, stride, padding, norm_cfg=NORM, act_cfg=ACT)


def precise(x: Tensor) -> Tensor:
    """At least single precision: half is too coarse for pixels."""
    return x if x.dtype == torch.float64 else x.float()


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a shortcut if asked for."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.first, self.second, self.shortcut = conv(width, width, 3), conv(width, width, 3), shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        y: Tensor = self.second(self.first(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """One 1x1 convolution split in halves, bottlenecks in a row on the second; all of it is concatenated and mixed."""

    def __init__(self, into: int, out: int, blocks: int, shortcut: bool) -> None:
        super().__init__()
        half = out // 2
        self.split = conv(into, 2 * half)
        self.blocks = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(blocks))
        self.mix = conv((2 + blocks) * half, out)

    def forward(self, x: Tensor) -> Tensor:
        """``[B,into,H,W]`` to ``[B,out,H,W]``."""
        parts = list(self.split(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        mixed: Tensor = self.mix(torch.cat(parts, 1))
        return mixed


class SPPF(nn.Module):
    """Three 5x5 max pools in a row, concatenated with what went in, between two 1x1 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.mix = conv(width, width // 2), conv(2 * width, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        parts = [self.reduce(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        mixed: Tensor = self.mix(torch.cat(parts, 1))
        return mixed


def block(family: str, into: int, out: int, blocks: int, shortcut: bool) -> nn.Module:
    """The family's main block: C3 (``v5``) or C2f (``v8``)."""
    if family == "v8":
        return C2f(into, out, blocks, shortcut)
    c3: nn.Module = CSPLayer(into, out, num_blocks=blocks, add_identity=shortcut, norm_cfg=NORM, act_cfg=ACT)
    return c3


def bias_of(branch: nn.Module) -> Tensor:
    """The bias of a branch's last convolution, to be changed in place."""
    *_, last = (part for part in branch.modules() if isinstance(part, nn.Conv2d))
    assert last.bias is not None
    return last.bias.data


def scaled(width: float, depth: float, family: str) -> tuple[list[int], list[int]]:
    """Channels of the five levels (multiples of 8) and blocks of the last four."""
    return [8 * max(1, -int(-w * width // 8)) for w in WIDTHS], [max(1, round(n * depth)) for n in DEPTHS[family]]


@MODELS.register_module(name="FusionbenchYOLOBackbone", force=True)
class YOLOBackbone(BaseModule):
    """Levels P3, P4, P5 (strides 8, 16, 32).

    Args:
        family: ``v5`` or ``v8``.
        width: factor on the channels.
        depth: factor on the number of blocks.
    """

    def __init__(self, family: str, width: float, depth: float, init_cfg: ConfigDict | None = None) -> None:
        super().__init__(init_cfg)
        channels, blocks = scaled(width, depth, family)
        self.stem = conv(3, channels[0], 6, 2, 2) if family == "v5" else conv(3, channels[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(into, out, 3, 2), block(family, out, out, count, True))
            for into, out, count in zip(channels, channels[1:], blocks, strict=False)
        )
        self.pyramid = SPPF(channels[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[B,3,H,W]`` to three levels."""
        x, levels = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels[1], levels[2], self.pyramid(levels[3])


@MODELS.register_module(name="FusionbenchYOLONeck", force=True)
class YOLONeck(BaseModule):
    """Path aggregation: down from P5 to P3, and up again.

    In YOLOv5 a 1x1 convolution precedes each upsampling, and its output is what the way up meets again.

    Args:
        family: ``v5`` or ``v8``.
        width: factor on the channels.
        depth: factor on the number of blocks.
    """

    def __init__(self, family: str, width: float, depth: float, init_cfg: ConfigDict | None = None) -> None:
        super().__init__(init_cfg)
        (_, _, c3, c4, c5), (count, *_) = scaled(width, depth, family)
        lateral = family == "v5"
        self.lateral5 = conv(c5, c4) if lateral else nn.Identity()
        self.lateral4 = conv(c4, c3) if lateral else nn.Identity()
        top, middle = (c4, c3) if lateral else (c5, c4)  # channels of what goes up
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.down4 = block(family, top + c4, c4, count, False)
        self.down3 = block(family, middle + c3, c3, count, False)
        self.stride4, self.up4 = conv(c3, c3, 3, 2), block(family, c3 + middle, c4, count, False)
        self.stride5, self.up5 = conv(c4, c4, 3, 2), block(family, c4 + top, c5, count, False)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """P3, P4, P5 to the same three shapes; the last is the output of the last C3 or C2f."""
        p3, p4, p5 = levels
        p5 = self.lateral5(p5)
        p4 = self.lateral4(self.down4(torch.cat((self.upsample(p5), p4), 1)))
        p3 = self.down3(torch.cat((self.upsample(p4), p3), 1))
        p4 = self.up4(torch.cat((self.stride4(p3), p4), 1))
        p5 = self.up5(torch.cat((self.stride5(p4), p5), 1))
        return p3, p4, p5
