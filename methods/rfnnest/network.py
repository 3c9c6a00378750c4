"""RFN-Nest's two networks under the names of the release; 2,732,761 and 4,791,488 parameters.

Li, Wu and Kittler, "RFN-Nest: An end-to-end residual fusion network for infrared and visible images", Information
Fusion 73, 2021, section 3: encoder and nested decoder, and a residual fusion network for each of four scales.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 112, 160, 208)


class Conv(nn.Module):
    """Convolution with mirrored borders, and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2d(x))


class Unit(nn.Module):
    """3x3 to half the channels, 1x1 to what is wanted."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.denseblock = nn.Sequential(Conv(inputs, inputs // 2, 3), Conv(inputs // 2, outputs, 1))

    def forward(self, *x: Tensor) -> Tensor:
        out: Tensor = self.denseblock(torch.cat(x, dim=1))
        return out


def up(x: Tensor, like: Tensor) -> Tensor:
    """Each pixel twice in both directions, mirrored at the borders to the size of ``like``."""
    x = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
    rows, columns = (have - own for have, own in zip(like.shape[-2:], x.shape[-2:], strict=True))
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="reflect")


class NestFuse(nn.Module):
    """Encoder of one image, nested decoder of fused features."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.conv0 = Conv(1, 16, 1)
        self.DB1_0, self.DB2_0, self.DB3_0, self.DB4_0 = Unit(16, a), Unit(a, b), Unit(b, c), Unit(c, d)
        self.DB1_1, self.DB2_1, self.DB3_1 = Unit(a + b, a), Unit(b + c, b), Unit(c + d, c)
        self.DB1_2, self.DB2_2 = Unit(2 * a + b, a), Unit(2 * b + c, b)
        self.DB1_3 = Unit(3 * a + b, a)
        self.conv_out = Conv(a, 1, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of an image ``[B,1,H,W]`` at four scales."""
        x1 = self.DB1_0(self.conv0(x))
        x2 = self.DB2_0(F.max_pool2d(x1, 2))
        x3 = self.DB3_0(F.max_pool2d(x2, 2))
        return [x1, x2, x3, self.DB4_0(F.max_pool2d(x3, 2))]

    def decode(self, f1: Tensor, f2: Tensor, f3: Tensor, f4: Tensor) -> Tensor:
        """An image ``[B,1,H,W]`` of features at four scales."""
        x11, x21 = self.DB1_1(f1, up(f2, f1)), self.DB2_1(f2, up(f3, f2))
        x12, x31 = self.DB1_2(f1, x11, up(x21, f1)), self.DB3_1(f3, up(f4, f3))
        x22 = self.DB2_2(f2, x21, up(x31, f2))
        out: Tensor = self.conv_out(self.DB1_3(f1, x11, x12, up(x22, f1)))
        return out


class ResidualFusion(nn.Module):
    """Features of two images of one scale to those of the fused one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_fusion = Conv(2 * width, width, 3)
        self.conv_ir, self.conv_vi = Conv(width, width, 3), Conv(width, width, 3)
        self.bottelblock = nn.Sequential(Conv(2 * width, width, 1), Conv(width, width, 3), Conv(width, width, 3))

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        fine = self.bottelblock(torch.cat((self.conv_ir(ir), self.conv_vi(vis)), dim=1))
        out: Tensor = self.conv_fusion(torch.cat((ir, vis), dim=1)) + fine
        return out


class RFN(nn.Module):
    """One residual fusion network for each scale."""

    def __init__(self) -> None:
        super().__init__()
        for number, width in enumerate(WIDTHS, 1):
            self.add_module(f"fusion_block{number}", ResidualFusion(width))

    def forward(self, ir: list[Tensor], vis: list[Tensor]) -> list[Tensor]:
        return [block(a, b) for block, a, b in zip(self.children(), ir, vis, strict=True)]


class RFNNestNet(nn.Module):
    """The two as they are used together; sides of at least 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.nestfuse, self.rfn = NestFuse(), RFN()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in 0..255; not negative, of no fixed range."""
        out: Tensor = self.nestfuse.decode(*self.rfn(self.nestfuse.encode(ir), self.nestfuse.encode(vis)))
        return out
