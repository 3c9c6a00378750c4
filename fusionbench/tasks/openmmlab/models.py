"""What the models of mmsegmentation and mmdetection have in common: made from a config, normalised, summed losses."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusionbench.tasks.network import Normalise, smooth
from fusionbench.tasks.openmmlab.config import Config, forget_downloads, set_classes
from fusionbench.tasks.openmmlab.packages import EVERYTHING, muted

if TYPE_CHECKING:
    from mmengine.registry import Registry


def build(registry: Registry, config: Config, classes: int, channels: int) -> tuple[nn.Module, Normalise]:
    """A model from its config, with random weights: whatever the config would download is left out.

    Args:
        registry: ``MODELS`` of mmseg or mmdet.
        config: the ``model`` part of a config. Its preprocessor is not built (augmentations are a recipe's business),
            only its normalisation is taken.
        classes: their number, written wherever the config names it.
        channels: of the images.
    """
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm

    settings = copy.deepcopy(config)
    preprocess = settings.pop("data_preprocessor", None) or {}
    set_classes(settings, classes)
    forget_downloads(settings)
    with _quiet():
        model = registry.build(ConfigDict(settings))
        for part in model.modules():
            initial = getattr(part, "init_cfg", None) or []
            rules = [initial] if isinstance(initial, dict) else initial
            if any(rule.get("type") == "Pretrained" for rule in rules):
                part.init_cfg = None
        model.init_weights()
    return smooth(revert_sync_batchnorm(model)), normalise(preprocess, channels)


@contextmanager
def _quiet() -> Iterator[None]:
    """mmengine reports every tensor it fills, and its packages remark on each other's deprecated calls."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with muted(EVERYTHING):
            yield
    finally:
        logger.setLevel(level)


def normalise(preprocess: Config, channels: int = 3) -> Normalise:
    """The normalisation of a preprocessor's config.

    OpenMMLab reads images as BGR, so a network without ``bgr_to_rgb`` was made for BGR. Means and deviations are
    written there in the order the network sees; ours are in RGB order.
    """
    bgr = not preprocess.get("bgr_to_rgb", False)
    mean, std = tuple(preprocess.get("mean") or (0.0,) * 3), tuple(preprocess.get("std") or (1.0,) * 3)
    return Normalise(mean[::-1] if bgr else mean, std[::-1] if bgr else std, channels, bgr)


def total(losses: Mapping[str, Tensor | Sequence[Tensor]]) -> Tensor:
    """The sum of a model's named losses; what is not called a loss (accuracies) is left out."""
    parts = [value for name, value in losses.items() if "loss" in name]
    terms = [term for value in parts for term in ([value] if isinstance(value, Tensor) else value)]
    return torch.stack([term.mean() for term in terms]).sum()
