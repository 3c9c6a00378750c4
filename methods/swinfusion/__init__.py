"""SwinFusion: attention within and across images (JAS 2022)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, strict

from .network import SwinFusionNet

SIZES = {"attn_mask": (256, 64, 64), "relative_position_index": (64, 64)}  # buffers that follow from the size


class SwinFusion(NetworkMethod):
    """Luma of both images in, fused luma out."""

    network: SwinFusionNet
    halo = 72  # 71: six convolutions of 3x3, sixteen layers of windows of 8 whose grid moves by 4 from one to the next
    side = 384

    def make(self) -> SwinFusionNet:
        """See :meth:`NetworkMethod.make`."""
        return SwinFusionNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: its state dict, or what it holds under ``params``.

        Raises:
            ValueError: names or shapes of another network.
        """
        held = state.get("params", state)
        if not isinstance(held, dict):
            raise ValueError("expected names and tensors, under params or by themselves")
        for name, value in held.items():
            wanted = SIZES.get(name.rpartition(".")[2])
            if wanted and tuple(value.shape) != wanted:
                raise ValueError(f"{name} has shape {list(value.shape)}; the network needs {list(wanted)}")
        return strict({n: v for n, v in held.items() if n.rpartition(".")[2] not in SIZES}, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
