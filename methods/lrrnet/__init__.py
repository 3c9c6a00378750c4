"""LRRNet: learned low-rank representation, unrolled to a network (IEEE TPAMI 2023)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import LRRNet as Network


def stretched(x: Tensor, eps: float) -> Tensor:
    """Each image of a batch from its smallest to its largest value, as released: a little short of 1."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low + eps)


class LRRNet(NetworkMethod):
    """Both images stretched in, the fused one stretched out."""

    network: Network
    halo = 11  # eleven convolutions of 3x3

    def make(self) -> Network:
        """See :meth:`NetworkMethod.make`."""
        return Network()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return stretched(self.run(stretched(ir * 255, 1e-5), stretched(grey(vis) * 255, 1e-5)), 1e-5)
