"""EMMA: equivariant fusion (CVPR 2024)."""

from __future__ import annotations

from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod

from .network import EMMANet

STEP = 32  # the release cuts images down to multiples of it


class EMMA(NetworkMethod):
    """Grey levels of both images in, a fused image in (0,1) out."""

    network: EMMANet

    def make(self) -> EMMANet:
        """See :meth:`NetworkMethod.make`."""
        return EMMANet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`.

        As the release does it: a picture whose sides are no multiples of 32 is fused in four overlapping corners, each
        of the largest such size, where later ones (right, below) cover earlier ones.

        Raises:
            ValueError: a picture smaller than 32x32.
        """
        y, (height, width) = grey(vis), ir.shape[-2:]
        h, w = height // STEP * STEP, width // STEP * STEP
        if not (h and w):
            raise ValueError(f"emma needs pictures of at least {STEP}x{STEP}, got {height}x{width}")
        fused = ir.new_empty(ir.shape)
        for top in sorted({0, height - h}):
            for left in sorted({0, width - w}):
                here = (..., slice(top, top + h), slice(left, left + w))
                fused[here] = self.network(ir[here], y[here])
        return fused
