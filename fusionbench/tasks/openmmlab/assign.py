"""Which prediction learns which object: task-aligned (YOLOv8), by anchor shape (YOLOv5). All without gradients.

Imported behind ``load("mmdet")``.
"""

from __future__ import annotations

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

ALPHA, BETA = 0.5, 6.0  # exponents of score and IoU in task-aligned assignment


class SinglePrecision:
    """An assigner of mmdetection that sees float32, whatever the network runs in; some can do no other."""

    def __init__(self, assigner: BaseAssigner) -> None:
        self.assigner = assigner

    def assign(self, *args: object, **options: object) -> AssignResult:
        """See mmdetection."""
        return self.assigner.assign(*map(_single, args), **{name: _single(value) for name, value in options.items()})


def _single(value: object) -> object:
    if not isinstance(value, InstanceData):
        return value
    floating = {n: v.float() for n, v in value.items() if isinstance(v, Tensor) and v.is_floating_point()}
    return InstanceData(metainfo=value.metainfo, **{**dict(value.items()), **floating})


@torch.no_grad()
def task_aligned(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    topk: int = 10,
) -> tuple[Tensor, Tensor]:
    """Task-aligned assignment (Feng et al. 2021, TOOD, sec. 3.2), with YOLOv8's choice among points inside the object.

    alignment = score^0.5 * IoU^6. Each object takes the ``topk`` best aligned points that lie inside it; a point
    wanted by several goes to the object of the largest IoU. Its target score is its alignment, scaled so that the
    object's best point gets the object's best IoU.

    Args:
        scores: ``[P,classes]`` in [0,1].
        boxes: predicted, ``[P,4]`` pixels.
        points: ``[P,2]`` pixels.
        gt_boxes: ``[N,4]``.
        gt_labels: ``[N]``.
        topk: points per object.

    Returns:
        int64 ``[P]``, index of the object or -1; and the target score, ``[P]`` in [0,1].
    """
    nobody = torch.full((len(points),), -1, dtype=torch.long, device=points.device)
    if len(gt_boxes) == 0:
        return nobody, scores.new_zeros(len(points))
    overlaps = bbox_overlaps(gt_boxes, boxes).clamp(min=0)  # [N,P]
    alignment = scores[:, gt_labels].t() ** ALPHA * overlaps**BETA
    inside = torch.cat((points - gt_boxes[:, None, :2], gt_boxes[:, None, 2:] - points), 2).amin(2) > 0
    best = alignment.masked_fill(~inside, -1).topk(min(topk, len(points)), 1).indices
    chosen = torch.zeros_like(inside).scatter_(1, best, True) & inside
    owner = overlaps.masked_fill(~chosen, -1).argmax(0)
    taken = chosen.any(0)
    chosen = torch.zeros_like(chosen).scatter_(0, owner[None], taken[None])
    alignment, overlaps = alignment * chosen, overlaps * chosen
    target = alignment * (overlaps.amax(1) / (alignment.amax(1) + 1e-9))[:, None]
    return torch.where(taken, owner, nobody), target.sum(0)


@torch.no_grad()
def by_anchor_shape(
    gt_boxes: Tensor, gt_labels: Tensor, anchors: Tensor, stride: int, size: tuple[int, ...], ratio: float = 4.0
) -> tuple[Tensor, ...]:
    """YOLOv5's assignment on one level of one image.

    An anchor fits an object when neither side is more than ``ratio`` times the other's. A fitting anchor learns in the
    cell that holds the object's centre and in the two neighbours that the centre is closest to.

    Args:
        gt_boxes: ``[N,4]`` pixels.
        gt_labels: ``[N]``.
        anchors: ``[A,2]``, width and height in pixels.
        stride: pixels per cell.
        size: height and width of the level in cells.
        ratio: see above.

    Returns:
        Anchor, row, column (int64 ``[M]``), box in pixels ``[M,4]`` and label ``[M]`` of each positive.
    """
    height, width = size
    centre = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2 / stride
    sides = (gt_boxes[:, 2:] - gt_boxes[:, :2]).clamp(min=1e-3)
    relative = sides[:, None] / anchors  # [N,A,2]
    fits = torch.maximum(relative, 1 / relative).amax(2) < ratio
    part = centre - centre.floor()
    ahead = torch.where(part < 0.5, -1, 1)  # the nearer neighbour along x and along y
    none = torch.zeros_like(ahead[:, 0])
    steps = torch.stack(
        (torch.stack((none, none), 1), torch.stack((ahead[:, 0], none), 1), torch.stack((none, ahead[:, 1]), 1)), 1
    )
    cell = centre.floor().long()[:, None] + steps  # [N,3,2]
    valid = (cell >= 0).all(2) & (cell[..., 0] < width) & (cell[..., 1] < height)
    thing, anchor, step = (fits[:, :, None] & valid[:, None]).nonzero(as_tuple=True)
    column, row = cell[thing, step].unbind(1)
    return anchor, row, column, gt_boxes[thing], gt_labels[thing]
