"""Semantic segmentation: SegFormer, or any network of an mmsegmentation config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionbench.cards import did_you_mean
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.tasks._base import Target

if TYPE_CHECKING:
    from pathlib import Path

    from fusionbench.data import Sample

    from .networks import SegmentationNetwork

__all__ = ["IGNORE", "NETWORKS", "build", "target"]

NETWORKS = ("segformer-b0", "segformer-b2")
IGNORE = 255


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
        layout: whose names that file uses, see :func:`fusionbench.tasks._base.load_backbone`.
        ignore_index: mask id that counts for nothing.

    Raises:
        FusionbenchError: unknown network, missing extra ``tasks``, unusable config.
    """
    if not str(network).endswith(".py") and network not in NETWORKS:
        raise FusionbenchError(
            f"no segmentation network {str(network)!r}; {did_you_mean(str(network), NETWORKS)}, "
            "or give the path of an mmsegmentation config (*.py)"
        )
    from .networks import SegmentationNetwork, model_config

    return SegmentationNetwork(model_config(network), classes, channels, backbone, layout, ignore_index)


def target(sample: Sample) -> Target:
    """The mask of a sample as a tensor.

    Raises:
        DataError: the sample has no mask.
    """
    if sample.mask is None:
        raise DataError(f"{sample.id}: no segmentation mask")
    return Target(mask=torch.from_numpy(sample.mask).long())
