"""AUIF: two decompositions, their optimisation unrolled to networks (IEEE TCSVT 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

from .network import STRATEGIES, AUIFNet


class AUIF(NetworkMethod):
    """Grey levels of both images in, a fused image in (0,1) out."""

    network: AUIFNet
    halo = 30  # a filter of 19x19, ten steps of two convolutions, one more

    def make(self) -> AUIFNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there is no such strategy.
        """
        return AUIFNet(self.choice("strategy", STRATEGIES))

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the three released files, whose names differ."""
        tensors = {}
        for part, held in state.items():
            for name, value in (held if isinstance(held, dict) else {part: held}).items():
                tensors[f"decoder.{name}" if part == "decoder" else name] = value
        return strict(tensors, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
