"""Object detection: YOLOX, YOLOv8, YOLOv5, RetinaNet, DETR, or any detector of an mmdetection config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionbench.cards import did_you_mean
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.tasks._base import Target

if TYPE_CHECKING:
    from pathlib import Path

    from fusionbench.data import Sample

    from .networks import DetectionNetwork

__all__ = ["NETWORKS", "build", "target"]

NETWORKS = ("yolox-s", "yolov8-n", "yolov8-s", "yolov5-s", "retinanet-r18", "detr-r50")


def build(
    network: str | Path,
    classes: int,
    channels: int = 3,
    backbone: str | Path | None = None,
    layout: str = "openmmlab",
) -> DetectionNetwork:
    """A detector with random weights.

    Args:
        network: one of :data:`NETWORKS`, or the path of an mmdetection config (``*.py``).
        classes: number of classes; labels are 0..classes-1.
        channels: 3 (RGB) or 1.
        backbone: a local file with the backbone's weights; None for random ones.
        layout: whose names that file uses, see :func:`fusionbench.tasks._base.load_backbone`.

    Raises:
        FusionbenchError: unknown network, missing extra ``tasks``, unusable config.
    """
    if not str(network).endswith(".py") and network not in NETWORKS:
        raise FusionbenchError(
            f"no detector {str(network)!r}; {did_you_mean(str(network), NETWORKS)}, "
            "or give the path of an mmdetection config (*.py)"
        )
    from .configs import model_config
    from .networks import DetectionNetwork

    config = model_config(str(network), frozen=backbone is not None)
    return DetectionNetwork(config, classes, channels, backbone, layout)


def target(sample: Sample) -> Target:
    """The objects of a sample as tensors; an annotation without objects is ``[0,4]``.

    Raises:
        DataError: the sample has no annotation.
    """
    if sample.boxes is None:
        raise DataError(f"{sample.id}: no annotation of objects")
    difficult = sample.boxes.difficult
    return Target(
        boxes=torch.from_numpy(sample.boxes.xyxy).float(),
        labels=torch.from_numpy(sample.boxes.labels).long(),
        difficult=None if difficult is None else torch.from_numpy(difficult),
    )
