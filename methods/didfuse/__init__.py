"""DIDFuse: fusion of base and detail (IJCAI 2020)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, joined, strict

from .network import STRATEGIES, DIDFuseNet


class DIDFuse(NetworkMethod):
    """Grey levels of both images in, a fused image in (0,1) out."""

    network: DIDFuseNet
    halo = 7  # six convolutions of 3x3 in a row, and a mean of 3x3 between

    def make(self) -> DIDFuseNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there is no such strategy.
        """
        return DIDFuseNet(self.choice("strategy", STRATEGIES))

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files, ``{"weight": state dict, "epoch": number}`` each, or from names as exported."""
        parts = {p: held.get("weight", held) if isinstance(held, dict) else held for p, held in state.items()}
        tensors = {}
        for name, value in joined(parts).items():
            part, first, *rest = name.split(".")
            tensors[".".join((part, first, *(rest[1:] if rest[0] == first else rest)))] = value
        return strict(tensors, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
