"""LUT-Fuse: a context network of 7,825 parameters and a table of 16^4 fused values, under the released names.

Yi et al., "LUT-Fuse: Towards Extremely Fast Infrared and Visible Image Fusion via Distillation to Learnable Look-Up
Tables", ICCV 2025, section 3.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 16


def layer(inputs: int) -> list[nn.Module]:
    """3x3 convolution, leaky ReLU, each image's own normalisation."""
    return [nn.Conv2d(inputs, STEPS, 3, padding=1), nn.LeakyReLU(0.2), nn.InstanceNorm2d(STEPS, affine=True)]


class LUTFuseNet(nn.Module):
    """The context of each pixel, and the table that luma, gradient, context and infrared are looked up in."""

    lut: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(*layer(4))
        self.mid_layer = nn.Sequential(*layer(STEPS), *layer(STEPS), *layer(STEPS))
        self.output_layer = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(STEPS, 1, 3, padding=1), nn.Sigmoid())
        self.register_buffer("lut", torch.zeros(*[STEPS] * 4, 1))

    def context(self, vis: Tensor, ir: Tensor) -> Tensor:
        """``[B,1,H,W]`` in (0,1) of both images in 0..255."""
        x = self.input_layer(torch.cat((vis, ir), dim=1))
        out: Tensor = self.output_layer(self.mid_layer(x) + x)
        return out

    def forward(self, vis: Tensor, ir: Tensor, luma: Tensor) -> Tensor:
        """Fused luma ``[B,1,H,W]`` of visible ``[B,3,H,W]``, infrared and visible luma ``[B,1,H,W]``, all in [0,1]."""
        keys = (luma, gradient(luma), self.context(vis * 255, ir * 255), ir)
        return looked_up(self.lut[..., 0], [(key * 255 / STEPS).squeeze(1) for key in keys]).unsqueeze(1)


def gradient(luma: Tensor) -> Tensor:
    """Size of Sobel's gradient, stretched to [0,1] in each image."""
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=luma.device)
    kernels = torch.stack((across, -across.T)).unsqueeze(1)
    size = F.conv2d(luma, kernels, padding=1).square().sum(1, keepdim=True).sqrt()
    low, high = size.amin((2, 3), keepdim=True), size.amax((2, 3), keepdim=True)
    return (size - low) / (high - low + 1e-8)


def looked_up(table: Tensor, at: list[Tensor]) -> Tensor:
    """Values between the entries of a table, linear in each of its four dimensions; positions ``[B,H,W]``."""
    low = [x.floor().long() for x in at]
    high = [(i + 1).clamp(max=STEPS - 1) for i in low]
    beyond = [x - i for x, i in zip(at, low, strict=True)]
    value = torch.zeros_like(at[0])
    for sides in product((False, True), repeat=4):
        indices = tuple(high[d] if side else low[d] for d, side in enumerate(sides))
        share = torch.ones_like(value)
        for d, side in enumerate(sides):
            share = share * (beyond[d] if side else 1 - beyond[d])
        value += table[indices] * share
    return value
