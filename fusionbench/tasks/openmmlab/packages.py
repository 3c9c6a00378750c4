"""mmsegmentation and mmdetection, loaded on first use, without anything compiled and without traces in the process.

Both import ``mmcv.ops``, which wants the compiled module ``mmcv._ext``. The wheels of ``mmcv-lite`` have none. Where
there is none, a stand-in takes its place while they are imported: non-maximum suppression in plain PyTorch, and a clear
error for every other operation when it is called. A compiled mmcv is used as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

import torch
from torch import Tensor

from fusionbench.errors import FusionbenchError

EXT = "mmcv._ext"
BLOCK = 1024
INSTALL = "pip install 'ivif-fusionbench[{}]'"
REMARKS = (  # message, category, module of what these packages remark on each other's and PyTorch's calls
    ("", FutureWarning, "mmdet"),
    ("", FutureWarning, "mmcv"),
    ("", FutureWarning, "mmseg"),
    ("When align_corners=True", UserWarning, ""),
    ("To copy construct from a tensor", UserWarning, ""),
    ("torch.meshgrid: in an upcoming", UserWarning, ""),
)
EVERYTHING = (("", Warning, ""),)


class MissingExtra(FusionbenchError):
    """A library of an extra is not installed."""

    def __init__(self, what: str, error: ModuleNotFoundError, extra: str = "tasks") -> None:
        name = (error.name or what).partition(".")[0]
        super().__init__(f"{what} cannot be loaded, {name} is missing: {INSTALL.format(extra)}")


_loading, _muting = threading.RLock(), threading.Lock()
_open: list[warnings.catch_warnings[None]] = []  # the filters as they were, entered once for all threads
_users = 0


@contextmanager
def muted(remarks: tuple[tuple[str, type[Warning], str], ...] = REMARKS) -> Iterator[None]:
    """Without these warnings inside; outside the filters are as before. In several threads the last one restores."""
    global _users
    with _muting:
        if not _users:
            _open.append(warnings.catch_warnings())
            _open[0].__enter__()
        _users += 1
        for message, category, module in remarks:
            warnings.filterwarnings("ignore", message, category, module)
    try:
        yield
    finally:
        with _muting:
            _users -= 1
            if not _users:
                _open.pop().__exit__(None, None, None)


def load(package: str) -> ModuleType:
    """Import ``mmseg`` or ``mmdet`` with all their networks registered (some seconds, once).

    Raises:
        MissingExtra: not installed.
    """
    with _loading:
        if f"{package}.models" not in sys.modules:
            try:
                with muted(EVERYTHING), stand_in():
                    importlib.import_module(f"{package}.models")
            except ModuleNotFoundError as error:
                raise MissingExtra(package, error) from None
        return importlib.import_module(package)


def compiled() -> bool:
    """Whether mmcv has its compiled operations."""
    return EXT in sys.modules or importlib.util.find_spec(EXT) is not None


@contextmanager
def stand_in() -> Iterator[None]:
    """``mmcv._ext`` is there to be imported inside; ``mmcv.ops`` keeps what it took of it."""
    if compiled():
        yield
        return
    module = _StandIn(EXT, __doc__)
    module.__spec__ = ModuleSpec(EXT, None)
    sys.modules[EXT] = module
    try:
        yield
    finally:
        sys.modules.pop(EXT, None)


class _StandIn(ModuleType):
    """``mmcv._ext`` without compiled code."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name == "nms":
            return nms
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: object, **options: object) -> NoReturn:
            raise NotImplementedError(
                f"{name} needs a compiled mmcv, and this one (mmcv-lite) has no compiled operations; "
                "install mmcv 2.1 built for this PyTorch, or take a network without that operation"
            )

        missing.__name__ = name
        return missing


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
