"""Ended at moments drawn uniformly over a command's wall time; then the same command again, to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPO
from tests.faults.campaign import jobs as work
from tests.faults.campaign.cases import Verdict, told
from tests.faults.campaign.forks import Ended
from tests.faults.campaign.jobs import Inputs, Job, aged, differing, results

# How many kills, SIGTERMs and Ctrl-Cs each command gets in the whole campaign; "fresh" ones are of processes that start
# with importing everything.
SHARES = {
    "eval": (60, 8, 8, 6),
    "eval:jobs": (20, 6, 6, 0),
    "eval:task": (16, 2, 2, 0),
    "train": (40, 6, 6, 4),
    "train:task": (24, 4, 4, 0),
    "synth": (16, 2, 2, 0),
    "merge": (16, 2, 2, 0),
    "export:parquet": (8, 1, 1, 0),
    "leaderboard:json": (8, 1, 1, 0),
    "weights": (10, 1, 1, 0),
    "download": (12, 1, 1, 0),
}
QUICK = {"eval": (1, 0, 0, 0), "train": (1, 0, 0, 0)}
SHOWN = {signal.SIGKILL: "kill -9", signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def cases(inputs: Inputs, scratch: Path, seed: int, quick: bool = False) -> Iterator[Verdict]:
    """Every kill.

    Args:
        inputs: what the commands read.
        scratch: a folder for them.
        seed: of the moments.
        quick: a few of them only.
    """
    every = work.jobs(inputs)
    for name, (kills, terms, interrupts, fresh) in (QUICK if quick else SHARES).items():
        job, draw = every[name], random.Random(f"{seed} {name}")
        calm, seconds = undisturbed(job, scratch / "calm", 1 if quick else 3)
        plans = [(signal.SIGKILL, False)] * kills + [(signal.SIGTERM, False)] * terms
        plans += [(signal.SIGINT, False)] * interrupts + [(signal.SIGKILL, True)] * fresh
        started = undisturbed(job, scratch / "calm", 1, fresh=True)[1] if fresh else 0.0
        for number, (kind, from_start) in enumerate(plans):
            moment = draw.uniform(0, started if from_start else seconds)
            yield _one(job, scratch / "torn", kind, moment, calm, number, from_start)
    shutil.rmtree(scratch, ignore_errors=True)


def undisturbed(job: Job, folder: Path, times: int, fresh: bool = False) -> tuple[dict[str, str], float]:
    """What a command writes when nothing happens, and its median wall time."""
    seconds, written = [], []
    for _ in range(times):
        _emptied(folder)
        began = time.monotonic()
        done = _fresh(job, folder).wait() if fresh else job.run(folder).code
        if done:
            raise RuntimeError(f"{job.name} does not run: {(folder / '.stderr').read_text()}")
        seconds.append(time.monotonic() - began)
        written.append(results(folder))
    if different := [name for other in written for name in differing(written[0], other)]:
        raise RuntimeError(f"{job.name}: two undisturbed runs differ in {different}")
    return written[0], statistics.median(seconds)


def _one(
    job: Job, folder: Path, kind: signal.Signals, moment: float, calm: dict[str, str], number: int, fresh: bool
) -> Verdict:
    _emptied(folder)
    faults: list[str] = []
    if fresh:
        process = _fresh(job, folder)
        time.sleep(moment)
        process.send_signal(kind)
        done = Ended(process.wait(), "", "", 0.0, 0)
    else:
        running = job.start(folder)
        time.sleep(max(0.0, running.began + moment - time.monotonic()))
        running.send(kind)
        done = running.wait()
    unfinished = bool(differing(results(folder), calm))
    if kind != signal.SIGKILL:
        faults += asked_to_end(job, done, kind, unfinished)
    aged(folder)
    again = job.run(folder, again=True)
    # What is there already is not written over; then there was nothing left to do.
    refused = again.code == 2 and not unfinished and "not empty; name a new folder, nothing is overwritten" in again.err
    if not refused:
        faults += told(again, (0,))
    if different := differing(results(folder), calm):
        faults.append(f"after the rerun these differ from an undisturbed run: {', '.join(different[:5])}")
    outcome = "work left unfinished" if unfinished else "it had just finished"
    facts = {"signal": kind.name, "at": round(moment, 3), "code": done.code, "fresh": fresh, "unfinished": unfinished}
    return Verdict(f"{job.group}: {SHOWN[kind]}", f"{job.name} {kind.name} {number}", outcome, tuple(faults), facts)


def asked_to_end(job: Job, done: Ended, kind: signal.Signals, unfinished: bool) -> list[str]:
    """What was wrong with how a command ended that was asked to, by its exit code and last line."""
    if done.code == -kind and not done.err:
        return []  # it came before the command began, or behind its end
    if done.code == 0 and not unfinished:
        return []
    faults = told(done, (CODES[kind],))
    if not (done.err.strip() or "\n").splitlines()[-1].startswith("stopped"):
        faults.append(f"{kind.name}: its last line does not say that it was stopped: {done.err.strip()[-200:]!r}")
    return faults


def _fresh(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    """The command in a process that imports everything itself."""
    with open(folder / ".stdout", "wb") as out, open(folder / ".stderr", "wb") as err:
        command = [sys.executable, "-m", "fusionbench", *job.spelt(folder)]
        return subprocess.Popen(command, stdout=out, stderr=err, cwd=REPO, env={**os.environ, **work.settings(folder)})


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
