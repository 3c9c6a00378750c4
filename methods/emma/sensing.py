"""What EMMA is trained with beside its fusion network: networks that guess a source from a fused image, and motions.

Zhao et al., CVPR 2024, sections 3.2 and 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.losses.gradients import gradient_l1
from fusionbench.training.distributed import drawn


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, normalised, with ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class PseudoSensing(nn.Module):
    """A U-Net of five levels: a fused image ``[B,1,H,W]`` to a source in (0,1); sides are multiples of 16.

    Args:
        width: channels of the first level, each next has twice as many; 64 as released.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(block(a, b) for a, b in zip([1, *widths], widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.wide = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairs)
        self.up = nn.ModuleList(block(a, b) for a, b in pairs)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        levels: list[Tensor] = []
        for part in self.down:
            x = part(F.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        for wide, part, fine in zip(self.wide, self.up, levels[-2::-1], strict=True):
            x = part(torch.cat((F.relu(wide(x)), fine), 1))
        out: Tensor = torch.sigmoid(self.last(x))
        return out


def shifts(x: Tensor, count: int) -> list[tuple[int, int]]:
    """Random rows and columns to roll images by: none twice, none zero, both ways, by less than a side."""
    chosen = []
    for side in x.shape[-2:]:
        numbers = [n for n in range(1 - side, side) if n]
        order = drawn(partial(torch.randperm, len(numbers)))
        chosen.append([numbers[i] for i in order[:count].tolist()])
    return list(zip(*chosen, strict=True))


def rotated(x: Tensor, degrees: float) -> Tensor:
    """Images ``[B,1,H,W]`` turned anticlockwise about their middle, bilinear, zero beyond the border."""
    (height, width), angle = x.shape[-2:], math.radians(degrees)
    rows = torch.arange(height, dtype=x.dtype, device=x.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=x.dtype, device=x.device) - (width - 1) / 2
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    from_u, from_v = math.cos(angle) * u - math.sin(angle) * v, math.sin(angle) * u + math.cos(angle) * v
    grid = torch.stack((2 * from_u / (width - 1), 2 * from_v / (height - 1)), -1).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, align_corners=True)


def moved(x: Tensor, rolls: Sequence[tuple[int, int]], turns: int, mirrors: int) -> Tensor:
    """Images, then the same rolled, turned and mirrored, one after the other along the batch.

    Args:
        x: ``[B,1,H,W]``.
        rolls: rows and columns of each roll.
        turns: how many rotations, the first by ten degrees, evenly spread.
        mirrors: how many of: left and right, top and bottom, both.
    """
    rolled = [torch.roll(x, roll, (-2, -1)) for roll in rolls]
    turned = [rotated(x, 10 + turn * (360 // turns)) for turn in range(turns)]
    mirrored = [x.flip(sides) for sides in ((-1,), (-2,), (-2, -1))[:mirrors]]
    return torch.cat([x, *rolled, *turned, *mirrored])


def distance(image: Tensor, target: Tensor) -> Tensor:
    """L1 distance of images and of their gradients (section 3.5)."""
    return F.l1_loss(image, target) + gradient_l1(image, target)
