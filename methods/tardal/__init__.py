"""TarDAL: fusion against two discriminators, of targets and of details (CVPR 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

from .network import TarDALNet

STATISTICS = ("running", "image")


class TarDAL(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out; what is negative is black."""

    network: TarDALNet
    halo = 8  # eight convolutions of 3x3

    def make(self) -> TarDALNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there are no such statistics.
        """
        own = self.choice("statistics", STATISTICS) == "image"
        if own:
            self.halo = 0
        return TarDALNet(own)

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released state dict; later releases have it under ``fuse``, with a mark ``use_eval``."""
        held = state.get("fuse")
        inner = held if isinstance(held, dict) else state
        return strict({name: value for name, value in inner.items() if name != "use_eval"}, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
