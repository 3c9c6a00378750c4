"""Terms of colours, of images ``[B,3,H,W]``, and the sources as some recipes change them first."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import to_ycbcr


def chroma_l1(fused: Tensor, vis: Tensor) -> Tensor:
    """L1 distances of Cb and of Cr, added (MRFS)."""
    return 2 * F.l1_loss(to_ycbcr(fused, "seafusion")[1], to_ycbcr(vis, "seafusion")[1])


def with_gamma(x: Tensor, gamma: float) -> Tensor:
    """Levels in [0,1] to a power (torchvision's ``adjust_gamma``)."""
    return x.pow(gamma).clamp(0, 1)


def with_contrast(x: Tensor, factor: float) -> Tensor:
    """Grey levels in [0,1] stretched about the mean of their image (torchvision's ``adjust_contrast``)."""
    mean = x.mean((-3, -2, -1), keepdim=True)
    return (mean + factor * (x - mean)).clamp(0, 1)
