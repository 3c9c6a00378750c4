"""DIDFuse: fusion of base and detail (IJCAI 2020)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

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
        """From the two released files: ``{"weight": state dict, "epoch": number}`` each, or the state dicts alone."""
        tensors = {}
        for part, held in state.items():
            inner = held.get("weight", held) if isinstance(held, dict) else {part: held}
            for name, value in inner.items():
                first, _, rest = name.partition(".")
                tensors[f"{part}.{first}.{rest.removeprefix(first + '.')}"] = value
        return strict(tensors, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
