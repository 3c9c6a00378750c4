"""Which prediction learns which object: task-aligned (YOLOv8), by anchor shape (YOLOv5), SimOTA (YOLOX), by largest IoU
(RetinaNet). All without gradients.

The objects of a batch are filled up to the largest number in an image, and what is assigned stands in slots of fixed
number, not all of which are taken: so nothing waits for a device to count. Imported behind ``load("mmdet")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

ALPHA, BETA = 0.5, 6.0  # exponents of score and IoU in task-aligned assignment
RADIUS, CANDIDATES, IOU_WEIGHT = 2.5, 10, 3.0  # of SimOTA: the centre's in strides, points for an object, cost of IoU
FAR = 1e5  # cost of a point that is not both in an object and at its centre, as mmdetection has it


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


class Objects(NamedTuple):
    """The objects of a batch, N in each image: those that are missing are empty boxes of label -1.

    Attributes:
        boxes: ``[B,N,4]`` pixels.
        labels: int64 ``[B,N]``.
    """

    boxes: Tensor
    labels: Tensor

    @property
    def real(self) -> Tensor:
        """Which there are, bool ``[B,N]``."""
        return self.labels >= 0

    @property
    def classes(self) -> Tensor:
        """Labels to look up by, 0 for those that are missing."""
        return self.labels.clamp(min=0)


def objects(instances: Sequence[InstanceData]) -> Objects:
    """The objects of a batch's images together; at least one place in each."""
    boxes = pad_sequence([i.bboxes for i in instances], True)
    labels = pad_sequence([i.labels for i in instances], True, -1)
    if labels.shape[1]:
        return Objects(boxes, labels)
    return Objects(boxes.new_zeros(len(instances), 1, 4), labels.new_full((len(instances), 1), -1))


def images_of(slots: Tensor) -> Tensor:
    """The number of its image for each of ``[B,...]``."""
    first = torch.arange(len(slots), device=slots.device).view(-1, *[1] * (slots.ndim - 1))
    return first.expand_as(slots)


def overlap(a: Tensor, b: Tensor, least: float = 1e-6) -> Tensor:
    """IoU of boxes ``[...,4]`` and ``[...,4]``, as their shapes broadcast; unions below ``least`` count as that."""
    shared = _common(a, b)
    return shared / (area(a) + area(b) - shared).clamp(min=least)


def generalised_overlap(a: Tensor, b: Tensor, least: float = 1e-6) -> Tensor:
    """GIoU (Rezatofighi et al. 2019): IoU less the share of the box around both that is in neither."""
    shared = _common(a, b)
    union = (area(a) + area(b) - shared).clamp(min=least)
    size = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0)
    around = (size[..., 0] * size[..., 1]).clamp(min=least)
    return shared / union - (around - union) / around


def _common(a: Tensor, b: Tensor) -> Tensor:
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return size[..., 0] * size[..., 1]


def area(boxes: Tensor) -> Tensor:
    """Of ``[...,4]``."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def within(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether points ``[P,2]`` lie inside boxes ``[...,P or 1,4]``."""
    return torch.cat((points - boxes[..., :2], boxes[..., 2:] - points), -1).amin(-1) > 0


def pair_or_unit(there: Tensor | None, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes ``[M,4]`` to compare; where there is nothing, two that every comparison is finite for, without gradient."""
    if there is None:
        return predicted, true
    unit = torch.zeros_like(true[:1])
    unit[:, 2:] = 1
    return torch.where(there[:, None], predicted, unit), torch.where(there[:, None], true, 2 * unit)


@torch.no_grad()
def task_aligned(
    scores: Tensor, boxes: Tensor, points: Tensor, things: Objects, topk: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment (Feng et al. 2021, TOOD, sec. 3.2), with YOLOv8's choice among points inside the object.

    alignment = score^0.5 * IoU^6. Each object takes the ``topk`` best aligned points that lie inside it; a point
    wanted by several goes to the object of the largest IoU. Its target score is its alignment, scaled so that the
    object's best point gets the object's best IoU.

    Args:
        scores: ``[B,P,classes]`` in [0,1].
        boxes: predicted, ``[B,P,4]`` pixels.
        points: ``[P,2]`` pixels.
        things: what is to be found.
        topk: points per object, K.

    Returns:
        Points that an object may have, int64 ``[B,N,K]``; their target scores in [0,1]; and which it has, bool.
    """
    count, topk = len(points), min(topk, len(points))
    overlaps = overlap(things.boxes[:, :, None], boxes[:, None])  # [B,N,P]
    of_class = scores.mT.gather(1, things.classes[..., None].expand(-1, -1, count))
    alignment = of_class**ALPHA * overlaps**BETA
    inside = within(points, things.boxes[:, :, None]) & things.real[..., None]
    point = alignment.masked_fill(~inside, -1).topk(topk, 2).indices
    chosen = torch.zeros_like(inside).scatter_(2, point, True) & inside
    owner = overlaps.masked_fill(~chosen, -1).argmax(1)
    own = torch.arange(len(things.boxes[0]), device=owner.device)[:, None]
    has = chosen.gather(2, point) & (owner.gather(1, point.flatten(1)).view_as(point) == own)
    alignment, overlaps = alignment.gather(2, point) * has, overlaps.gather(2, point) * has
    best = overlaps.amax(2) / (alignment.amax(2) + 1e-9)
    return point, alignment * best[..., None], has


@torch.no_grad()
def by_anchor_shape(
    things: Objects, anchors: Tensor, stride: int, size: tuple[int, ...], ratio: float = 4.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """YOLOv5's assignment on one level.

    An anchor fits an object when neither side is more than ``ratio`` times the other's. A fitting anchor learns in the
    cell that holds the object's centre and in the two neighbours that the centre is closest to.

    Args:
        things: what is to be found.
        anchors: ``[A,2]``, width and height in pixels.
        stride: pixels per cell.
        size: height and width of the level in cells.
        ratio: see above.

    Returns:
        Anchor, row and column of the cells that an object may have, int64 ``[B,N,A,3]``; and which it has, bool.
    """
    height, width = size
    boxes = things.boxes
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 / stride
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    relative = sides[..., None, :] / anchors  # [B,N,A,2]
    fits = torch.maximum(relative, 1 / relative).amax(-1) < ratio
    part = centre - centre.floor()
    ahead = torch.where(part < 0.5, -1, 1)  # the nearer neighbour along x and along y
    none = torch.zeros_like(ahead[..., 0])
    cell = centre.floor().long()
    column = cell[..., :1] + torch.stack((none, ahead[..., 0], none), -1)  # [B,N,3]
    row = cell[..., 1:] + torch.stack((none, none, ahead[..., 1]), -1)
    valid = (column >= 0) & (row >= 0) & (column < width) & (row < height) & things.real[..., None]
    has = fits[..., None] & valid[..., None, :]
    anchor = torch.arange(len(anchors), device=boxes.device)[:, None].expand_as(has)
    row, column = (x.clamp(0, most - 1)[..., None, :].expand_as(has) for x, most in ((row, height), (column, width)))
    return anchor, row, column, has


@torch.no_grad()
def sim_ota(
    scores: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, things: Objects
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """YOLOX's assignment (Ge et al. 2021, sec. 2.1, SimOTA), as mmdetection has it.

    The cost of a point for an object is the cross entropy of its class scores and three times -log IoU, and very
    large where the point does not lie in the object and near its centre. An object takes as many points of the least
    cost as the sum of its ten largest IoUs; a point wanted by several goes to the object that it costs least.

    Args:
        scores: ``[B,P,classes]`` in [0,1].
        boxes: predicted, ``[B,P,4]`` pixels.
        points: ``[P,2]`` pixels.
        strides: ``[P]``.
        things: what is to be found.

    Returns:
        Points ``[B,N,K]`` int64, each at most once where it counts; the object that each learns; their IoU; which
        count, bool.
    """
    count, (_, number) = len(points), things.labels.shape
    overlaps = overlap(things.boxes[:, :, None], boxes[:, None])  # [B,N,P]
    middle, reach = (things.boxes[..., :2] + things.boxes[..., 2:]) / 2, RADIUS * strides[:, None]
    real = things.real[..., None]
    inside = within(points, things.boxes[:, :, None]) & real
    near = within(points, torch.cat((middle[:, :, None] - reach, middle[:, :, None] + reach), -1)) & real
    valid = (inside | near).any(1, keepdim=True)
    hit, miss = -scores.log().clamp(min=-100), -(1 - scores).log().clamp(min=-100)
    gain = (hit - miss).mT.gather(1, things.classes[..., None].expand(-1, -1, count))
    cost = miss.sum(2)[:, None] + gain - IOU_WEIGHT * (overlaps + 1e-7).log() + FAR * ~(inside & near)
    cost = cost.masked_fill(~(valid & real), torch.inf)
    most = min(CANDIDATES, count)
    wanted = (overlaps * valid).topk(most, 2).values.sum(2).int().clamp(min=1)
    least, point = cost.topk(most, 2, largest=False)
    picked = (torch.arange(most, device=cost.device) < wanted[..., None]) & (least < torch.inf)
    chosen = torch.zeros_like(inside).scatter_(2, point, picked)
    first, several = chosen.int().argmax(1), chosen.sum(1) > 1
    owner = torch.where(several, cost.argmin(1), first)  # [B,P]
    of_slot = [x.gather(1, point.flatten(1)).view_as(point) for x in (first, owner)]
    has = picked & (of_slot[0] == torch.arange(number, device=cost.device)[:, None])
    iou = overlaps[images_of(point), of_slot[1], point]
    return point, of_slot[1], iou, has


@torch.no_grad()
def by_largest_overlap(
    anchors: Tensor, things: Objects, positive: float, negative: float, least: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """RetinaNet's assignment (Lin et al. 2017, sec. 4.1), as mmdetection's ``MaxIoUAssigner`` does it.

    An anchor learns the object that it overlaps most from an IoU of ``positive`` on, and nothing below ``negative``;
    besides, the anchors with an object's largest IoU learn it, if that is ``least``, the last of several objects.

    Args:
        anchors: ``[T,4]`` pixels.
        things: what is to be found.
        positive: see above.
        negative: see above.
        least: see above.

    Returns:
        The object of each anchor, int64 ``[B,T]``; which learn one, and which learn that there is none, both bool.
    """
    overlaps = overlap(things.boxes[:, :, None], anchors).masked_fill(~things.real[..., None], -1)  # [B,N,T]
    best, owner = overlaps.max(1)
    of_object = overlaps.amax(2, keepdim=True)
    low = (overlaps == of_object) & (of_object >= least)
    last = low.shape[1] - 1 - low.flip(1).byte().argmax(1)
    forced = low.any(1)
    has = forced | (best >= positive)
    return torch.where(forced, last, owner), has, ~has & (best < negative)
