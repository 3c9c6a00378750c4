"""CTDNet-18: salient object detection by a ResNet-18 and three complementary decoder paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.tasks.network import (
    Normalise,
    Prediction,
    Target,
    TaskNetwork,
    evaluating,
    load_backbone,
    one_channel,
)

MEAN = (124.55, 118.90, 102.94)  # RGB, of 255
STD = (56.77, 55.97, 57.50)
WEIGHTS = {"final": 1.0, "spatial": 1 / 2, "semantic": 1 / 4, "context": 1 / 8, "image": 1 / 16}  # of the losses


class CTDNet18(TaskNetwork):
    """CTDNet with a ResNet-18 backbone; 11,825,368 parameters with RGB input (the paper prints 11.82M).

    Images ``[B,C,H,W]`` of any size. Backbone levels l1 (1/4) to l5 (1/32); decoder width 64. The semantic path fuses
    the global average of l5 with l5, and that (at 1/16) with l4; the spatial path attends to l3 (1/8) and is
    aggregated with the semantic one; the boundary path fuses l2 (1/4) with the semantic context, and boundary
    refinement adds both. All resizes are bilinear with aligned corners.

    Loss: ``L(final) + BCE(edge) + L(spatial)/2 + L(semantic)/4 + L(context)/8 + L(image)/16``, each map resized to the
    image; ``L = 1 - mean((sum p g + 1) / (sum (p + g) - sum p g + 1)) + .6 BCE``, p = sigmoid of the logits. Edge
    targets are made from the mask by :func:`edges`; the authors read theirs from files that came with the data.

    Normalised with CLDyN's mean and deviation, which are those of the released code. Zhao, Xia, Xie and Li,
    "Complementary Trilateral Decoder for Fast and Accurate Salient Object Detection", ACM MM 2021, and
    iCVTEAM/CTDNet.

    Args:
        channels: 3 (RGB) or 1. One channel is normalised by the mean of the three constants.
        backbone: a local ResNet-18 file (torchvision, timm or OpenMMLab names), or None for random weights.
        layout: whose names that file uses, see :func:`fusionbench.tasks.network.load_backbone`.
        width: channels of the first level and of the decoder, 64 as published; the other levels have 2, 4, 8 times it.
    """

    def __init__(
        self,
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "torchvision",
        width: int = 64,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.normalise = Normalise(MEAN, STD, channels)
        self.backbone = ResNet18(width)
        if channels == 1:
            one_channel(self.backbone)
        self.image_reduce = _reduce(8 * width, width)
        self.context_reduce = _reduce(8 * width, width)
        self.semantic_reduce = _reduce(4 * width, width)
        self.boundary_reduce = _reduce(width, width)
        self.context_fuse = Fusion(width)
        self.semantic_fuse = Fusion(width)
        self.spatial = SpatialAttention(2 * width, width)
        self.aggregate = CrossAggregation(width)
        self.boundary_fuse = Fusion(width)
        self.refine = BoundaryRefinement(width)
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, 1, 3, padding=1) for name in (*WEIGHTS, "edge")})
        _initialise(self)
        if backbone is not None:
            load_backbone(self.backbone, backbone, layout)

    def forward(self, images: Tensor) -> Maps:
        """The decoder's maps, before their heads."""
        l2, l3, l4, l5 = self.backbone(self.normalise(images))
        image = _as_one(self.image_reduce, l5.mean((2, 3), keepdim=True))
        context = self.context_fuse(_resize(image, l5), F.relu(self.context_reduce(l5)))
        context = _resize(context, l4)
        semantic = self.semantic_fuse(context, F.relu(self.semantic_reduce(l4)))
        spatial = _resize(self.aggregate(semantic, self.spatial(l3)), l2)
        edge = self.boundary_fuse(F.relu(self.boundary_reduce(l2)), _resize(context, l2))
        final = self.refine(spatial, edge)
        return Maps(final, spatial, semantic, context, _resize(image, l5), edge)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """Deep supervision of all maps against the targets' saliency, and of the edge against the mask's edges."""
        mask = _masks(images, targets)
        maps = self(images)._asdict()
        maps["final"] = F.relu(maps["final"])
        logits = {name: _resize(head(maps[name]), images) for name, head in self.heads.items()}
        total = F.binary_cross_entropy_with_logits(logits["edge"], edges(mask))
        for name, weight in WEIGHTS.items():
            total = total + weight * _map_loss(logits[name], mask)
        return total

    def predict(self, images: Tensor) -> list[Prediction]:
        """Saliency maps ``[1,H,W]`` in [0,1] at the size of the images; evaluation mode, no gradients."""
        with evaluating(self):
            maps = _resize(self.heads["final"](F.relu(self(images).final)), images).sigmoid()
        return [Prediction(saliency=saliency) for saliency in maps]

    def features(self, images: Tensor) -> Tensor:
        """Output of the last batch normalisation of the boundary refinement, before its ReLU: ``[B,64,H/4,W/4]``.

        This is the layer CLDyN listens to.
        """
        maps: Maps = self(images)
        return maps.final


class Maps(NamedTuple):
    """What the decoder gives, each ``[B,width,h,w]``: `final` is taken before its last ReLU."""

    final: Tensor
    spatial: Tensor
    semantic: Tensor
    context: Tensor
    image: Tensor
    edge: Tensor


def edges(mask: Tensor) -> Tensor:
    """Morphological gradient of a mask, 3x3: dilation less erosion.

    One pixel on either side of every contour; the image border is no contour.

    Args:
        mask: ``[B,1,H,W]`` in [0,1].

    Returns:
        same shape.
    """
    return F.max_pool2d(mask, 3, 1, 1) + F.max_pool2d(-mask, 3, 1, 1)


def _masks(images: Tensor, targets: Sequence[Target]) -> Tensor:
    """Saliency of the targets as ``[B,1,H,W]`` of the images' type."""
    if len(targets) != len(images):
        raise ValueError(f"{len(images)} images and {len(targets)} targets")
    masks = []
    for target in targets:
        if target.saliency is None:
            raise ValueError("a saliency network needs targets with a saliency map")
        mask = target.saliency.to(images).reshape(1, *target.saliency.shape[-2:])
        if mask.shape[-2:] != images.shape[-2:]:
            raise ValueError(f"saliency map {list(mask.shape[-2:])} and image {list(images.shape[-2:])} differ in size")
        masks.append(mask)
    return torch.stack(masks)


def _map_loss(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.sigmoid()
    both, either = (p * mask).sum((1, 2, 3)), (p + mask).sum((1, 2, 3))
    overlap = (both + 1) / (either - both + 1)
    return 1 - overlap.mean() + 0.6 * F.binary_cross_entropy_with_logits(logits, mask)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-2:]
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _conv3(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, stride, 1, bias=False)


def _block(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv3(into, out, stride), nn.BatchNorm2d(out), nn.ReLU())


def _reduce(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out))


def _as_one(layer: nn.Sequential, x: Tensor) -> Tensor:
    """A convolution with batch normalisation on ``[B,C,1,1]``.

    A batch of one image has no statistics of its own in training: it takes the running ones.
    """
    norm = layer[1]
    if not (isinstance(norm, nn.BatchNorm2d) and norm.training and len(x) == 1):
        y: Tensor = layer(x)
        return y
    return F.batch_norm(layer[0](x), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _initialise(network: nn.Module) -> None:
    """He initialisation by fan-in, biases 0."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Fusion(nn.Module):
    """Two maps ``[B,width,h,w]`` multiplied, then two blocks of 3x3 convolution, batch normalisation and ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(width, width), _block(width, width))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Same shape."""
        y: Tensor = self.blocks(a * b)
        return y


class CrossAggregation(nn.Module):
    """High (1/16) and low (1/8) maps multiplied at either resolution, then fused at that of the low."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = _block(width, width, stride=2)
        self.fine = _block(width, width)
        self.coarse = _block(width, width)
        self.fuse = Fusion(width)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """The shape of `low`."""
        fine = self.fine(low * _resize(high, low))
        coarse = self.coarse(self.down(low) * high)
        y: Tensor = self.fuse(fine, _resize(coarse, low))
        return y


class SpatialAttention(nn.Module):
    """A map times the sigmoid of a 3x3 convolution of its mean and maximum over channels, then a block."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.attend = _conv3(2, 1)
        self.block = _block(into, out)

    def forward(self, x: Tensor) -> Tensor:
        """``[B,into,h,w]`` to ``[B,out,h,w]``."""
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        y: Tensor = self.block(x * self.attend(summary).sigmoid())
        return y


class BoundaryRefinement(nn.Module):
    """The sum of two maps, its channels gated, then two blocks, the second without its ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(width, width, 1, bias=False)
        self.block = _block(width, width)
        self.last = nn.Sequential(_conv3(width, width), nn.BatchNorm2d(width))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Same shape; the callers apply the ReLU."""
        x = a + b
        gate = self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        y: Tensor = self.last(self.block(x * gate + x))
        return y


class ResNet18(nn.Module):
    """ResNet-18 without its classifier, parameters named as torchvision names them; 11,176,512 of them.

    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.conv1 = nn.Conv2d(3, w, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.layer1 = nn.Sequential(BasicBlock(w, w), BasicBlock(w, w))
        self.layer2 = nn.Sequential(BasicBlock(w, 2 * w), BasicBlock(2 * w, 2 * w))
        self.layer3 = nn.Sequential(BasicBlock(2 * w, 4 * w), BasicBlock(4 * w, 4 * w))
        self.layer4 = nn.Sequential(BasicBlock(4 * w, 8 * w), BasicBlock(8 * w, 8 * w))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Levels at 1/4, 1/8, 1/16 and 1/32, with 1, 2, 4 and 8 times the width in channels."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        levels = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(x)
        return levels


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; the first halves the resolution where the width changes."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        stride = 1 if into == out else 2
        self.conv1, self.bn1 = _conv3(into, out, stride), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = _conv3(out, out), nn.BatchNorm2d(out)
        self.downsample = None
        if into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """``[B,into,h,w]`` to ``[B,out,h,w]`` or half of it."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))
