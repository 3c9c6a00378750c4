"""Average precision of boxes: pycocotools' protocol and PASCAL VOC's, with confidence, NMS and interpolation named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fusionbench.tasks.openmmlab.coco import matches, precision_curves
from fusionbench.tasks.scores.bootstrap import ClassMatches, of_rows

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]

Number = TypeVar("Number", np.float64, np.int64, np.bool_)

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


@dataclass(frozen=True)
class Protocol:
    """Everything that moves an average precision.

    Attributes:
        confidence: boxes with a lower score are dropped.
        nms: boxes that overlap a better one of their class by more than this IoU are dropped; None: the boxes are
            taken as the network gave them. Boxes that went through a stricter NMS are not brought back.
        per_image: most boxes of an image, all classes together, best first; None: no limit.
        per_class: most boxes of an image and class; None: no limit.
        ious: thresholds a match must reach.
        match: ``coco``: a box takes the free object it overlaps most. ``voc``: a box stands for the object it
            overlaps most, and is false where that is taken; difficult objects count neither way; corner pixels are
            inside (widths are ``x2 - x1 + 1``).
        interpolation: ``101``: mean of the precision envelope at recall 0, .01, .., 1 (COCO). ``all``: area under
            the envelope (VOC 2010 and later). ``11``: mean at 0, .1, .., 1 (VOC 2007).
        used_by: evaluators with this protocol, and what of it is not reproduced.
    """

    confidence: float = 0.0
    nms: float | None = None
    per_image: int | None = None
    per_class: int | None = 100
    ious: tuple[float, ...] = COCO_IOUS
    match: str = "coco"
    interpolation: str = "101"
    used_by: str = ""


_TDFUSION = Protocol(0.05, 0.5, 100, 100, used_by="TDFusion (bubbliiiing/yolov8-pytorch), which prints AP50")
PROTOCOLS = {
    "coco": Protocol(used_by="pycocotools, mmdetection CocoMetric"),
    "yolov5": Protocol(
        0.001, 0.6, 300, 300, used_by="YOLOv5 val.py's settings (CLDyN); matching and interpolation are pycocotools'"
    ),
    "tdfusion": _TDFUSION,
    "tdfusion-voc": replace(
        _TDFUSION,
        ious=(0.5,),
        match="voc",
        interpolation="all",
        used_by="TDFusion where pycocotools is absent: its confidence, suppression and limits, the devkit's matching",
    ),
    "voc": Protocol(
        per_class=None,
        ious=(0.5,),
        match="voc",
        interpolation="all",
        used_by="PASCAL VOC devkit 2010 and later: every box counts",
    ),
    "voc2007": Protocol(
        per_class=None,
        ious=(0.5,),
        match="voc",
        interpolation="11",
        used_by="PASCAL VOC devkit of 2007: every box counts",
    ),
}


class Scored(NamedTuple):
    """The boxes and objects of one image, as :meth:`AveragePrecision.update` takes them, as arrays."""

    boxes: Array
    scores: Array
    labels: Labels
    true_boxes: Array
    true_labels: Labels
    difficult: Flags


class AveragePrecision:
    """Average precision over a data set, under every protocol of :data:`PROTOCOLS`.

    For each class and IoU threshold the boxes of all images are walked from the best score down; a box that matches
    an object of its class is true, else false. Recall is true/objects, precision is true/walked, and AP is the mean
    or area of the envelope of precision over recall. 0 to 1, higher is better. Equal scores keep the order in which
    images and boxes were added. A class without objects has no AP (NaN) and is left out of the mean.

    Lin et al., ECCV 2014, as computed by pycocotools 2; Everingham et al., IJCV 88, 2010, section 4.2.

    Args:
        classes: number of classes.
        protocols: names from :data:`PROTOCOLS`.

    Raises:
        ValueError: an unknown protocol.
    """

    def __init__(
        self, classes: int, protocols: tuple[str, ...] = ("coco", "yolov5", "tdfusion", "tdfusion-voc", "voc")
    ) -> None:
        unknown = [name for name in protocols if name not in PROTOCOLS]
        if unknown:
            raise ValueError(f"protocols are {', '.join(PROTOCOLS)}, got {unknown[0]!r}")
        self.classes = classes
        self.protocols = tuple(protocols)
        self.images: list[Scored] = []

    def update(
        self,
        boxes: Tensor | ArrayLike,
        scores: Tensor | ArrayLike,
        labels: Tensor | ArrayLike,
        true_boxes: Tensor | ArrayLike,
        true_labels: Tensor | ArrayLike,
        difficult: Tensor | ArrayLike | None = None,
    ) -> None:
        """Add one image.

        Args:
            boxes: predicted, ``[N,4]``: left, top, right, bottom in pixels of the label.
            scores: ``[N]``.
            labels: ``[N]``, class index from 0.
            true_boxes: ``[M,4]``.
            true_labels: ``[M]``.
            difficult: ``[M]``, objects that VOC does not count; COCO's protocol has no such flag and counts them.

        Raises:
            ValueError: lengths differ, a number is not finite, a label is no class, or a true box has no extent.
        """
        predicted, truth = _array(boxes, np.float64).reshape(-1, 4), _array(true_boxes, np.float64).reshape(-1, 4)
        flags = np.zeros(len(truth), np.bool_) if difficult is None else _array(difficult, np.bool_)
        score = _array(scores, np.float64)
        label, true_label = _array(labels, np.int64), _array(true_labels, np.int64)
        if not len(predicted) == len(score) == len(label) or not len(truth) == len(true_label) == len(flags):
            raise ValueError("boxes, scores and labels of an image have one length")
        if not (np.isfinite(predicted).all() and np.isfinite(score).all() and np.isfinite(truth).all()):
            raise ValueError("a box or score is NaN or infinite")
        for ids in (label, true_label):
            if len(ids) and not (ids.min() >= 0 and ids.max() < self.classes):
                raise ValueError(f"box labels are 0 to {self.classes - 1}, got {ids.min()} to {ids.max()}")
        if (truth[:, 2:] < truth[:, :2]).any():
            raise ValueError("a true box ends before it begins; boxes are left, top, right, bottom")
        predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2])  # what a young network predicts has no area
        self.images.append(Scored(predicted, score, label, truth, true_label, flags))

    def merge(self, other: AveragePrecision) -> None:
        """Add the images of another process or part of the data set, after these."""
        if self.classes != other.classes:
            raise ValueError("only results of the same classes can be added")
        self.images += other.images

    def per_class(self, protocol: str = "coco") -> Array:
        """AP of each class at each of the protocol's IoU thresholds, float64 ``[classes, thresholds]``."""
        rule = PROTOCOLS[protocol]
        images = []
        for image in self.images:
            boxes, scores, labels = selected(image.boxes, image.scores, image.labels, rule)
            images.append(image._replace(boxes=boxes, scores=scores, labels=labels))
        return (_coco if rule.match == "coco" else _voc)(images, self.classes, rule)

    def matches(self) -> list[ClassMatches]:
        """What the boxes of each class matched under COCO's protocol, from which its AP follows for any images."""
        rule = PROTOCOLS["coco"]
        assert rule.per_class is not None
        truths, detections = _rows(self.images)
        options = {"images": len(self.images), "classes": self.classes, "per_class": rule.per_class}
        found = matches(truths, detections, ious=rule.ious, **options)
        objects = [
            np.array([int((image.true_labels == label).sum()) for image in self.images], np.int64)
            for label in range(self.classes)
        ]
        return [of_rows(*of_class, count) for of_class, count in zip(found, objects, strict=True)]

    def compute(self) -> dict[str, float]:
        """Means over the classes that have objects, for each protocol.

        Returns:
            ``ap@NAME`` (mean over the protocol's thresholds: AP50:95, for VOC the one at .5), ``ap50@NAME`` and,
            where .75 is one of the thresholds, ``ap75@NAME``. NaN when there is no object at all.
        """
        result = {}
        for name in self.protocols:
            table, ious = self.per_class(name), PROTOCOLS[name].ious
            table = table[~np.isnan(table).any(1)]
            mean = table.mean(0) if len(table) else np.full(len(ious), np.nan)
            result[f"ap@{name}"] = float(mean.mean())
            for threshold in (0.5, 0.75):
                if threshold in ious:
                    result[f"ap{threshold * 100:.0f}@{name}"] = float(mean[ious.index(threshold)])
        return result


def selected(boxes: Array, scores: Array, labels: Labels, rule: Protocol) -> tuple[Array, Array, Labels]:
    """The boxes, scores and labels of an image that a protocol scores, best first."""
    chosen = np.flatnonzero(scores >= rule.confidence)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    if rule.nms is not None:
        chosen = chosen[suppressed(boxes[chosen], labels[chosen], rule.nms)]
    chosen = chosen[: rule.per_image]
    return boxes[chosen], scores[chosen], labels[chosen]


def suppressed(boxes: Array, labels: Labels, threshold: float) -> Flags:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes: ``[N,4]``, best first.
        labels: ``[N]``.
        threshold: a box is dropped where its IoU with a kept one of its class is greater.

    Returns:
        bool ``[N]``, the boxes that are kept.
    """
    keep = np.ones(len(boxes), np.bool_)
    for c in np.unique(labels):
        rest = np.flatnonzero(labels == c)
        while len(rest) > 1:
            overlap = iou(boxes[rest[:1]], boxes[rest[1:]])[0] > threshold
            keep[rest[1:][overlap]] = False
            rest = rest[1:][~overlap]
    return keep


def iou(a: Array, b: Array, pixel: float = 0) -> Array:
    """Intersection over union of every box of ``[N,4]`` with every one of ``[M,4]``: ``[N,M]``.

    Boxes without area overlap nothing. `pixel` is added to widths and heights (1 where the corners are inside).
    """
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(high - low + pixel, 0, None).prod(-1)
    area_a, area_b = (np.clip(x[:, 2:] - x[:, :2] + pixel, 0, None).prod(-1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - inter
    ratio: Array = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return ratio


def _array(values: Tensor | ArrayLike, dtype: type[Number]) -> NDArray[Number]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()  # numpy has no bfloat16
    return np.array(values, dtype)


def _rows(
    images: list[Scored],
) -> tuple[list[tuple[int, int, list[float]]], list[tuple[int, int, list[float], float]]]:
    """Objects and boxes as pycocotools is given them."""
    truths = [
        (number, label, box)
        for number, image in enumerate(images)
        for label, box in zip(image.true_labels.tolist(), image.true_boxes.tolist(), strict=True)
    ]
    detections = [
        (number, label, box, score)
        for number, image in enumerate(images)
        for label, box, score in zip(image.labels.tolist(), image.boxes.tolist(), image.scores.tolist(), strict=True)
    ]
    return truths, detections


def _coco(images: list[Scored], classes: int, rule: Protocol) -> Array:
    """AP ``[classes, thresholds]`` by pycocotools."""
    if not images:
        return np.full((classes, len(rule.ious)), np.nan)
    truths, detections = _rows(images)
    limit = len(detections) if rule.per_class is None else rule.per_class
    curves = precision_curves(truths, detections, images=len(images), classes=classes, ious=rule.ious, per_class=limit)
    ap: Array = np.where(curves[:, 0] < 0, np.nan, curves.mean(1)).T
    return ap


def _voc(images: list[Scored], classes: int, rule: Protocol) -> Array:
    """AP ``[classes, thresholds]`` as the VOC devkit computes it."""
    table = np.full((classes, len(rule.ious)), np.nan)
    for c in range(classes):
        score, overlap, target, hard = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, int)], [np.zeros(0, np.bool_)]
        for boxes, scores, labels, true_boxes, true_labels, difficult in images:
            predicted, true = np.flatnonzero(labels == c)[: rule.per_class], true_labels == c
            overlaps = iou(boxes[predicted], true_boxes[true], pixel=1)
            if not true.any():
                overlaps = np.zeros((len(predicted), 1))  # nothing to reach
            score.append(scores[predicted])
            overlap.append(overlaps.max(1))
            target.append(overlaps.argmax(1) + sum(map(len, hard)))
            hard.append(difficult[true])
        is_hard = np.concatenate(hard)
        total = int((~is_hard).sum())
        if not total:
            continue
        order = np.argsort(-np.concatenate(score), kind="stable")
        best, objects = np.concatenate(overlap)[order], np.concatenate(target)[order]
        for column, threshold in enumerate(rule.ious):
            hits = np.flatnonzero(best >= threshold)
            right, counted = np.zeros(len(order), bool), np.ones(len(order), bool)
            right[hits[np.unique(objects[hits], return_index=True)[1]]] = True  # the first box on each object
            counted[hits[is_hard[objects[hits]]]] = False
            rights = np.cumsum(right[counted])
            table[c, column] = _area(rights / total, rights / np.arange(1, len(rights) + 1), rule.interpolation)
    return table


def _area(recall: Array, precision: Array, interpolation: str) -> float:
    envelope = np.maximum.accumulate(np.append(precision, 0)[::-1])[::-1]  # best precision at this recall or more
    if interpolation == "11":
        return float(envelope[np.searchsorted(recall, np.arange(11) / 10, side="left")].mean())
    return float((np.diff(recall, prepend=0) * envelope[:-1]).sum())
