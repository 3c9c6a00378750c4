"""Generated pictures and labels for checks; our tests use them too."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusionbench.data import Boxes, Sample
from fusionbench.plugins.records import Label


def sample_images(batch: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth random pictures: fused and ir ``[B,1,H,W]``, vis ``[B,3,H,W]``, uint8."""
    g = torch.Generator().manual_seed(seed)
    small = torch.rand(batch, 5, max(2, height // 6), max(2, width // 6), generator=g)
    big = torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    noisy = (big + 0.05 * torch.rand(big.shape, generator=g)).clamp(0, 1)
    levels = (noisy * 255).round().to(torch.uint8)
    return levels[:, :1], levels[:, 1:2], levels[:, 2:]


def labelled_sample(label: Label, height: int, width: int, seed: int = 0) -> Sample:
    """A pair with one kind of label: two things, of classes 1 and 2 (boxes: 0 and 1), that are brighter."""
    _, ir, vis = (picture[0].numpy().copy() for picture in sample_images(1, height, width, seed))
    sample = Sample("sample", "train", ir, vis)
    boxes = [(0.1, 0.15, 0.45, 0.8), (0.55, 0.3, 0.9, 0.9)]  # left, top, right, bottom as shares
    corners = [(int(a * width), int(b * height), int(c * width), int(d * height)) for a, b, c, d in boxes]
    mask = np.zeros((height, width), np.uint8)
    for number, (left, top, right, bottom) in enumerate(corners, 1):
        mask[top:bottom, left:right] = number
        vis[:, top:bottom, left:right] |= 128
    if label == "mask":
        sample.mask = mask
    elif label == "boxes":
        sample.boxes = Boxes.of(corners, [0, 1])
    else:
        sample.saliency = np.where(mask > 0, 255, 0).astype(np.uint8)
    return sample
