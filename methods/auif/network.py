"""AUIF's base and detail encoders and its decoder under the names of the released checkpoints; 11,631 parameters.

Zhao et al., "Efficient and Model-Based Infrared and Visible Image Fusion via Algorithm Unrolling", IEEE TCSVT 32(3),
2022, section III: ten steps of gradient descent for each of two decompositions, unrolled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS = 10
STRATEGIES = ("sum", "average", "l1")


def mirrored(x: Tensor, size: int) -> Tensor:
    """Edges mirrored by half a window."""
    return F.pad(x, (size // 2,) * 4, mode="reflect")


def blurred(x: Tensor) -> Tensor:
    """Mean of 11x11."""
    return F.avg_pool2d(mirrored(x, 11), 11, 1)


def laplacian(x: Tensor) -> Tensor:
    """Sum over 19x19 less 361 times the middle, over the sum of the kernel's absolute values, 720."""
    return (F.avg_pool2d(mirrored(x, 19), 19, 1) - x) * (361 / 720)


class Step(nn.Module):
    """One step: towards few features, and towards the image."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(64, 1, 3, 3))
        self.eta, self.theta = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.rest = nn.Sequential(nn.BatchNorm2d(1), nn.PReLU())

    def forward(self, part: Tensor, image: Tensor) -> Tensor:
        features = F.conv2d(mirrored(part, 3), self.kernel)
        back = F.conv2d(mirrored(features, 3), self.kernel.flip(-1, -2).transpose(0, 1))
        out: Tensor = part - self.eta * (self.rest(back) - self.theta * (image - part))
        return out


class Decoder(nn.Module):
    """Both parts, added, to an image in (0,1)."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(1, 1, 3, bias=False)
        self.decoder = nn.Sequential(nn.ReflectionPad2d(1), conv, nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(x)
        return out


class AUIFNet(nn.Module):
    """One pair of encoders for both images; base and detail are each fused by one strategy.

    Args:
        strategy: ``sum``, ``average``, or ``l1``: by their absolute values around a pixel.
    """

    def __init__(self, strategy: str = "sum") -> None:
        super().__init__()
        self.strategy = strategy
        self.conv1 = nn.ModuleList(Step() for _ in range(LAYERS))
        self.conv2 = nn.ModuleList(Step() for _ in range(LAYERS))
        self.decoder = Decoder()

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Base and detail of an image, each ``[B,1,H,W]``."""
        base, detail = blurred(image), laplacian(image)
        for step in self.conv1:
            base = step(base, image)
        for step in self.conv2:
            detail = step(detail, image)
        return base, detail

    def merge(self, ir: Tensor, vis: Tensor) -> Tensor:
        """One part of two."""
        if self.strategy == "l1":
            a, b = (F.avg_pool2d(x.abs(), 3, 1, padding=1) for x in (ir, vis))
            return (a * ir + b * vis) / (a + b).clamp(min=1e-12)
        return (ir + vis) / (2 if self.strategy == "average" else 1)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        base, detail = (self.merge(a, b) for a, b in zip(self.encode(ir), self.encode(vis), strict=True))
        fused: Tensor = self.decoder(base + detail)
        return fused
