"""Semantic segmentation: SegFormer, or any network of an mmsegmentation config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.plugins.cards import did_you_mean
from fusionbench.tasks.network import Prediction, Target
from fusionbench.tasks.openmmlab import load
from fusionbench.tasks.scores.miou import Confusion
from fusionbench.tasks.segmentation.models import model_config
from fusionbench.tasks.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from fusionbench.data import Sample
    from fusionbench.tasks.openmmlab.segmentor import SegmentationNetwork

__all__ = ["IGNORE", "NETWORKS", "Segmentation", "build", "target"]

NETWORKS = ("segformer-b0", "segformer-b2", "segformer-tiny")
IGNORE = 255


class Segmentation(Task):
    """Scores: ``miou@NAME`` for each convention of :data:`fusionbench.tasks.scores.miou.CONVENTIONS`."""

    name, needs = "segmentation", "mask"

    def make(
        self,
        network: str | Path,
        classes: tuple[str, ...],
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int | None = None,
    ) -> SegmentationNetwork:
        """See :func:`build`; a config that `network` names by its path is Python that is run."""
        ignore = IGNORE if ignore_index is None else ignore_index
        return build(network, len(classes), channels, backbone, layout, ignore)

    def target(self, sample: Sample) -> Target:
        """See :func:`target`."""
        return target(sample)

    def scores(self, classes: tuple[str, ...], ignore_index: int | None = None) -> SegmentationScores:
        """The confusion matrix of these classes."""
        return SegmentationScores(classes, ignore_index)


class SegmentationScores:
    """A confusion matrix with the names of its classes."""

    def __init__(self, classes: tuple[str, ...], ignore_index: int | None) -> None:
        self.classes, self.confusion = classes, Confusion(len(classes), ignore_index)

    def update(self, prediction: Prediction, target: Target) -> None:
        """Add one image."""
        assert prediction.mask is not None
        assert target.mask is not None
        self.confusion.update(prediction.mask, target.mask)

    def compute(self) -> dict[str, float]:
        """See :meth:`fusionbench.tasks.scores.miou.Confusion.compute`."""
        return self.confusion.compute()

    def per_class(self) -> dict[str, float]:
        """IoU of each class."""
        return dict(zip(self.classes, self.confusion.iou().tolist(), strict=True))

    def facts(self) -> dict[str, object]:
        """The whole confusion matrix (row: truth, column: prediction), and the pixels that were not scored."""
        return {"confusion": self.confusion.matrix.tolist(), "dropped": self.confusion.dropped}


def build(
    network: str | Path,
    classes: int,
    channels: int = 3,
    backbone: str | Path | None = None,
    layout: str = "openmmlab",
    ignore_index: int = IGNORE,
) -> SegmentationNetwork:
    """A segmentation network with random weights.

    Args:
        network: one of :data:`NETWORKS`, or the path of an mmsegmentation config (``*.py``).
        classes: number of classes; masks hold 0..classes-1.
        channels: 3 (RGB) or 1.
        backbone: a local file with the backbone's weights; None for random ones.
        layout: whose names that file uses, see :func:`fusionbench.tasks.network.load_backbone`.
        ignore_index: mask id that counts for nothing.

    Raises:
        FusionbenchError: unknown network, missing extra ``tasks``, unusable config.
    """
    if not str(network).endswith(".py") and network not in NETWORKS:
        raise FusionbenchError(
            f"no segmentation network {str(network)!r}; {did_you_mean(str(network), NETWORKS)}, "
            "or give the path of an mmsegmentation config (*.py)"
        )
    config = model_config(network)
    load("mmseg")
    from fusionbench.tasks.openmmlab.segmentor import SegmentationNetwork

    return SegmentationNetwork(config, classes, channels, backbone, layout, ignore_index)


def target(sample: Sample) -> Target:
    """The mask of a sample as a tensor.

    Raises:
        DataError: the sample has no mask.
    """
    if sample.mask is None:
        raise DataError(f"{sample.id}: no segmentation mask")
    return Target(mask=torch.from_numpy(sample.mask).long())
