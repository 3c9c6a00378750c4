"""CoCoNet: coupled contrastive learning (IJCV 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.method import Context, NetworkMethod, strict
from fusionbench.methods._norm import STATISTICS
from fusionbench.methods._padding import mirrored, missing

from .network import CoCoNetNet

STEP = 16


class CoCoNet(NetworkMethod):
    """The first channel of both images in, a fused image in (0,1) out."""

    network: CoCoNetNet

    def make(self) -> CoCoNetNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there are no such statistics.
        """
        return CoCoNetNet(self.choice("statistics", STATISTICS) == "image")

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: what it holds under ``state_dict``, or a plain state dict."""
        held = state.get("state_dict")
        return strict(held if isinstance(held, dict) else state, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; sides are mirrored on both ends to multiples of 16."""
        rows, columns = missing(ir, STEP)
        top, left, (height, width) = rows // 2, columns // 2, ir.shape[-2:]
        y, x = (mirrored(255 * a, top, rows - top, left, columns - left) for a in (vis[:, :1], ir))
        fused: Tensor = (self.network(y, x) + 1) / 2
        return fused[..., top : top + height, left : left + width]
