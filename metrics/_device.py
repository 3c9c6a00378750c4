"""Which of two ways of computing the same value suits the device that an image lies on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_FORCED: ContextVar[bool] = ContextVar("wide", default=False)


def wide(x: Tensor) -> bool:
    """Whether few large operations are better than many that fit a cache: everywhere but on a processor."""
    return x.device.type != "cpu" or _FORCED.get()


@contextmanager
def as_on_a_device() -> Iterator[None]:
    """Inside, processors compute in the way of other devices, so that it can be looked at without one."""
    before = _FORCED.set(True)
    try:
        yield
    finally:
        _FORCED.reset(before)
