"""IFCNN: a general fusion framework with a ResNet stem (Information Fusion 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, singly, strict

from .network import SCHEMES, IFCNNNet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class IFCNN(NetworkMethod):
    """Both images in three channels, normalised as ImageNet's; the fused grey levels or colours out."""

    network: IFCNNNet
    halo = 5  # one convolution of 7x7, two of 3x3

    def make(self) -> IFCNNNet:
        """See :meth:`NetworkMethod.make`.

        Raises:
            ValueError: there is no such scheme.
        """
        self.colour = bool(self.options.get("colour", False))
        return IFCNNNet(self.choice("scheme", SCHEMES))

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released state dict, which is older than the counters of batch normalisation."""
        counters = {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name in ("conv2", "conv3")}
        return strict({**counters, **state}, self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        mean, std = (torch.tensor(v, device=ir.device).view(3, 1, 1) for v in (MEAN, STD))
        first = vis if self.colour else grey(vis).expand_as(vis)
        fused = singly(self.run, (first - mean) / std, (ir.expand_as(vis) - mean) / std) * std + mean
        levels = (fused.clamp(0, 1) * 255).trunc() / 255  # saved so, and turned grey afterwards
        return levels if self.colour else grey(levels)
