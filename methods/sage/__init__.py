"""SAGE: what the Segment Anything Model knows, distilled into a small fusion network (CVPR 2025)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import to_rgb, to_ycbcr
from fusionbench.method import Context, NetworkMethod

from .network import SAGENet


class SAGE(NetworkMethod):
    """8-bit luma of both images in, fused colours out; those of a grey image are a little bluish, as released."""

    network: SAGENet
    halo = 40  # 37: three scales of three 3x3 convolutions, the coarser ones twice

    @classmethod
    def in_tiles(cls, height: int, width: int) -> bool:
        """See :meth:`NetworkMethod.in_tiles`; of other sides than multiples of 4 coarser maps are not quite doubled."""
        return super().in_tiles(height, width) and height % 4 == width % 4 == 0

    def make(self) -> SAGENet:
        """See :meth:`NetworkMethod.make`."""
        return SAGENet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        luma, chroma = to_ycbcr(vis, "opencv8")
        return to_rgb(self.run(luma, ir), chroma, "seafusion")
