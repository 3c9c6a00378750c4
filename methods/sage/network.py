"""SAGE's student network under the names of the released checkpoint; 135,617 parameters.

Wu et al., "Every SAM Drop Counts: Embracing Semantic Priors for Multi-Modality Image Fusion and Beyond", CVPR 2025. The
student alone is released for fusion; it needs no SAM.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 32


def layer(inputs: int, kernel: int = 3) -> list[nn.Module]:
    """Convolution that keeps the size, normalisation, leaky ReLU."""
    return [nn.Conv2d(inputs, WIDTH, kernel, padding=kernel // 2), nn.BatchNorm2d(WIDTH), nn.LeakyReLU(0.01)]


def module(inputs: int) -> nn.Sequential:
    """Three layers."""
    return nn.Sequential(*layer(inputs), *layer(WIDTH), *layer(WIDTH))


def beside(x: Tensor, skip: Tensor) -> Tensor:
    """A coarser map at the size of a finer one, beside that."""
    return torch.cat((F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False), skip), dim=1)


class SAGENet(nn.Module):
    """A U of three scales."""

    def __init__(self) -> None:
        super().__init__()
        self.module1, self.module2, self.module3 = module(2), module(WIDTH), module(WIDTH)
        self.adjust_channels4, self.module4 = nn.Sequential(*layer(2 * WIDTH, 1)), module(WIDTH)
        self.adjust_channels5, self.module5 = nn.Sequential(*layer(2 * WIDTH, 1)), module(WIDTH)
        self.final_decoder = nn.Sequential(nn.Conv2d(WIDTH, 1, 3, padding=1), nn.Tanh())

    def forward(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused luma of visible luma and infrared, each ``[B,1,H,W]`` in [0,1]; in (-1,1)."""
        first = self.module1(torch.cat((vis, ir), dim=1))
        second = self.module2(F.max_pool2d(first, 2))
        third = self.module3(F.max_pool2d(second, 2))
        x = self.module4(self.adjust_channels4(beside(third, second)))
        x = self.module5(self.adjust_channels5(beside(x, first)))
        fused: Tensor = self.final_decoder(x)
        return fused
