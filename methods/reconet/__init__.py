"""ReCoNet: a fused image that is corrected in a loop (ECCV 2022). Its registration network is not part of this."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import ReCoNetNet


class ReCoNet(NetworkMethod):
    """Grey levels of both images in, a fused image in (-1,1) out; what is negative is black."""

    network: ReCoNetNet
    halo = 15  # three times one convolution, one dilated by three, one more

    def make(self) -> ReCoNetNet:
        """See :meth:`NetworkMethod.make`."""
        return ReCoNetNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return self.run(ir, grey(vis))
