"""Batch normalisation of networks whose released programs leave it in training mode: TarDAL, CoCoNet, TIMFusion.

Those feed one picture at a time, so that each is normalised by its own statistics.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STATISTICS = ("image", "running")  # of an option; the first is as released


class Norm(nn.BatchNorm2d):
    """Batch normalisation by the running statistics, or by those of each image alone.

    Args:
        channels: their number.
        own: whether each image is normalised by its own statistics.
    """

    def __init__(self, channels: int, own: bool = False) -> None:
        super().__init__(channels)
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        if self.own:
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(x)
