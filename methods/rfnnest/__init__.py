"""RFN-Nest: residual fusion networks in a nested autoencoder (Information Fusion 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, joined, strict, tiled

from .network import RFNNestNet

LARGEST = 512  # a longer side is fused in four parts
BEYOND = (3, 2)  # pixels by which the first and the second part of a side pass its middle
TINY = 1e-5


class RFNNest(NetworkMethod):
    """Grey levels of both images in, a fused image over the whole range of each picture out."""

    network: RFNNestNet
    halo = 48  # 47: four scales of 3x3 convolutions, three more of each scale where the images are joined
    side = 512

    @classmethod
    def at_once(cls, height: int, width: int) -> int:
        """See :meth:`NetworkMethod.at_once`: a part, or its largest tile."""
        cut = max(height, width) > LARGEST
        sides = [(side + 1) // 2 + max(BEYOND) if cut else side for side in (height, width)]
        most = cls.side + 2 * cls.halo if cls.in_tiles(height, width) else max(sides)
        return min(sides[0], most) * min(sides[1], most)

    def make(self) -> RFNNestNet:
        """See :meth:`NetworkMethod.make`."""
        return RFNNestNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files, a state dict each, or from names as exported."""
        return strict(joined(state), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; parts of large pictures overlap by five pixels.

        Of those beyond 1.5 million pixels each part goes tile by tile.
        """
        tiles = self.in_tiles(*ir.shape[-2:])
        ir, y = 255 * ir, 255 * grey(vis)
        sides = [parts(side, max(ir.shape[-2:]) > LARGEST) for side in ir.shape[-2:]]
        fused, count = torch.zeros_like(ir), torch.zeros_like(ir)
        for rows in sides[0]:
            for columns in sides[1]:
                here = (..., rows, columns)
                pair = ir[here], y[here]
                fused[here] += tiled(self.network, self.halo, *pair, side=self.side) if tiles else self.network(*pair)
                count[here] += 1
        fused /= count
        low, high = fused.amin((1, 2, 3), keepdim=True), fused.amax((1, 2, 3), keepdim=True)
        return (fused - low) / (high - low + TINY)


def parts(side: int, cut: bool) -> list[slice]:
    """A side as a whole, or as two overlapping halves."""
    middle = side // 2
    return [slice(0, middle + BEYOND[0]), slice(middle - BEYOND[1], side)] if cut else [slice(0, side)]
