"""pycocotools' evaluation of boxes, through its public interface."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence

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
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise MissingExtra("pycocotools", error) from None

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
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
        evaluation.accumulate()
    curves: NDArray[np.float64] = evaluation.eval["precision"][:, :, :, 0, 0]
    return curves


def _entry(image: int, label: int, box: Box) -> dict[str, object]:
    width, height = box[2] - box[0], box[3] - box[1]
    return {"image_id": image, "category_id": label, "bbox": [box[0], box[1], width, height], "area": width * height}
