"""What goes wrong during training, in one line each; and Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import FrameType

import torch

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.runtime.too_small import is_too_small
from fusionbench.training.settings import Settings

SIDES = ("patch", "crop", "size", "resize", "task_crop")  # what recipes call the size of windows and images


def _no_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


@contextmanager
def explained(settings: Settings, batch_key: str, where: str, untried: Path | None = None) -> Iterator[None]:
    """Turn what a user can mend into a :class:`FusionbenchError`: no memory left, images too small, a lost partner.

    Args:
        settings: of the recipe.
        batch_key: the one that is its batch size.
        where: ``at step 12``.
        untried: a checkpoint that was just gone back to: then whatever fails is laid to what it holds.
    """
    try:
        yield
    except FusionbenchError:
        raise
    except (RuntimeError, MemoryError, ValueError) as error:
        if _no_memory(error):
            raise FusionbenchError(f"out of memory {where}; {_smaller(settings, batch_key)}") from error
        if "Connection closed by peer" in str(error) or "Connection reset by peer" in str(error):
            raise FusionbenchError(f"{where}: another process of this run has ended; its message says why") from error
        if untried is None and is_too_small(error):
            raise FusionbenchError(
                f"{where}: what the networks were given is too small for them ({_in_a_line(error)}); take larger "
                f"windows or images, here {_sizes(settings, batch_key)}"
            ) from error
        if untried is None:
            raise
        raise _unfit(untried, where, error) from error
    except Exception as error:
        if untried is None:
            raise
        raise _unfit(untried, where, error) from error


def _unfit(checkpoint: Path, where: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{checkpoint}: resumed from it, training fails {where} ({type(error).__name__}: {_in_a_line(error)}); "
        "the checkpoint is damaged or of another version of the recipe: train anew into another folder"
    )


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _sizes(settings: Settings, batch_key: str) -> str:
    """The settings that say how large what a step is given is: ``patch=8, batch=1``."""
    held = {item.name: getattr(settings, item.name) for item in fields(settings)}
    given = [name for name in (*SIDES, batch_key) if held.get(name) is not None]
    return ", ".join(f"{name}={str(held[name]).replace(' ', '')}" for name in given) or "those of the recipe"


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


@dataclass(frozen=True)
class Interrupted:
    """Signals that asked this process to end; ``numbers`` are theirs."""

    numbers: list[int] = field(default_factory=list)

    def came(self) -> bool:
        """Whether one has come."""
        return bool(self.numbers)


@contextmanager
def signals() -> Iterator[Interrupted]:
    """Catch Ctrl-C and SIGTERM, so that a step can end and a checkpoint be saved. A second one stops at once.

    Yields:
        Which have come. In a thread other than the main one nothing is caught.
    """
    interrupted = Interrupted()

    def remember(number: int, frame: FrameType | None) -> None:
        if interrupted.came():
            usual = before[signal.Signals(number)]
            if callable(usual):
                usual(number, frame)  # tells SIGTERM from Ctrl-C, where the command line set it
            raise KeyboardInterrupt
        interrupted.numbers.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
