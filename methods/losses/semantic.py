"""Terms of a task network's output."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def hard_cross_entropy(
    logits: Tensor, labels: Tensor, share: int = 16, threshold: float = 0.7, ignore_index: int = 255
) -> Tensor:
    """Cross entropy of the hard pixels alone (SeAFusion, after BiSeNet).

    Args:
        logits: ``[B,C,H,W]``.
        labels: int64 ``[B,H,W]``; pixels of ``ignore_index`` count as 0.
        share: a pixel of so many is taken at least.
        threshold: beyond them those whose class has a lower probability than this, where that is more.

    Returns:
        Their mean.
    """
    losses = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none").flatten()
    losses = losses.sort(descending=True).values
    least, limit = losses.numel() // share, -math.log(threshold)
    return losses[losses > limit].mean() if losses[least] > limit else losses[:least].mean()
