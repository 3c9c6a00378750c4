"""TIMFusion: task-guided, implicitly searched (TPAMI 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.method import Context, NetworkMethod, joined, strict
from fusionbench.methods._norm import STATISTICS
from fusionbench.methods._padding import mirrored, missing

from .network import TIMFusionNet

STEP = 4


class TIMFusion(NetworkMethod):
    """The first channel of both images in, a fused image out."""

    network: TIMFusionNet

    def make(self) -> TIMFusionNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there are no such statistics.
        """
        return TIMFusionNet(self.choice("statistics", STATISTICS) == "image")

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files, a state dict each; that of the light network is another method's."""
        light = "model_1_light"
        return strict(joined({net: held for net, held in state.items() if net != light}), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; sides are mirrored below and right to multiples of 4."""
        (rows, columns), (height, width) = missing(ir, STEP), ir.shape[-2:]
        fused: Tensor = self.network(*(mirrored(x, 0, rows, 0, columns) for x in (ir, vis[:, :1])))
        return fused[..., :height, :width]
