"""SMoA's two encoders and decoder under the names of the released checkpoints; 174,667 parameters.

Liu et al., "SMoA: Searching a Modality-Oriented Architecture for Infrared and Visible Image Fusion", IEEE Signal
Processing Letters 28, 2021: the cells below are what the search found.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 16
Genes = tuple[tuple[str, int], ...]  # an operation and the state it takes; each two make a new state
INFRARED: Genes = (
    *(("sep3", 0), ("attention", 1), ("sep3", 0), ("sep3", 2)),
    *(("sep5", 0), ("sep5", 3), ("dense", 4), ("dense", 3)),
)
VISIBLE: Genes = (
    *(("attention", 1), ("dilated", 0), ("dilated", 0), ("sep3", 2)),
    *(("sep3", 0), ("attention", 2), ("sep3", 0), ("sep3", 1)),
)
DECODER: Genes = (
    *(("sep3", 0), ("dense", 1), ("sep3", 2), ("sep3", 0)),
    *(("sep5", 2), ("sep3", 0), ("dense", 4), ("sep3", 0)),
)


def conv(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    """Convolution with mirrored edges and no bias."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(inputs, outputs, kernel, 1, padding, dilation, groups=groups, bias=False, padding_mode="reflect")


class Named(nn.Module):
    """A convolution called ``conv``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Operation(nn.Module):
    """Layers called ``op``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


def separable(kernel: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, a depthwise convolution, a pointwise one."""
    return [nn.ReLU(), conv(WIDTH, WIDTH, kernel, dilation, WIDTH), conv(WIDTH, WIDTH, 1)]


class Spatial(nn.Module):
    """Features times a weight in (0,1) for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = Named(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial(both))


class Attention(nn.Module):
    """A residual block with spatial attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.se, self.relu = conv(WIDTH, WIDTH), Named(WIDTH, WIDTH), Spatial(), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        out: Tensor = self.relu(self.se(self.conv2(self.relu(x))) + x)
        return out


class Dense(nn.Module):
    """Three convolutions, each of all before it; the last is scaled and added."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (Named(WIDTH * i, WIDTH) for i in (1, 2, 3))
        self.lrelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        first = self.lrelu(self.conv1(x))
        second = self.lrelu(self.conv2(torch.cat((x, first), dim=1)))
        out: Tensor = self.lrelu(self.conv3(torch.cat((x, first, second), dim=1))) * 0.333333 + x
        return out


def operation(name: str) -> nn.Module:
    """One operation of the search space."""
    if name == "attention":
        return Attention()
    if name == "dense":
        return Dense()
    if name == "dilated":
        return Operation(*separable(3, dilation=2))
    kernel = int(name.removeprefix("sep"))
    return Operation(*separable(kernel), *separable(kernel))


class Cell(nn.Module):
    """What was found: four new states of two given ones, side by side."""

    def __init__(self, genes: Genes, before: int, last: int) -> None:
        super().__init__()
        self.preprocess0 = Operation(nn.ReLU(), conv(before, WIDTH, 1))
        self.preprocess1 = Operation(nn.ReLU(), conv(last, WIDTH, 1))
        self.taken = [state for _, state in genes]
        self._ops = nn.ModuleList(operation(name) for name, _ in genes)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        states = [self.preprocess0(before), self.preprocess1(last)]
        made = [(op, state) for op, state in zip(self._ops, self.taken, strict=True)]
        for (first, a), (second, b) in zip(made[::2], made[1::2], strict=True):
            states.append(first(states[a]) + second(states[b]))
        return torch.cat(states[2:], dim=1)


class Encoder(nn.Module):
    """An image ``[B,1,H,W]`` to the outputs of two cells, each ``[B,64,H,W]``."""

    def __init__(self, genes: Genes) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 8, 3, bias=False))
        self.cells = nn.ModuleList((Cell(genes, 8, 8), Cell(genes, 8, 4 * WIDTH)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        first = self.cells[0](x, x)
        return first, self.cells[1](x, first)


class Decoder(nn.Module):
    """Two fused maps to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList(Cell(DECODER, 4 * WIDTH, 4 * WIDTH) for _ in range(2))
        self.ConvLayer = nn.Conv2d(4 * WIDTH, 1, 3, padding=1, padding_mode="reflect")

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        third = self.cells[0](first, second)
        out: Tensor = self.ConvLayer(self.cells[1](second, third))
        return out


def saliency(x: Tensor) -> Tensor:
    """How far the level of each value is from all levels of one image's features ``[C,H,W]``, over the largest."""
    top = x.max()
    levels = (x / torch.where(top == 0, torch.ones_like(top), top) * 255).int()
    inside = (levels >= 0) & (levels <= 255)
    counts = torch.bincount(levels[inside].flatten(), minlength=256).double()
    steps = torch.arange(256, device=x.device, dtype=torch.float64)
    distance = ((steps[:, None] - steps).abs() @ counts).float()
    distance = distance / distance.max().clamp(min=1)
    return torch.where(inside, distance[levels.clamp(0, 255)], torch.zeros_like(x))


class SMoANet(nn.Module):
    """An encoder for each kind of image; their maps are weighted by visual saliency, image by image."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1, self.encoder2, self.decoder = Encoder(INFRARED), Encoder(VISIBLE), Decoder()

    def merge(self, ir: Tensor, vis: Tensor) -> Tensor:
        """One map of two."""
        a, b = (torch.stack([saliency(image) for image in x]) for x in (ir, vis))
        return (0.5 + 0.5 * (a - b)) * ir + (0.5 + 0.5 * (b - a)) * vis

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in 0..255; about 0..255."""
        maps = zip(self.encoder1(ir), self.encoder2(vis), strict=True)
        fused: Tensor = self.decoder(*(self.merge(a, b) for a, b in maps))
        return fused
