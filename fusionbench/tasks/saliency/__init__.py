"""Salient object detection: CTDNet-18."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.plugins.cards import did_you_mean
from fusionbench.tasks.network import Prediction, Target
from fusionbench.tasks.saliency.ctdnet import CTDNet18
from fusionbench.tasks.scores.saliency import SaliencyScores
from fusionbench.tasks.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from fusionbench.data import Sample

__all__ = ["WIDTHS", "CTDNet18", "Saliency", "build", "target"]

WIDTHS = {"ctdnet-18": 64, "ctdnet-tiny": 12}  # of the first level; the tiny one is ours, for a laptop's processor


class Saliency(Task):
    """Scores: F, E, weighted F, S and MAE, see :class:`fusionbench.tasks.scores.saliency.SaliencyScores`."""

    name, needs = "saliency", "saliency"

    def make(
        self,
        network: str | Path,
        classes: tuple[str, ...],
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int | None = None,
    ) -> CTDNet18:
        """See :func:`build`; there are no classes, and nothing to ignore."""
        return build(network, channels, backbone, layout)

    def target(self, sample: Sample) -> Target:
        """See :func:`target`."""
        return target(sample)

    def scores(self, classes: tuple[str, ...], ignore_index: int | None = None) -> SaliencyTally:
        """An empty tally."""
        return SaliencyTally()


class SaliencyTally:
    """Saliency scores of pairs of map and mask."""

    def __init__(self) -> None:
        self.scores = SaliencyScores()

    def update(self, prediction: Prediction, target: Target) -> None:
        """Add one image."""
        assert prediction.saliency is not None
        assert target.saliency is not None
        self.scores.update(prediction.saliency.cpu(), target.saliency.cpu())

    def compute(self) -> dict[str, float]:
        """See :meth:`fusionbench.tasks.scores.saliency.SaliencyScores.compute`."""
        return self.scores.compute()

    def per_class(self) -> dict[str, float]:
        """No classes here."""
        return {}

    def facts(self) -> dict[str, object]:
        """Number of images."""
        return {"images": len(self.scores)}


def build(
    network: str | Path,
    channels: int = 3,
    backbone: str | Path | None = None,
    layout: str = "openmmlab",
) -> CTDNet18:
    """A saliency network with random weights.

    Args:
        network: one of :data:`WIDTHS`.
        channels: 3 (RGB) or 1.
        backbone: a local file with the ResNet-18's weights; None for random ones.
        layout: whose names that file uses, see :func:`fusionbench.tasks.network.load_backbone`.

    Raises:
        FusionbenchError: unknown network, unusable file.
    """
    if network not in WIDTHS:
        raise FusionbenchError(f"no saliency network {str(network)!r}; {did_you_mean(str(network), WIDTHS)}")
    return CTDNet18(channels, backbone, layout, WIDTHS[str(network)])


def target(sample: Sample) -> Target:
    """The saliency mask of a sample as a tensor.

    Raises:
        DataError: the sample has none.
    """
    if sample.saliency is None:
        raise DataError(f"{sample.id}: no saliency mask")
    return Target(saliency=torch.from_numpy(sample.saliency.astype("float32") / 255)[None])
