"""Terms that know where objects are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def inside(boxes: Sequence[Tensor], like: Tensor) -> Tensor:
    """1 in the whole pixels of an image's boxes, else 0, ``[B,1,H,W]``; boxes are left, top, right, bottom."""
    mask = torch.zeros_like(like)
    height, width = like.shape[-2:]
    for image, own in zip(mask, boxes, strict=True):
        for x1, y1, x2, y2 in own.tolist():
            left, top = max(0, int(x1)), max(0, int(y1))
            image[:, top : min(height, int(y2)), left : min(width, int(x2))] = 1
    return mask


def object_content(fused: Tensor, ir: Tensor, vis: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """L1 distance to the larger source within the boxes and to the mean of both outside (DetFusion, section 3.4)."""
    mask = inside(boxes, fused)
    return F.l1_loss(mask * fused, mask * torch.maximum(ir, vis)) + F.l1_loss(
        (1 - mask) * fused, (1 - mask) * (ir + vis) / 2
    )
