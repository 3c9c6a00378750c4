"""The rule by which coefficients are chosen: area-based maximum with a consistency check.

Li, Manjunath, Mitra, "Multisensor Image Fusion Using the Wavelet Transform", Graphical Models and Image Processing
57(3), 1995, at the border as in the toolbox of Liu, Liu, Wang, "A general framework for image fusion based on
multi-scale transform and sparse representation", Information Fusion 24, 2015: mirrored without the edge.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _framed(x: Tensor) -> Tensor:
    """One row or column more on each side, the second one inwards, or the only one."""
    for dim in (-2, -1):
        size = x.shape[dim]
        position = torch.arange(-1, size + 1, device=x.device).abs()
        x = x.index_select(dim, torch.where(position < size, position, max(0, size - 2)).clamp_max(size - 1))
    return x


def stronger(a: Tensor, b: Tensor) -> Tensor:
    """Each coefficient of the one whose surroundings hold the larger magnitude, once these have voted.

    Args:
        a: real or complex ``[B,C,H,W]``.
        b: likewise; taken where they are equal.
    """
    first, second = (F.max_pool2d(_framed(x.abs()), 3, 1, 1) for x in (a, b))
    votes = F.avg_pool2d((first > second).to(first.dtype), 3, 1, divisor_override=1)
    return torch.where(votes > 4.5, a, b)
