"""What a run leaves behind for people: loss log, times, pictures, progress; and what it tells its loggers."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.errors import FusionbenchError
from fusionbench.pixels.images import write_image
from fusionbench.training.gpu_use import GpuUse
from fusionbench.training.options import Note

if TYPE_CHECKING:
    from rich.progress import Progress

    from fusionbench.training.loggers import Loggers

LOG, TIMES = "log.jsonl", "times.jsonl"


class Logs:
    """The files of one run; silent in all processes but the first.

    ``log.jsonl`` holds numbers only, so that an interrupted and resumed run ends with the same bytes as a calm one.
    Times are in ``times.jsonl``, where repeated steps appear twice.

    Args:
        folder: of the run.
        length: bytes of the loss log to keep; what comes behind is of steps that will be done again.
        step: steps done so far.
        first: whether this is the first process.
        note: takes remarks: the log is shorter than it should be.
        use: of the card that computes.
        loggers: curves and pictures go there too; closed with the files.

    Raises:
        FusionbenchError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, length: int, step: int, first: bool, note: Note, use: GpuUse, loggers: Loggers | None = None
    ) -> None:
        self.folder, self.first, self.use, self.loggers = folder, first, use, loggers
        self._epoch = [0, 0.0, 0.0]  # steps since the last call of `pace`, seconds they waited for files and computed
        if not first:
            return
        path = folder / LOG
        try:
            self._log = path.open("ab")
            if self._log.tell() < length:
                note(f"{path}: is shorter than at the checkpoint; losses before step {step} are missing in it")
            self._log.truncate(min(length, self._log.tell()))
            self._times = (folder / TIMES).open("a", encoding="utf-8")
        except OSError as error:
            raise FusionbenchError(f"{path}: cannot be written ({error.strerror}); choose another out=") from None

    def write(self, record: Mapping[str, object]) -> None:
        """One line of the loss log; numbers that are not finite become null."""
        if self.first:
            self._log.write((json.dumps(_finite(record)) + "\n").encode())
            self._log.flush()

    def write_time(self, step: int, load: float, compute: float) -> None:
        """One line of the times: seconds that a step waited for its batch, and those after that."""
        if self.first:
            self.use.look()
            record = {"step": step, "load": round(load, 5), "compute": round(compute, 5)}
            self._times.write(json.dumps(record) + "\n")
            self._times.flush()
            self._epoch = [a + b for a, b in zip(self._epoch, (1, load, compute), strict=True)]

    def pace(self) -> str:
        """``2.4 steps/s, 3 % of it loading`` since the last call; on a GPU also largest memory and utilisation."""
        steps, load, compute = self._epoch
        self._epoch = [0, 0.0, 0.0]
        seconds = max(load + compute, 1e-9)
        return f"{steps / seconds:.3g} steps/s, {100 * load / seconds:.0f} % of it loading{self.use.text()}"

    def length(self) -> int:
        """Bytes of the loss log, all of them on the disk."""
        if not self.first:
            return 0
        os.fsync(self._log.fileno())
        return os.fstat(self._log.fileno()).st_size

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Curves for the loggers."""
        if self.loggers is not None:
            self.loggers.scalars(step, values)

    def pictures(self, step: int, epoch: int, images: Mapping[str, np.ndarray]) -> None:
        """Write ``pictures/NAME/epochNNN.png``, uint8 ``[H,W]``, ``[1,H,W]`` or ``[3,H,W]``."""
        for name, image in images.items():
            path = self.folder / "pictures" / name / f"epoch{epoch:03d}.png"
            write_image(path, image)
            if self.loggers is not None:
                self.loggers.picture(step, name, image, path)

    def close(self) -> None:
        """Close all files."""
        if self.first:
            self._log.close()
            self._times.close()
        if self.loggers is not None:
            self.loggers.close()


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ProgressBar:
    """Steps, loss and time left on a terminal; nothing elsewhere.

    Args:
        total: steps of the whole run.
        done: steps done before.
        shown: False for quiet runs and all processes but the first.
    """

    def __init__(self, total: int, done: int, shown: bool) -> None:
        self._live: Progress | None = None
        if not (shown and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._live.add_task("training", total=total, completed=done)
        self._live.start()

    def __call__(self, step: int, epoch: int, loss: float) -> None:
        """After a step."""
        if self._live is not None:
            self._live.update(self._task, completed=step, description=f"epoch {epoch + 1}  loss {loss:.4g}")

    def close(self) -> None:
        """Take the bar away."""
        if self._live is not None:
            self._live.stop()


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
