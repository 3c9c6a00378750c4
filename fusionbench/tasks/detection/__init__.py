"""Object detection: YOLOX, YOLOv8, YOLOv5, RetinaNet, DETR, or any detector of an mmdetection config."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.plugins.cards import did_you_mean
from fusionbench.plugins.tensors import fitting, read_tensors
from fusionbench.tasks.detection.models import YOLOX, model_config
from fusionbench.tasks.detection.released import COCO, Letterboxed, rule_of
from fusionbench.tasks.network import Prediction, Target, TaskNetwork
from fusionbench.tasks.openmmlab import load
from fusionbench.tasks.openmmlab.checkpoints import fit_inner
from fusionbench.tasks.scores.average_precision import AveragePrecision
from fusionbench.tasks.scores.bootstrap import ClassMatches, average_precision
from fusionbench.tasks.task import Narrow, Released, Scores, Task

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fusionbench.data import Dataset, Sample
    from fusionbench.tasks.openmmlab.detector import DetectionNetwork

__all__ = ["NETWORKS", "Detection", "build", "target"]

NETWORKS = (
    "yolox-s",
    "yolox-tiny",
    "yolox-nano",
    "yolov8-n",
    "yolov8-s",
    "yolov5-s",
    "retinanet-r18",
    "detr-r50",
    "yolov8-tiny",
    "yolov5-tiny",
)


class Detection(Task):
    """Scores: ``ap@NAME``, ``ap50@NAME``, ``ap75@NAME`` for each of :data:`.scores.average_precision.PROTOCOLS`."""

    name, needs = "detection", "boxes"

    def make(
        self,
        network: str | Path,
        classes: tuple[str, ...],
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int | None = None,
    ) -> DetectionNetwork:
        """See :func:`build`; every box counts, so there is nothing to ignore.

        A config that `network` names by its path is Python that is run.
        """
        return build(network, len(classes), channels, backbone, layout)

    def released(self, network: str, path: Path) -> Released:
        """A YOLOX trained on COCO: a checkpoint of mmdetection, or an ONNX export of bubbliiiing/yolox-pytorch.

        Raises:
            FusionbenchError: damaged, not of this network, or of another than YOLOX.
        """
        if network not in YOLOX:
            return super().released(network, path)
        built = build(network, len(COCO))
        if path.suffix == ".onnx":
            from fusionbench.tasks.detection.yolox_onnx import read

            return Released(COCO, read(path, built), "yolox-pytorch", "COCO")
        what = f"{network} with COCO's {len(COCO)} classes"
        tensors, _ = fitting(read_tensors(path), path, what, lambda state: fit_inner(built, state))
        return Released(
            COCO, {**built.state_dict(), **tensors}, f"mmdet-{640 if network == 'yolox-s' else 416}", "COCO"
        )

    def seeing(self, network: TaskNetwork, convention: str) -> TaskNetwork:
        """See :class:`fusionbench.tasks.detection.released.Letterboxed`."""
        rule = rule_of(convention)
        load("mmdet")
        from fusionbench.tasks.openmmlab.detector import DetectionNetwork

        assert isinstance(network, DetectionNetwork)
        return Letterboxed(network, rule)

    def said(self, convention: str) -> tuple[str, str]:
        """Size, thresholds and limit."""
        rule = rule_of(convention)
        return str(rule), rule.clause

    def target(self, sample: Sample) -> Target:
        """See :func:`target`."""
        return target(sample)

    def common(self, trained: tuple[str, ...], dataset: Dataset) -> tuple[tuple[str, ...], Narrow]:
        """Classes of one name in either (a dataset's other names count); boxes of other classes are left out.

        Raises:
            DataError: no class is shared.
        """
        names, of_trained = dataset.box_classes, _ids(trained, dataset)
        shared = sorted(set(of_trained) - {-1})
        number = {old: new for new, old in enumerate(shared)}
        predicted = torch.tensor([number.get(i, -1) for i in of_trained])
        true = torch.tensor([number.get(i, -1) for i in range(len(names))])

        def narrow(prediction: Prediction, target: Target) -> tuple[Prediction, Target]:
            return _of_prediction(prediction, predicted), _of_target(target, true)

        return tuple(names[i] for i in shared), narrow

    def places(self, trained: tuple[str, ...], dataset: Dataset) -> list[int]:
        """By name, a dataset's other names included; the first of several.

        Raises:
            DataError: no class is shared.
        """
        own = _ids(trained, dataset)
        return [own.index(i) if i in own else -1 for i in range(len(dataset.box_classes))]

    def matches(self, scores: Scores) -> dict[str, object]:
        """By class, see :class:`fusionbench.tasks.scores.bootstrap.ClassMatches`."""
        assert isinstance(scores, DetectionScores)
        return dict(zip(scores.classes, map(msgspec.to_builtins, scores.ap.matches()), strict=True))

    def resampled(self, matches: object, weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """AP50 by COCO's protocol; the mean is over the classes that have objects among the images that were drawn.

        Raises:
            ValueError: see :meth:`fusionbench.tasks.task.Task.resampled`.
        """
        found = msgspec.convert(matches, dict[str, ClassMatches])
        by_class = {name: average_precision(of_class, weights) for name, of_class in found.items()}
        table = np.stack([*by_class.values(), np.full(len(weights), np.nan)])
        defined = (~np.isnan(table)).sum(0)
        total = np.nansum(table, 0)
        mean = np.divide(total, defined, out=np.full(len(weights), np.nan), where=defined > 0)
        return {"": mean, **by_class}

    def scores(self, classes: tuple[str, ...], ignore_index: int | None = None) -> DetectionScores:
        """Average precision of these classes."""
        return DetectionScores(classes)


class DetectionScores:
    """Average precision with the names of the classes."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes, self.ap = classes, AveragePrecision(len(classes))

    def update(self, prediction: Prediction, target: Target) -> None:
        """Add one image."""
        p, t = prediction.to("cpu"), target.to("cpu")
        assert p.boxes is not None
        assert p.scores is not None
        assert p.labels is not None
        assert t.boxes is not None
        assert t.labels is not None
        self.ap.update(p.boxes, p.scores, p.labels, t.boxes, t.labels, t.difficult)

    def compute(self) -> dict[str, float]:
        """See :meth:`fusionbench.tasks.scores.average_precision.AveragePrecision.compute`."""
        return self.ap.compute()

    def per_class(self) -> dict[str, float]:
        """AP50 of each class by COCO's protocol; NaN for a class without objects."""
        return dict(zip(self.classes, self.ap.per_class("coco")[:, 0].tolist(), strict=True))

    def facts(self) -> dict[str, object]:
        """Number of objects of each class."""
        labels = [int(label) for image in self.ap.images for label in image.true_labels]
        return {"objects": {name: labels.count(i) for i, name in enumerate(self.classes)}}


def _ids(trained: tuple[str, ...], dataset: Dataset) -> list[int]:
    """The dataset's id of each class of a network, -1 for one that it does not have.

    Raises:
        DataError: no class is shared.
    """
    names = dataset.box_classes
    known = {name.lower(): i for i, name in enumerate(names)}
    aliases = dataset.card.facts.classes.box_aliases
    known |= {alias.lower(): names.index(name) for alias, name in aliases.items() if alias.lower() not in known}
    ids = [known.get(name.lower(), -1) for name in trained]
    if not set(ids) - {-1}:
        raise DataError(f"the network's classes ({', '.join(trained)}) are none of {dataset.name}'s")
    return ids


def _of_prediction(prediction: Prediction, to: torch.Tensor) -> Prediction:
    """Boxes with labels renumbered by ``to``; those that become -1 are left out."""
    assert prediction.boxes is not None
    assert prediction.scores is not None
    assert prediction.labels is not None
    labels = to.to(prediction.labels.device)[prediction.labels]
    shared = labels >= 0
    return replace(prediction, boxes=prediction.boxes[shared], scores=prediction.scores[shared], labels=labels[shared])


def _of_target(target: Target, to: torch.Tensor) -> Target:
    assert target.boxes is not None
    assert target.labels is not None
    labels = to.to(target.labels.device)[target.labels]
    shared = labels >= 0
    difficult = None if target.difficult is None else target.difficult[shared]
    return replace(target, boxes=target.boxes[shared], labels=labels[shared], difficult=difficult)


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
        layout: whose names that file uses, see :func:`fusionbench.tasks.network.load_backbone`.

    Raises:
        FusionbenchError: unknown network, missing extra ``tasks``, unusable config.
    """
    if not str(network).endswith(".py") and network not in NETWORKS:
        raise FusionbenchError(
            f"no detector {str(network)!r}; {did_you_mean(str(network), NETWORKS)}, "
            "or give the path of an mmdetection config (*.py)"
        )
    config = model_config(str(network), frozen=backbone is not None)
    load("mmdet")
    from fusionbench.tasks.openmmlab.detector import DetectionNetwork

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
