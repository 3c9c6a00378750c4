"""DetFusion: fusion driven by detection (ACM MM 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict
from fusionbench.methods._padding import mirrored, missing

from .network import DetFusionNet

STEP = 32
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet's red, green and blue levels


class DetFusion(NetworkMethod):
    """Grey levels of both images in, a fused image out."""

    network: DetFusionNet

    def make(self) -> DetFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return DetFusionNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file, a detector's: of what lies under ``state_dict``, the path of the fusion."""
        held = state.get("state_dict")
        tensors = held if isinstance(held, dict) else state
        return strict({n: tensors[n] for n in self.network.state_dict() if n in tensors}, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; sides are mirrored below and right to multiples of 32."""
        (rows, columns), (height, width) = missing(ir, STEP), ir.shape[-2:]
        y, x = (255 * mirrored(a, 0, rows, 0, columns) for a in (grey(vis), ir))
        mean, deviation = (ir.new_tensor(figures)[:, None, None] for figures in (MEAN, DEVIATION))
        fused: Tensor = self.network((y - mean) / deviation, (x - mean) / deviation, y, x)
        return fused[..., :height, :width]
