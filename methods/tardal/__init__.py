"""TarDAL: fusion against two discriminators, of targets and of details (CVPR 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

from .network import TarDALNet

STATISTICS = ("running", "image")


class TarDAL(NetworkMethod):
    """Grey levels of both images in, a fused image in whole levels out; what the network makes negative is black."""

    network: TarDALNet

    def make(self) -> TarDALNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there are no such statistics.
        """
        statistics = str(self.options.get("statistics", "running"))
        if statistics not in STATISTICS:
            raise ValueError(f"statistics is one of {', '.join(STATISTICS)}, got {statistics!r}")
        return TarDALNet(own_statistics=statistics == "image")

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released state dict; later releases have it under ``fuse``, with a mark ``use_eval``."""
        held = state.get("fuse", state)
        if isinstance(held, dict):
            held = {name: value for name, value in held.items() if name != "use_eval"}
        return strict(held, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(ir, grey(vis))
        return (fused.clamp(0, 1) * 255).trunc() / 255  # saved so before the colours return
