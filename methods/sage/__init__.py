"""SAGE: what the Segment Anything Model knows, distilled into a small fusion network (CVPR 2025)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import to_rgb, to_ycbcr
from fusionbench.method import Context, NetworkMethod

from .network import SAGENet


class SAGE(NetworkMethod):
    """8-bit luma of both images in, fused colours out; those of a grey image are a little bluish, as released."""

    network: SAGENet

    def make(self) -> SAGENet:
        """See :meth:`NetworkMethod.make`."""
        return SAGENet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        luma, chroma = to_ycbcr(vis, "opencv8")
        return to_rgb(self.network(luma, ir), chroma, "seafusion")
