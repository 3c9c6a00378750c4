"""SLURM through submitit: units are tasks of a job array, and leave their stores in the results folder."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionbench.cluster.engines import Ended, attempt
from fusionbench.cluster.units import Unit
from fusionbench.errors import FusionbenchError

NONE = "cluster=slurm: needs the package submitit: pip install 'ivif-fusionbench[slurm]'"
SLOTS = 16  # units are cut as for so many at once; the scheduler decides
WAIT = 2.0  # seconds between two looks at the jobs
DEFAULT = {"time": "24:00:00"}
SAFE = re.compile(r"[A-Za-z0-9_.:,@%+/=-]+")  # each becomes a line of a script
ENDED = "ended"  # in a unit's folder: how it ended


class Slurm:
    """Job arrays.

    Args:
        given: ``key=value`` each: ``partition``, ``time``, ``memory``, any other option of sbatch; ``executor=local``
            for processes of this machine in place of SLURM.
        device: of the units: a card each, or processors.
        jobs: processors of each unit.

    Raises:
        FusionbenchError: no submitit, no SLURM, or an option that none can be; from :meth:`run`, jobs that are refused.
    """

    slots = SLOTS

    def __init__(self, given: Sequence[str], device: str, jobs: int) -> None:
        check_installed()
        options = DEFAULT | options_of(given)
        self.local = options.pop("executor", "slurm") == "local"
        self.parameters: dict[str, Any] = {
            "job_name": "fusionbench",
            "time": minutes(options.pop("time")),
            "cpus_per_task": max(1, jobs),
            **({"gpus_per_node": 1} if device != "cpu" else {}),
            "additional_parameters": {"mem" if key == "memory" else key: value for key, value in options.items()},
        }

    def script(self, folder: Path, count: int) -> str:
        """The script that sbatch gets for so many units."""
        from submitit.slurm.slurm import _make_sbatch_string

        text: str = _make_sbatch_string(
            f"python -u -m submitit.core._submit {folder}", folder, map_count=count, **self.parameters
        )
        return text

    def run(self, units: Sequence[Unit], folder: Path) -> Iterator[Ended]:
        """Do units as an array of jobs."""
        if not units:
            return
        jobs = folder / "jobs"
        jobs.mkdir(mode=0o700)
        ready: dict[int, Unit] = {}
        for number, unit in enumerate(units):
            try:
                ready[number] = unit.sent(jobs / f"{number}.pairs")
            except FusionbenchError as error:
                yield Ended(number, str(error))
        if not ready:
            return
        waiting = _submitted(self._executor(jobs), ready, folder)
        try:
            while waiting:
                time.sleep(WAIT)
                alive = self._alive(waiting.values())  # before the files are looked for, so that none is missed
                for number, job in list(waiting.items()):
                    if (folder / str(number) / ENDED).is_file() or job.job_id not in alive:
                        del waiting[number]
                        (jobs / f"{number}.pairs").unlink(missing_ok=True)
                        yield _ended(number, job, folder / str(number))
        finally:
            for job in waiting.values():
                job.cancel(check=False)

    def _alive(self, jobs: Collection[Any]) -> set[str]:
        """Ids of the jobs that wait or work; all, where SLURM does not answer. sacct would need a database."""
        every = {str(job.job_id) for job in jobs}
        if self.local:
            return {job.job_id for job in jobs if not job.done()}
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(sorted(every))}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return every
        gone = "Invalid job id" in done.stderr  # it forgets jobs that have ended
        return set(done.stdout.split()) if done.returncode == 0 or gone else every

    def _executor(self, folder: Path) -> Any:
        import submitit

        executor: Any
        if self.local:
            executor = submitit.LocalExecutor(folder)
            executor.update_parameters(timeout_min=self.parameters["time"])
            return executor
        try:
            executor = submitit.SlurmExecutor(folder)
        except RuntimeError as error:
            raise FusionbenchError(f"cluster=slurm: {error}") from None
        executor.update_parameters(**self.parameters)
        return executor

    def __enter__(self) -> Slurm:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open."""


def _submitted(executor: Any, units: Mapping[int, Unit], folder: Path) -> dict[int, Any]:
    """A job for each unit, all in one array."""
    from submitit.core.utils import FailedJobError

    try:
        with executor.batch():
            jobs = [executor.submit(_write, unit, folder / str(number)) for number, unit in units.items()]
    except FailedJobError as error:  # no such partition, no controller that answers, more jobs than one may have
        raise FusionbenchError(
            f"cluster=slurm: sbatch refused the jobs: {' '.join(str(error).split())[:500]}"
        ) from None
    return dict(zip(units, jobs, strict=True))


def check_installed() -> None:
    """Look for the package, without importing it.

    Raises:
        FusionbenchError: it is not here.
    """
    if importlib.util.find_spec("submitit") is None:
        raise FusionbenchError(NONE)


def options_of(given: Sequence[str]) -> dict[str, str]:
    """``key=value`` texts as a dictionary.

    Raises:
        FusionbenchError: a text that no option of sbatch can be.
    """
    options: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z-]*", key) or not SAFE.fullmatch(value):
            raise FusionbenchError(
                f"slurm={text}: write KEY=VALUE as sbatch has it, e.g. partition=gpu or time=8:00:00"
            )
        options[key] = value
    return options


def minutes(text: str) -> int:
    """Minutes, rounded up, of a time as sbatch has it: ``90``, ``90:00``, ``8:00:00``, ``1-12``, ``1-12:30``.

    Raises:
        FusionbenchError: none of these.
    """
    match = re.fullmatch(r"(?:(\d{1,4})-)?(\d{1,6})(?::(\d{1,2}))?(?::(\d{1,2}))?", text)
    if not match:
        raise FusionbenchError(f"slurm=time={text}: write it as sbatch has it, e.g. 8:00:00 or 1-12:00")
    days, *numbers = (int(number) if number else None for number in match.groups())
    parts = [number for number in numbers if number is not None]
    if days is None and len(parts) < 3:
        hours, rest = 0, parts  # minutes, or minutes:seconds
    else:
        hours, rest = parts[0], parts[1:]
    whole, seconds = [*rest, 0, 0][:2]
    return ((days or 0) * 24 + hours) * 60 + whole + (seconds > 0)


def _write(unit: Unit, folder: Path) -> None:
    """What a job does: its last file says how it ended, so that nobody need unpickle its result."""
    reason = attempt(unit, folder)
    folder.mkdir(exist_ok=True)
    (folder / ENDED).write_text(reason, encoding="utf-8")


def _ended(number: int, job: Any, folder: Path) -> Ended:
    """How a job ended; its pickles end with it."""
    for pickle in (job.paths.submitted_pickle, job.paths.result_pickle):
        pickle.unlink(missing_ok=True)
    try:
        return Ended(number, (folder / ENDED).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        lines = [line.strip() for line in (job.stderr() or "").splitlines() if line.strip()]
        return Ended(number, f"its job died ({lines[-1][-200:] if lines else 'it left no message'})", died=True)
