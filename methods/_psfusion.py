"""Blocks of PSFusion's network, under the names of the release."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FReLU(nn.Module):
    """The larger of a pixel and what a depthwise convolution sees around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_frelu = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.bn_frelu = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.bn_frelu(self.conv_frelu(x)))


class BConv(nn.Module):
    """3x3 convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.basicconv = nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.basicconv(x)
        return out


def pointwise(inputs: int, inner: int, outputs: int) -> list[nn.Module]:
    """1x1 convolution, normalisation, ReLU, and the same without the last."""
    first = [nn.Conv2d(inputs, inner, 1), nn.BatchNorm2d(inner), nn.ReLU()]
    return [*first, nn.Conv2d(inner, outputs, 1), nn.BatchNorm2d(outputs)]


class AttentionFusion(nn.Module):
    """Two maps of ``c`` channels to one, by a weight for each value."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.Recalibrate = nn.Sequential(nn.AdaptiveAvgPool2d(1), *pointwise(2 * c, c // 2, 2 * c), nn.Sigmoid())
        self.channel_agg = nn.Sequential(nn.Conv2d(2 * c, c, 1), nn.BatchNorm2d(c), nn.ReLU())
        self.local_att = nn.Sequential(*pointwise(c, c // 4, c))
        self.global_att = nn.Sequential(nn.AdaptiveAvgPool2d(1), *pointwise(c, c // 4, c))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.cat((a, b), dim=1)
        both = both * (1 + self.Recalibrate(both))
        joined = self.channel_agg(both)
        weight = (self.local_att(joined) * self.global_att(joined)).sigmoid()
        a, b = both.chunk(2, dim=1)
        out: Tensor = weight * a + (1 - weight) * b
        return out


class SDFM(nn.Module):
    """Superficial detail fusion: maps of fine scales."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for name in ("RGB", "Inf"):
            for part, before in (("obj1_1", inputs), ("obj1_2", outputs), ("spr", outputs)):
                self.add_module(name + part, BConv(before, outputs))
        self.obj_fuse = AttentionFusion(outputs)

    def branch(self, name: str, x: Tensor) -> Tensor:
        """What one modality gives."""
        for part in ("obj1_1", "obj1_2", "spr"):
            x = self.get_submodule(name + part)(x)
        return x

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        out: Tensor = self.obj_fuse(self.branch("RGB", rgb), self.branch("Inf", ir))
        return out


class DenseLayer(nn.Module):
    """Four narrow convolutions, each of all that is before it; the last joins the input."""

    def __init__(self, inputs: int, outputs: int = 64) -> None:
        super().__init__()
        inner = outputs // 4
        self.down = nn.Conv2d(inputs, inner, 1)
        self.denseblock = nn.ModuleList(BConv(inner * number, inner) for number in range(1, 5))
        self.fuse = BConv(inputs + inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.down(x)
        made: list[Tensor] = []
        for layer in self.denseblock:
            made.append(layer(torch.cat((*made, first), dim=1)))
        out: Tensor = self.fuse(torch.cat((x, made[-1]), dim=1))
        return out


class CrossAttention(nn.Module):
    """Pixels of each modality, looked up by both; each is added to the other's."""

    def __init__(self, c: int = 64) -> None:
        super().__init__()
        self.RGB_K, self.RGB_V, self.Q = BConv(c, c), BConv(c, c), BConv(2 * c, c)
        self.INF_K, self.INF_V, self.Second_reduce = BConv(c, c), BConv(c, c), BConv(2 * c, c)
        self.gamma1, self.gamma2 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def looked_up(self, name: str, x: Tensor, query: Tensor) -> Tensor:
        """Values of one modality."""
        key, value = (self.get_submodule(f"{name}_{part}")(x).flatten(2).transpose(1, 2) for part in "KV")
        found = F.scaled_dot_product_attention(key, query.flatten(2).transpose(1, 2), value, scale=1.0)
        return found.transpose(1, 2).reshape(x.shape)

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        query = self.Q(torch.cat((rgb, ir), dim=1))
        a = self.gamma1 * self.looked_up("RGB", rgb, query) + ir
        b = self.gamma2 * self.looked_up("INF", ir, query) + rgb
        out: Tensor = self.Second_reduce(torch.cat((a, b), dim=1))
        return out


class PSFM(nn.Module):
    """Profound semantic fusion: maps of coarse scales."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.RGBobj, self.Infobj = DenseLayer(inputs), DenseLayer(inputs)
        self.obj_fuse = CrossAttention()

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        out: Tensor = self.obj_fuse(self.RGBobj(rgb), self.Infobj(ir))
        return out


class Normalised(nn.Module):
    """3x3 convolution and normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, normalised twice, ReLU."""
    return nn.Sequential(Normalised(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())


class SemanticDecoder(nn.Module):
    """Three convolutions, 256 channels to 64."""

    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = block(256, 64), block(64, 64), block(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block3(self.block2(self.block1(x)))
        return out


class DSRM(nn.Module):
    """Dense scene reconstruction: four convolutions, each of all that is before it."""

    def __init__(self, c: int = 32) -> None:
        super().__init__()
        for number in range(1, 5):
            self.add_module(f"block{number}", block(c * number, c))

    def forward(self, x: Tensor) -> Tensor:
        made = x
        for layer in self.children():
            x = layer(made)
            made = torch.cat((made, x), dim=1)
        return x


class SIM(nn.Module):
    """Semantic injection: a map, normalised per image, gets scale and offset from another."""

    def __init__(self, semantic: int, c: int = 32) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(semantic, c, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.Sigmoid())
        self.mlp_beta = nn.Conv2d(c, c, 3, padding=1)
        self.bn = nn.BatchNorm2d(c)

    def forward(self, x: Tensor, semantic: Tensor) -> Tensor:
        semantic = F.interpolate(semantic, x.shape[-2:], mode="bilinear", align_corners=False)
        shared = self.mlp_shared(semantic)
        out: Tensor = self.bn(F.instance_norm(x) * (1 + self.mlp_gamma(shared))) + self.mlp_beta(shared)
        return out


class Mask(nn.Module):
    """What of a map belongs to one modality."""

    def __init__(self, c: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(c, c, 3, padding=1, groups=c), nn.BatchNorm2d(c), nn.ReLU()]
        self.local_att = nn.Sequential(*layers[:-1])
        self.global_att = nn.Sequential(nn.AdaptiveAvgPool2d(1), *pointwise(c, c // 4, c))
        self.conv_block = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_block(x * (self.local_att(x) * self.global_att(x)).sigmoid())
        return out


class Head(nn.Module):
    """A map to an image in (0,1)."""

    def __init__(self, masked: bool = False, c: int = 32) -> None:
        super().__init__()
        if masked:
            self.mask = Mask(c)
        self.conv_block = nn.Sequential(nn.Conv2d(c, 1, 3, padding=1), nn.Tanh())
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.conv_block(self.mask(x) if self.masked else x) + 1) / 2
        return out


class Point(nn.Module):
    """1x1 convolution, normalisation, ReLU6."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bnop = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.bnop(self.conv(x)))


def twice(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear, corners on corners."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


class Classifier(nn.Module):
    """Semantic features at a quarter of the size to foreground, classes and boundaries.

    ``boundary_conv1`` and ``boundary_conv2`` are released and not used.
    """

    def __init__(self, c: int = 64, classes: int = 9) -> None:
        super().__init__()
        self.binary_conv1, self.binary_conv2 = Point(c, c // 4), nn.Conv2d(c // 4, 2, 3, padding=1)
        self.semantic_conv1, self.semantic_conv2 = Point(c, c), nn.Conv2d(c, classes, 3, padding=1)
        self.boundary_conv1, self.boundary_conv2 = Point(2 * c, c), nn.Conv2d(c, 2, 3, padding=1)
        self.boundary_conv = nn.Sequential(
            nn.Conv2d(2 * c, c, 1), nn.BatchNorm2d(c), nn.ReLU6(), nn.Conv2d(c, 2, 3, padding=1)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        binary = self.binary_conv2(self.binary_conv1(x))
        weighted = twice(x * binary.softmax(1)[:, 1:])
        semantic = self.semantic_conv1(weighted)
        boundary = self.boundary_conv(torch.cat((semantic, twice(x)), dim=1))
        return {
            "binary": twice(binary, 4),
            "semantic": twice(self.semantic_conv2(semantic)),
            "boundary": twice(boundary),
        }
