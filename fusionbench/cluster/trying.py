"""Units until each has ended: where a process dies, another tries; where the cluster is gone, this machine does it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from fusionbench.cluster.engines import ClusterGone, Ended, Engine
from fusionbench.cluster.processes import Processes
from fusionbench.cluster.units import Unit
from fusionbench.counting import counted
from fusionbench.runtime.files import DAY

U = TypeVar("U", bound=Unit)

SCRATCH = ".units-"  # where units leave their folders, for this user alone
TRIES = 3  # of a unit whose process dies


def do_all(
    engine: Engine,
    units: Sequence[U],
    folder: Path,
    take: Callable[[U, Ended, Path], None],
    note: Callable[[str], None],
    here: Sequence[str],
    smaller: Callable[[U], list[U]] = lambda _: [],
) -> None:
    """Do units.

    Args:
        engine: where.
        units: what.
        folder: below which they leave theirs for a while.
        take: gets each unit once, with how it ended and its folder.
        note: takes remarks, a line each.
        here: the devices of this machine, for what is left of a cluster that is gone.
        smaller: the units in whose place one may be tried that always dies; none where that is of no use.
    """
    _sweep(folder)
    waiting, tries = list(units), 1
    while waiting:
        again: list[U] = []
        open_ = dict(enumerate(waiting))
        with tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH) as scratch, _held(Path(scratch)):  # 0700
            try:
                for ended in engine.run(waiting, Path(scratch)):
                    unit, own = open_.pop(ended.number), Path(scratch, str(ended.number))
                    more = [unit] if tries < TRIES else smaller(unit)
                    if ended.died and more:
                        note(f"warning: {unit.name}: {ended.reason}; it is tried again")
                        again += more
                    else:
                        take(unit, ended, own)
                    shutil.rmtree(own, ignore_errors=True)
            except ClusterGone as error:
                note(f"warning: {error}; {counted(len(open_), 'unit', 'are')} done on this machine alone")
                engine, again = Processes(here), [*again, *open_.values()]
        waiting, tries = again, tries + 1 if tries < TRIES else 1


@contextmanager
def _held(scratch: Path) -> Iterator[None]:
    """Tells other runs that this folder is in use, for as long as this process lives.

    Raises:
        BlockingIOError: it is in use.
    """
    number = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _sweep(folder: Path) -> None:
    """Remove what runs left behind that were killed; their jobs in a queue may go on for a day."""
    for old in folder.glob(f"{SCRATCH}*"):
        with suppress(OSError), _held(old):
            if time.time() - old.stat().st_mtime > DAY:
                shutil.rmtree(old, ignore_errors=True)
