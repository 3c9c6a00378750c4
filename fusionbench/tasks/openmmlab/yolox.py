"""What YOLOX says of a picture before any box is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionbench.tasks.network import evaluating
from fusionbench.tasks.openmmlab.packages import muted, nms

if TYPE_CHECKING:
    from fusionbench.tasks.openmmlab.detector import DetectionNetwork

STRIDES = (8, 16, 32)


def scored_boxes(network: DetectionNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """A box for each cell of each level, with the score of every class: objectness times class (Ge et al. 2021).

    Args:
        network: a YOLOX.
        images: ``[B,C,H,W]`` in [0,1], height and width multiples of 32.

    Returns:
        Boxes ``[B,N,4]``, left, top, right, bottom in pixels, and scores ``[B,N,classes]`` in [0,1].
    """
    with evaluating(network), muted():
        levels = network.model.bbox_head(network.model.extract_feat(network.normalise(images)))
    boxes, scores = [], []
    for classes, sides, objects, stride in zip(*levels, STRIDES, strict=True):
        height, width = classes.shape[2:]
        rows = torch.arange(height, device=images.device, dtype=sides.dtype)
        columns = torch.arange(width, device=images.device, dtype=sides.dtype)
        cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).view(-1, 2)
        sides = sides.flatten(2).transpose(1, 2)
        middle, half = (sides[..., :2] + cells) * stride, sides[..., 2:].exp() * stride / 2
        boxes.append(torch.cat((middle - half, middle + half), -1))
        scores.append((classes.sigmoid() * objects.sigmoid()).flatten(2).transpose(1, 2))
    return torch.cat(boxes, 1), torch.cat(scores, 1)


def kept(
    boxes: Tensor, scores: Tensor, confidence: float, overlap: float, most: int, every: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes of one picture that count, best first.

    Args:
        boxes: ``[N,4]``.
        scores: ``[N,classes]``.
        confidence: those with a score at or below are dropped.
        overlap: those that overlap a better one of their class by more than this IoU are dropped.
        most: boxes of a class.
        every: whether a cell stands for each class that its score is enough for, or for its best one alone.

    Returns:
        Boxes ``[K,4]``, scores ``[K]``, labels ``[K]``.
    """
    enough = scores > confidence
    if not every:
        enough &= torch.zeros_like(enough).scatter_(1, scores.argmax(1, keepdim=True), True)
    rows, labels = [], []
    for label in enough.any(0).nonzero().flatten().tolist():
        candidates = enough[:, label].nonzero().flatten()
        best = candidates[nms(boxes[candidates], scores[candidates, label], overlap)[:most]]
        rows.append(best)
        labels.append(torch.full_like(best, label))
    if not rows:
        return boxes[:0], scores[:0, 0], torch.zeros(0, dtype=torch.long, device=boxes.device)
    cell, kind = torch.cat(rows), torch.cat(labels)
    order = scores[cell, kind].argsort(descending=True, stable=True)
    return boxes[cell[order]], scores[cell[order], kind[order]], kind[order]
