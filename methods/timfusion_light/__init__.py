"""TIMFusion, light: its first network alone, of fewer operations (TPAMI 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.method import Context, NetworkMethod, strict
from fusionbench.methods.timfusion.network import First


class TIMFusionLight(NetworkMethod):
    """The first channel of both images in, a fused image out."""

    network: First

    def make(self) -> First:
        """See :meth:`NetworkMethod.make`."""
        return First(light=True)

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: a state dict, or the one under ``model_1_light``."""
        held = state.get("model_1_light")
        return strict(held if isinstance(held, dict) else state, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused: Tensor = self.network(vis[:, :1], ir)
        return fused
