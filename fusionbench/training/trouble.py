"""What goes wrong during training, in one line each; and Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import torch

from fusionbench.errors import FusionbenchError
from fusionbench.training.settings import Settings


def _no_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


@contextmanager
def explained(settings: Settings, batch_key: str, where: str) -> Iterator[None]:
    """Turn what a user can mend into a :class:`FusionbenchError`: no memory left, a lost partner process.

    Args:
        settings: of the recipe.
        batch_key: the one that is its batch size.
        where: ``at step 12``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _no_memory(error):
            raise FusionbenchError(f"out of memory {where}; {_smaller(settings, batch_key)}") from error
        if "Connection closed by peer" in str(error) or "Connection reset by peer" in str(error):
            raise FusionbenchError(f"{where}: another process of this run has ended; its message says why") from error
        raise


def _smaller(settings: Settings, key: str) -> str:
    size = getattr(settings, key, None)
    if not isinstance(size, int):
        return "try a smaller batch or crop"
    if size == 1:
        return f"{key}=1 already: try a smaller crop, precision=bf16, or a larger device"
    return f"the batch size is {size}, try {key}={size // 2}"


def not_finite(what: str, names: Sequence[str], last_good: str) -> FusionbenchError:
    """The error for a loss or weight that is NaN or infinite.

    Args:
        what: ``the loss is nan at step 12 (epoch 1, step 12 of 40)``.
        names: samples of the batch.
        last_good: where the last good checkpoint is.
    """
    shown = ", ".join(names[:16]) + (f" and {len(names) - 16} more" if len(names) > 16 else "")
    return FusionbenchError(
        f"{what}; images: {shown}; {last_good}; look at these images, or train with a lower learning rate"
    )


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """Catch Ctrl-C and SIGTERM, so that a step can end and a checkpoint be saved. A second one stops at once.

    Yields:
        A function that says whether one has come. In a thread other than the main one nothing is caught.
    """
    came = threading.Event()

    def remember(number: int, _frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
