"""MMDRFuse's student network under the names of the released checkpoint; 113 parameters.

Deng et al., "MMDRFuse: Distilled Mini-Model with Dynamic Refresh for Multi-Modality Image Fusion", ACM MM 2024.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MMDRFuseNet(nn.Module):
    """Two convolutions with mirrored edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 4, 3))
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(4, 1, 3))

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (-1,1)."""
        return torch.tanh(self.conv2(F.relu(self.conv1(torch.cat((ir, vis), dim=1)))))
