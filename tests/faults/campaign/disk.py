"""A disk that is full after so many bytes: a small file system in memory, else a limit on the size of files.

The first run ends in one line; when there is room, the same command ends with the bytes of an undisturbed run.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import random
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.faults.campaign import jobs as work
from tests.faults.campaign.cases import Verdict, told
from tests.faults.campaign.forks import MEBI, Ended, run
from tests.faults.campaign.jobs import Inputs, Job, aged, differing, results, settings
from tests.faults.campaign.kills import undisturbed

POINTS = {
    "eval": 10,
    "eval:task": 5,
    "train": 6,
    "train:task": 4,
    "synth": 5,
    "merge": 6,
    "export:csv": 2,
    "export:parquet": 2,
    "leaderboard:md": 2,
    "leaderboard:json": 2,
    "weights": 4,
    "download": 6,
}
QUICK = {"merge": 1, "weights": 1}
ROOM = 256 * MEBI
PAGE = 4096
NEW_MOUNTS, NEW_USER, PRIVATE, REMOUNT, RECURSIVE, DETACH = 0x00020000, 0x10000000, 1 << 18, 32, 1 << 14, 2
SAID = re.compile(r"disk is full|No space left|are free|free some space|File too large", re.IGNORECASE)
T = TypeVar("T")


def cases(inputs: Inputs, scratch: Path, seed: int, quick: bool = False) -> Iterator[Verdict]:
    """Every point; see :func:`tests.faults.campaign.kills.cases`."""
    every = work.jobs(inputs)
    for name, points in (QUICK if quick else POINTS).items():
        job, draw = every[name], random.Random(f"{seed} {name}")
        calm, _ = undisturbed(job, scratch / "calm", 1)
        small = mounts(scratch)
        most = needed(job, scratch, small)
        for number in range(points):
            # One draw in each of as many equal parts, so that the first and the last bytes have theirs.
            limit = int(most * (number + draw.random()) / points) // PAGE * PAGE
            found = apart(partial(_one, job, scratch, small, limit, calm))
            done, left, faults = found
            outcome = "there was room enough" if not done.code else "ended in one line"
            facts = {"bytes": limit, "of": most, "code": done.code, "said": left, "tmpfs": small}
            yield Verdict(job.group, f"{job.name} {number}", outcome, tuple(faults), facts)
    shutil.rmtree(scratch, ignore_errors=True)


def apart(do: Callable[[], T]) -> T:
    """What a function returns, in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reader)
            with open(writer, "wb") as file:
                try:
                    result: object = do()
                except Exception as error:
                    result = error
                file.write(pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    found = pickle.loads(data)
    if isinstance(found, Exception):
        raise found
    return found


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def own_mounts() -> None:
    """From here on, what this process mounts nobody else sees, and it goes with the process."""
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", NEW_MOUNTS)
    except OSError:
        _call("unshare", NEW_MOUNTS | NEW_USER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    _call("mount", None, b"/", None, RECURSIVE | PRIVATE, None)


def mount(folder: Path, size: int, again: bool = False) -> None:
    """A file system of so many bytes, or another size for it."""
    options = f"size={max(size, PAGE)}".encode()
    _call("mount", b"small", os.fsencode(folder), b"tmpfs", REMOUNT if again else 0, options)


def mounts(scratch: Path) -> bool:
    """Whether a small file system can be had here."""
    folder = scratch / "disk"
    folder.mkdir(parents=True, exist_ok=True)

    def probe() -> bool:
        with suppress(OSError, AttributeError):
            own_mounts()
            mount(folder, PAGE * 8)
            return True
        return False

    return apart(probe)


def needed(job: Job, scratch: Path, small: bool) -> int:
    """Bytes that an undisturbed run fills; without a small file system, those of its largest file."""
    folder = scratch / "disk"
    if not small:
        return max(path.stat().st_size for path in (scratch / "calm").rglob("*") if path.is_file())

    def filled() -> int:
        own_mounts()
        mount(folder, ROOM)
        job.run(folder)
        state = os.statvfs(folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    return apart(filled)


def _one(job: Job, scratch: Path, small: bool, limit: int, calm: dict[str, str]) -> tuple[Ended, str, list[str]]:
    """One run on the full disk, what reads its results then, and one with room; in a process of its own."""
    disk, streams = scratch / "disk", scratch / "streams"
    for folder in (disk, streams):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    prepare = None
    if small:
        own_mounts()
        mount(disk, limit)
    else:

        def prepare() -> None:
            least = 2 * PAGE  # what the command says is written to a file, too
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(limit, least), resource.RLIM_INFINITY))

    done = run(job.spelt(disk), streams, settings(disk), prepare)
    faults = told(done, (0, 2))
    last = (done.err.strip().splitlines() or [""])[-1]
    if done.code and not SAID.search(done.err):
        faults.append(f"it does not say that the disk is full: {last[:300]}")
    if (disk / "out/results.db").is_file():
        faults += [f"leaderboard: {fault}" for fault in told(run(["leaderboard", "--out", disk / "out"], streams))]
    if small:
        mount(disk, ROOM, again=True)
    aged(disk)
    after = run(job.spelt(disk, again=True), streams, settings(disk))
    faults += told(after, (0,)) if done.code else []
    if different := differing(results(disk), calm):
        faults.append(f"with room these differ from an undisturbed run: {', '.join(different[:5])}")
    return done, last[:200], faults
