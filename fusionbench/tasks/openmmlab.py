"""mmsegmentation and mmdetection, loaded on first use and without anything compiled.

Both import ``mmcv.ops``, which wants the compiled module ``mmcv._ext``. The wheels of ``mmcv-lite`` have none. Where
there is none, a stand-in takes its place: non-maximum suppression in plain PyTorch, and a clear error for every other
operation when it is called. A compiled mmcv is used as it is.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError

EXT = "mmcv._ext"
BLOCK = 1024
INSTALL = "pip install 'ivif-fusionbench[tasks]'"


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy non-maximum suppression, exact, on any device.

    Args:
        bboxes: ``[N,4]``, left, top, right, bottom.
        scores: ``[N]``.
        iou_threshold: a box goes when its IoU with a better kept one exceeds this.
        offset: 1 where a box of equal edges is one pixel wide.

    Returns:
        int64 indices of the kept boxes, best first; of equal scores the earlier comes first.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = bboxes[order]
    area = (boxes[:, 2:] - boxes[:, :2] + offset).prod(1)
    alive = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK, None]
        size = (
            torch.minimum(block[..., 2:], boxes[start:, 2:]) - torch.maximum(block[..., :2], boxes[start:, :2]) + offset
        )
        shared = size.clamp(min=0).prod(-1)
        over = shared > iou_threshold * (area[start : start + BLOCK, None] + area[start:] - shared)
        count = len(block)
        within, free = over[:, :count].triu(1), alive[start : start + count].clone()
        kept = free
        while True:  # settles after as many rounds as the longest chain of suppressions
            again = free & ~(within & kept[:, None]).any(0)
            if again.equal(kept):
                break
            kept = again
        alive[start : start + count] = kept
        alive[start + count :] &= ~(over[:, count:] & kept[:, None]).any(0)
    return order[alive]


class _StandIn(ModuleType):
    """``mmcv._ext`` without compiled code."""

    nms = staticmethod(nms)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(
                f"{name} needs a compiled mmcv, and this one (mmcv-lite) has no compiled operations; "
                "install mmcv 2.1 built for this PyTorch, or take a network without that operation"
            )

        missing.__name__ = name
        return missing


def compiled() -> bool:
    """Whether mmcv has its compiled operations."""
    stand_in()
    return not isinstance(sys.modules.get(EXT), _StandIn)


def stand_in() -> None:
    """Put the stand-in in place, unless a compiled ``mmcv._ext`` is there; must run before ``mmcv.ops`` is imported."""
    if EXT in sys.modules or importlib.util.find_spec(EXT) is not None:
        return
    module = _StandIn(EXT, __doc__)
    module.__spec__ = ModuleSpec(EXT, None)
    sys.modules[EXT] = module


def load(package: str) -> ModuleType:
    """Import ``mmseg`` or ``mmdet`` with all their networks registered (some seconds, once).

    Raises:
        FusionbenchError: not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on deprecated calls inside these packages
        try:
            stand_in()
            importlib.import_module(f"{package}.models")
        except ModuleNotFoundError as error:
            name = (error.name or package).partition(".")[0]
            raise FusionbenchError(f"{package} cannot be loaded, {name} is missing: {INSTALL}") from None
    for name in ("mmdet", "mmcv", "mmseg"):
        warnings.filterwarnings("ignore", category=FutureWarning, module=name)
    for remark in ("When align_corners=True", "To copy construct from a tensor", "torch.meshgrid: in an upcoming"):
        warnings.filterwarnings("ignore", remark, category=UserWarning)
    return importlib.import_module(package)


def read_settings(path: str | Path) -> dict[str, Any]:
    """A config file in OpenMMLab's format (``.py``, ``.json``, ``.yaml``; with ``_base_``) as plain dicts and lists.

    A ``.py`` file is Python that is run: never pass a path that came out of somebody else's file.

    Raises:
        FusionbenchError: no such file, or anything going wrong in it.
    """
    from mmengine.config import Config

    path = Path(path)
    if not path.is_file():
        raise FusionbenchError(f"{path}: no such config file")
    try:
        return Config.fromfile(str(path)).to_dict()
    except Exception as error:
        # A config is a program of the user's, so anything can go wrong in it.
        raise FusionbenchError(f"{path}: cannot be read as a config: {type(error).__name__}: {error}") from None


def read_config(path: str | Path) -> dict[str, Any]:
    """The ``model`` of a config file, see :func:`read_settings`.

    Raises:
        FusionbenchError: as there, or no model in it.
    """
    settings = read_settings(path)
    if "model" not in settings:
        raise FusionbenchError(f"{path}: has no `model`")
    model: dict[str, Any] = settings["model"]
    return model


def build(registry: Any, config: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """A model from its config, with random weights: whatever the config would download is left out.

    Args:
        registry: ``MODELS`` of mmseg or mmdet.
        config: the ``model`` part of a config.

    Returns:
        The model, and the config of its preprocessor, which is not built (augmentations are a recipe's business).
    """
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm

    config = copy.deepcopy(config)
    preprocess = config.pop("data_preprocessor", None) or {}
    _forget_downloads(config)
    with _quiet():
        model = registry.build(ConfigDict(config))
        for part in model.modules():
            initial = getattr(part, "init_cfg", None) or []
            if any(one.get("type") == "Pretrained" for one in ([initial] if isinstance(initial, dict) else initial)):
                part.init_cfg = None
        model.init_weights()
    return revert_sync_batchnorm(model), dict(preprocess)


@contextmanager
def _quiet() -> Iterator[None]:
    """mmengine reports every tensor it fills, and its packages remark on each other's deprecated calls."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_downloads(config: Any) -> None:
    if isinstance(config, dict):
        config.pop("pretrained", None)
        if isinstance(config.get("init_cfg"), dict) and config["init_cfg"].get("type") == "Pretrained":
            config["init_cfg"] = None
        for value in config.values():
            _forget_downloads(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            _forget_downloads(value)


def set_classes(config: Any, count: int) -> None:
    """Write the number of classes wherever a model's config names it, in place."""
    if isinstance(config, dict):
        if "num_classes" in config:
            config["num_classes"] = count
        for value in config.values():
            set_classes(value, count)
    elif isinstance(config, (list, tuple)):
        for value in config:
            set_classes(value, count)


def normalisation(preprocess: dict[str, Any]) -> dict[str, Any]:
    """Arguments of :class:`fusionbench.tasks.network.Normalise` from a preprocessor's config.

    OpenMMLab reads images as BGR, so a network without ``bgr_to_rgb`` was made for BGR. Means and deviations are
    written there in the order the network sees; ours are in RGB order.
    """
    bgr = not preprocess.get("bgr_to_rgb", False)
    mean, std = preprocess.get("mean") or (0.0,) * 3, preprocess.get("std") or (1.0,) * 3
    return {"mean": tuple(mean)[::-1] if bgr else mean, "std": tuple(std)[::-1] if bgr else std, "bgr": bgr}


def total(losses: dict[str, Any]) -> Tensor:
    """The sum of a model's named losses; what is not called a loss (accuracies) is left out."""
    parts = [value for name, value in losses.items() if "loss" in name]
    flat = [one for value in parts for one in (value if isinstance(value, (list, tuple)) else [value])]
    return torch.stack([one.mean() for one in flat]).sum()
