"""CDDFuse's four networks under the names of the release; 1,188,272 parameters.

Zhao et al., "CDDFuse: Correlation-Driven Dual-Branch Feature Decomposition for Multi-Modality Image Fusion", CVPR 2023,
section 3: a shared encoder splits each image into base and detail, a layer each fuses them, a decoder makes the image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods._global_feature import GlobalFeature
from fusionbench.methods.refusion.network import Block

DIM = 64


def conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


class Bottleneck(nn.Module):
    """1x1, depthwise 3x3, 1x1."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        wide = channels * expansion
        self.bottleneckBlock = nn.Sequential(
            conv(channels, wide, 1),
            nn.ReLU6(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(wide, wide, 3, groups=wide, bias=False),
            nn.ReLU6(),
            conv(wide, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bottleneckBlock(x)
        return out


class DetailNode(nn.Module):
    """Affine coupling of two halves: nothing of either is lost."""

    def __init__(self, half: int = DIM // 2) -> None:
        super().__init__()
        self.theta_phi, self.theta_rho, self.theta_eta = Bottleneck(half), Bottleneck(half), Bottleneck(half)
        self.shffleconv = nn.Conv2d(2 * half, 2 * half, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.shffleconv(torch.cat((first, second), dim=1)).chunk(2, dim=1)
        second = second + self.theta_phi(first)
        return first * self.theta_rho(second).exp() + self.theta_eta(second), second


class DetailFeature(nn.Module):
    """Invertible nodes one after the other, ``[B,64,H,W]`` to the same."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(DetailNode() for _ in range(nodes))

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        for node in self.net:
            first, second = node(first, second)
        return torch.cat((first, second), dim=1)


class PatchEmbed(nn.Module):
    """One channel to 64, at every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = conv(1, DIM, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class Encoder(nn.Module):
    """An image ``[B,1,H,W]`` to its base and its detail, each ``[B,64,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.encoder_level1 = nn.Sequential(*(Block(DIM) for _ in range(4)))
        self.baseFeature = GlobalFeature(DIM)
        self.detailFeature = DetailFeature(3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.encoder_level1(self.patch_embed(x))
        return self.baseFeature(shared), self.detailFeature(shared)


class Decoder(nn.Module):
    """Base and detail to an image in (0,1), added to the visible one before the sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce_channel = conv(2 * DIM, DIM, 1)
        self.encoder_level2 = nn.Sequential(*(Block(DIM) for _ in range(4)))
        self.output = nn.Sequential(conv(DIM, DIM // 2, 3), nn.LeakyReLU(), conv(DIM // 2, 1, 3))

    def forward(self, vis: Tensor, base: Tensor, detail: Tensor) -> Tensor:
        x = self.encoder_level2(self.reduce_channel(torch.cat((base, detail), dim=1)))
        return torch.sigmoid(self.output(x) + vis)


class CDDFuseNet(nn.Module):
    """The four, as they are used together."""

    def __init__(self) -> None:
        super().__init__()
        self.DIDF_Encoder, self.DIDF_Decoder = Encoder(), Decoder()
        self.BaseFuseLayer, self.DetailFuseLayer = GlobalFeature(DIM), DetailFeature(1)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        base_v, detail_v = self.DIDF_Encoder(vis)
        base_i, detail_i = self.DIDF_Encoder(ir)
        out: Tensor = self.DIDF_Decoder(
            vis, self.BaseFuseLayer(base_v + base_i), self.DetailFuseLayer(detail_v + detail_i)
        )
        return out
