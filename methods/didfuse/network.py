"""DIDFuse's encoder and decoder; 111,938 and 148,997 parameters.

Zhao et al., "DIDFuse: Deep Image Decomposition for Infrared and Visible Image Fusion", IJCAI 2020, section 3. Names are
the release's, ``cov`` for convolution, without their doubling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRATEGIES = ("sum", "average", "l1")


def layer(inputs: int, outputs: int, *last: nn.Module, reflect: bool = False) -> nn.Sequential:
    """3x3 convolution, batch normalisation, and what follows."""
    if reflect:
        return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), *last)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), *last)


class Encoder(nn.Module):
    """An image ``[B,1,H,W]`` to two shallow maps, its base and its detail, each ``[B,64,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.cov1 = layer(1, 64, nn.PReLU(), reflect=True)
        self.cov2 = layer(64, 64, nn.PReLU())
        self.cov3 = layer(64, 64, nn.Tanh())
        self.cov4 = layer(64, 64, nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first = self.cov1(x)
        second = self.cov2(first)
        return first, second, self.cov3(second), self.cov4(second)


class Decoder(nn.Module):
    """The four fused maps to an image in (0,1)."""

    def __init__(self) -> None:
        super().__init__()
        self.cov5 = layer(128, 64, nn.PReLU())
        self.cov6 = layer(128, 64, nn.PReLU())
        self.cov7 = layer(128, 1, reflect=True)

    def forward(self, first: Tensor, second: Tensor, base: Tensor, detail: Tensor) -> Tensor:
        x = self.cov5(torch.cat((base, detail), dim=1))
        x = self.cov6(torch.cat((x, second), dim=1))
        return torch.sigmoid(self.cov7(torch.cat((x, first), dim=1)))


class DIDFuseNet(nn.Module):
    """One encoder for both images; each of its four maps is fused by one strategy.

    Args:
        strategy: ``sum``, ``average``, or ``l1``: by their absolute values around a pixel, over all channels.
    """

    def __init__(self, strategy: str = "sum") -> None:
        super().__init__()
        self.strategy = strategy
        self.encoder, self.decoder = Encoder(), Decoder()

    def merge(self, ir: Tensor, vis: Tensor) -> Tensor:
        """One map of two."""
        if self.strategy == "l1":
            a, b = (F.avg_pool2d(x.abs().sum(1, keepdim=True), 3, 1, padding=1) for x in (ir, vis))
            return (a * ir + b * vis) / (a + b)
        return (ir + vis) / (2 if self.strategy == "average" else 1)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        maps = [self.merge(a, b) for a, b in zip(self.encoder(ir), self.encoder(vis), strict=True)]
        out: Tensor = self.decoder(*maps)
        return out
