"""GIFNet: one network for all fusion tasks (CVPR 2025)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import grey, luma
from fusionbench.method import Context, NetworkMethod, singly

from .network import GIFNetNet


class GIFNet(NetworkMethod):
    """Luma cut to whole levels and infrared in, fused luma in (0,1) out; grey images as the release's grey program."""

    network: GIFNetNet

    def make(self) -> GIFNetNet:
        """See :meth:`NetworkMethod.make`."""
        self.grey = bool(self.options.get("grey", False))
        return GIFNetNet()

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        colourless = (vis == vis[:, :1]).all(dim=(1, 2, 3), keepdim=True) | torch.tensor(self.grey, device=vis.device)
        levels = luma((vis.double() * 255).round()).trunc().to(vis.dtype) / 255  # theirs, cut and not rounded
        fused = singly(self.network, ir, torch.where(colourless, grey(vis), levels))
        return torch.where(colourless, (fused * 255).trunc() / 255, fused)
