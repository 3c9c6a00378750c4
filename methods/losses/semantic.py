"""Terms of a task network's output."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from fusionbench.training.distributed import gathered, part_of_mean


def cross_entropy(scores: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Mean over the pixels that count; 0, with a gradient of 0, where none does and a mean would be NaN.

    Args:
        scores: ``[B,C,H,W]``.
        labels: ``[B,H,W]``.
        ignore_index: the label that does not count.
    """
    counted = (labels != ignore_index).sum()
    if not bool(counted):
        return part_of_mean(0 * scores.sum(), counted)
    return part_of_mean(F.cross_entropy(scores, labels, ignore_index=ignore_index), counted)


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
    losses = gathered(losses).flatten().sort(descending=True).values
    least, limit = losses.numel() // share, -math.log(threshold)
    return losses[losses > limit].mean() if losses[least] > limit else losses[:least].mean()
