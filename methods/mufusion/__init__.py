"""MUFusion: an unsupervised network that remembers its own results in training (Information Fusion 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import MUFusionNet

PATCH, STEP = 128, 124


def corners(high: int, wide: int) -> list[tuple[int, int]]:
    """Where patches lie: a grid, then its last column and last row again at the edges, as released."""
    rows, columns = range(0, high - PATCH + 1, STEP), range(0, wide - PATCH + 1, STEP)
    grid = [(y, x) for y in rows for x in columns]
    edges = [(y, wide - PATCH) for y in rows] + [(high - PATCH, x) for x in columns]
    return [*grid, *edges, (high - PATCH, wide - PATCH)]


class MUFusion(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out, patch by patch; where patches overlap, their mean."""

    network: MUFusionNet

    def make(self) -> MUFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return MUFusionNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; a side below 128 is filled up with its last pixel."""
        high, wide = ir.shape[-2:]
        pair = torch.cat((ir, grey(vis)), dim=1)
        pair = F.pad(pair, (0, max(PATCH - wide, 0), 0, max(PATCH - high, 0)), mode="replicate")
        total, count = torch.zeros_like(pair[:, :1]), torch.zeros_like(pair[:1, :1])
        done: dict[tuple[int, int], Tensor] = {}
        for y, x in corners(*pair.shape[-2:]):
            if (y, x) not in done:
                done[y, x] = self.network(*pair[..., y : y + PATCH, x : x + PATCH].split(1, dim=1))
            total[..., y : y + PATCH, x : x + PATCH] += done[y, x]
            count[..., y : y + PATCH, x : x + PATCH] += 1
        return (total / count)[..., :high, :wide]
