"""Command lines in processes of their own, forked from this one, which has everything imported."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEBI = 1 << 20
MEMORY = 2048 * MEBI  # that a command may take beyond what is imported
PATIENCE = 120.0  # seconds that a command may take
TIMED_OUT = -1000


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, a signal's number with a minus, or TIMED_OUT.
        out: what it wrote.
        err: what it wrote to stderr.
        seconds: from fork to end.
        memory: MiB at its peak, beyond what was imported.
    """

    code: int
    out: str
    err: str
    seconds: float
    memory: int


def warm_up(quick: bool = False) -> None:
    """Import what commands import, once, or hardly more than torch. No thread is started, so that forking is safe."""
    import torch

    import fusionbench

    torch.set_num_threads(1)
    for module in () if quick else pkgutil.walk_packages(fusionbench.__path__, "fusionbench."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)
    heavy = ("matplotlib.pyplot", "pandas", "pyarrow.parquet", "scipy.stats", "fusionbench.training.loop")
    few = ("fusionbench.evaluation.runner", "fusionbench.report.writing", "fusionbench.training.loop")
    for name in few if quick else heavy:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Running:
    """A command that was started."""

    pid: int
    began: float
    streams: tuple[Path, Path]
    before: int

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait for its end; it is killed after a while."""
        late = False
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - self.began > patience and not late:
                late = True
                self.send(signal.SIGKILL)
            time.sleep(0.002)
        code = TIMED_OUT if late else os.waitstatus_to_exitcode(status)
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self.streams)
        memory = usage.ru_maxrss // 1024 - self.before
        return Ended(code, out, err, time.monotonic() - self.began, max(0, memory))


def resident() -> int:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // MEBI


def start(
    words: Sequence[object],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Running:
    """Start a command.

    Args:
        words: the command line behind ``fusionbench``.
        folder: where its output is kept.
        settings: environment variables.
        prepare: called in the new process before the command.
    """
    streams = folder / ".stdout", folder / ".stderr"
    for path, stream in zip(streams, (sys.stdout, sys.stderr), strict=True):
        path.write_bytes(b"")
        stream.flush()
    before, began = resident(), time.monotonic()
    pid = os.fork()
    if pid:
        return Running(pid, began, streams, before)
    code = 70
    try:
        code = _inside([str(word) for word in words], streams, settings or {}, prepare)
    except KeyboardInterrupt:  # it came before the command began
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _inside(
    words: list[str], streams: tuple[Path, Path], settings: Mapping[str, str], prepare: Callable[[], None] | None
) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout, sys.stderr = (
        open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the rest of the process
        for number in (1, 2)
    )
    os.environ.update(settings)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if prepare:
        prepare()
    from fusionbench import cli

    try:
        cli.main(words)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1


def run(
    words: Sequence[object],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    patience: float = PATIENCE,
) -> Ended:
    """Run a command to its end; see :func:`start`."""
    return start(words, folder, settings, prepare).wait(patience)
