"""pycocotools' evaluation of boxes, through its public interface."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusionbench.tasks.openmmlab.packages import MissingExtra

Box = Sequence[float]  # left, top, right, bottom


def precision_curves(
    truths: Iterable[tuple[int, int, Box]],
    detections: Iterable[tuple[int, int, Box, float]],
    *,
    images: int,
    classes: int,
    ious: Sequence[float],
    per_class: int,
) -> NDArray[np.float64]:
    """Precision at recall 0, .01, .., 1.

    Args:
        truths: image, class and box of each object.
        detections: image, class, box and score of each prediction.
        images: their number; they are called 0, 1...
        classes: likewise.
        ious: thresholds a match must reach.
        per_class: most boxes of an image and class.

    Returns:
        ``[thresholds, recalls, classes]``, -1 for a class without objects.

    Raises:
        MissingExtra: pycocotools is not installed.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        evaluation = _evaluated(truths, detections, images, classes, ious, per_class)
        evaluation.accumulate()
    curves: NDArray[np.float64] = evaluation.eval["precision"][:, :, :, 0, 0]
    return curves


class Matched(NamedTuple):
    """What the boxes of one class matched.

    Attributes:
        scores: ``[N]``, those of an image together and best first.
        image: of each box, ``[N]``.
        matched: bool ``[thresholds,N]``.
    """

    scores: NDArray[np.float64]
    image: NDArray[np.int64]
    matched: NDArray[np.bool_]


def matches(
    truths: Iterable[tuple[int, int, Box]],
    detections: Iterable[tuple[int, int, Box, float]],
    *,
    images: int,
    classes: int,
    ious: Sequence[float],
    per_class: int,
) -> list[Matched]:
    """What :func:`precision_curves` is computed from, class by class; the same arguments.

    Raises:
        MissingExtra: pycocotools is not installed.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluated(truths, detections, images, classes, ious, per_class)
    found = []
    for label in range(classes):  # its results lie class by class, image by image; None: neither objects nor boxes
        own = evaluation.evalImgs[label * images : (label + 1) * images]
        rows = [(number, e["dtScores"], e["dtMatches"]) for number, e in enumerate(own) if e and len(e["dtScores"])]
        scores = [np.array(row[1], np.float64) for row in rows]
        image = [np.full(len(row[1]), row[0], np.int64) for row in rows]
        matched = [np.array(row[2]) > 0 for row in rows]
        found.append(
            Matched(
                np.concatenate([np.zeros(0), *scores]),
                np.concatenate([np.zeros(0, np.int64), *image]),
                np.concatenate([np.zeros((len(ious), 0), np.bool_), *matched], 1),
            )
        )
    return found


def _evaluated(
    truths: Iterable[tuple[int, int, Box]],
    detections: Iterable[tuple[int, int, Box, float]],
    images: int,
    classes: int,
    ious: Sequence[float],
    per_class: int,
) -> Any:
    """pycocotools' evaluation after matching."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise MissingExtra("pycocotools", error) from None

    objects = COCO()
    objects.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": label} for label in range(classes)],
        # ids from 1: 0 is "no match" there
        "annotations": [{"id": n, "iscrowd": 0, **_entry(*row)} for n, row in enumerate(truths, 1)],
    }
    objects.createIndex()
    rows = [{**_entry(*row[:3]), "score": row[3]} for row in detections]
    evaluation = COCOeval(objects, objects.loadRes(rows) if rows else COCO(), "bbox")
    settings = evaluation.params
    settings.maxDets, settings.iouThrs = [per_class], np.array(ious)
    settings.areaRng, settings.areaRngLbl = [[0, float("inf")]], ["all"]
    evaluation.evaluate()
    return evaluation


def _entry(image: int, label: int, box: Box) -> dict[str, object]:
    width, height = box[2] - box[0], box[3] - box[1]
    return {"image_id": image, "category_id": label, "bbox": [box[0], box[1], width, height], "area": width * height}
