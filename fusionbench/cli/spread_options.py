"""The options of ``fusionbench eval`` and ``train`` that spread their work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import command_line
from fusionbench.cli.progress import Bar
from fusionbench.cli.spelling import note
from fusionbench.errors import FusionbenchError
from fusionbench.runtime.addresses import shown_of

if TYPE_CHECKING:
    from fusionbench.cluster.engines import Engine
    from fusionbench.cluster.gathering import Gathering
    from fusionbench.evaluation.outcome import Outcome
    from fusionbench.evaluation.plan import Plan, Request
    from fusionbench.evaluation.shards import Shard
    from fusionbench.evaluation.task_plan import TaskRequest
    from fusionbench.evaluation.task_run import Problems
    from fusionbench.results.store import Store

    Parts = Sequence[tuple[Plan, TaskRequest]]
    Work = Callable[[Plan, Parts, Store, Bar], tuple[Outcome, Problems]]

THREADS = 4  # of a unit on a graphics card, which read and write files beside it

cluster = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Do the work on a Ray cluster: its address, or local for one of this machine; or slurm.",
)
slurm = click.option(
    "--slurm",
    multiple=True,
    metavar="KEY=VALUE",
    help="For --cluster slurm: partition, time, memory, or any other option of sbatch; repeatable.",
)


@dataclass(frozen=True, kw_only=True)
class SpreadOptions:
    """Which part of the work is done, and where."""

    shard: Annotated[
        str | None,
        click.option(
            "--shard",
            metavar="I/N",
            help="Only part I of N: every N-th pair and task network; `fusionbench merge` joins the stores.",
        ),
    ]
    cluster: Annotated[str | None, cluster]
    slurm: Annotated[tuple[str, ...], slurm]

    def part(self) -> Shard | None:
        """The part that is asked for."""
        from fusionbench.evaluation.shards import shard_of

        return None if self.shard is None else shard_of(self.shard)

    def check(self, devices: Sequence[str], fresh_versions: bool) -> None:
        """Refuse what does not go together, before any work."""
        if self.cluster and (self.shard or len(devices) > 1):
            raise FusionbenchError("--cluster chooses parts and devices itself: without --shard, and with one --device")
        if fresh_versions and (self.cluster or len(devices) > 1):
            raise FusionbenchError("--fresh-versions: on one device of one machine, as what is merged replaces nothing")
        check_cluster(self.cluster, self.slurm)

    def describe(self, request: Request, plan: Plan, out: Path, data_root: Path | None) -> str:
        """What a cluster would be given, in words; for SLURM with the script that sbatch gets. Writes nothing."""
        from fusionbench.cluster.on_slurm import SLOTS, Slurm
        from fusionbench.results.store import Store

        there = (out / "results.db").is_file()
        with tempfile.TemporaryDirectory() as scratch, Bar() as bar:
            with Store(out, create=False) if there else Store(Path(scratch)) as store:
                gathering, threads = gathering_of(request, plan, store, data_root, bar)
                units = gathering.missing(SLOTS)
            lines = [f"cached: {gathering.outcome.cached} pictures of {out}, which are not made again"]
            lines += [f"unit {number}: {unit.name}" for number, unit in enumerate(units)]
            lines += [
                "bundled with each unit: names, settings, hashes; no picture and no weights, which each worker has "
                f"(data: its FUSIONBENCH_DATA, else {gathering.place.data})"
            ]
            if self.cluster == "slurm":
                lines += [
                    Slurm(self.slurm, request.device, threads).script(out.absolute() / "JOBS", max(1, len(units)))
                ]
        return "\n".join(lines)

    def work(self, request: Request, devices: Sequence[str], data_root: Path | None) -> Work:
        """What fuses, scores and trains: this process, or others."""
        from fusionbench.evaluation import runner, task_run

        def networks(tasks: Parts, store: Store, bar: Bar) -> Problems:
            problems = task_run.Problems()
            for part, asked in tasks:
                problems.add(task_run.run_tasks(part, asked, store, command_line(), bar, devices))
            return problems

        def here(plan: Plan, tasks: Parts, store: Store, bar: Bar) -> tuple[Outcome, Problems]:
            outcome = runner.run(plan, store, command_line(), bar)
            bar.expect({})
            return outcome, networks(tasks, store, bar)

        def elsewhere(plan: Plan, tasks: Parts, store: Store, bar: Bar) -> tuple[Outcome, Problems]:
            from fusionbench.cluster.processes import Processes

            gathering, threads = gathering_of(request, plan, store, data_root, bar)
            bar.expect({})
            if not self.cluster:
                outcome, problems = gathering.run(Processes(devices), [])
                problems.add(networks(tasks, store, bar))
                return outcome, problems
            with engine_of(self.cluster, self.slurm, devices[0], threads) as engine:
                return gathering.run(engine, tasks)

        return elsewhere if self.cluster or len(devices) > 1 else here


def gathering_of(request: Request, plan: Plan, store: Store, data_root: Path | None, bar: Bar) -> tuple[Gathering, int]:
    """An evaluation in units, and the threads of each."""
    from fusionbench.cluster.gathering import Gathering
    from fusionbench.cluster.units import place

    threads = request.jobs or (1 if request.device == "cpu" else THREADS)
    gathering = Gathering(
        request=request,
        plan=plan,
        store=store,
        place=place(data_root),
        command=command_line(),
        threads=threads,
        note=note,
        progress=bar,
    )
    return gathering, threads


def check_cluster(cluster: str | None, slurm: Sequence[str]) -> None:
    """Refuse a cluster for which something is not installed, and options of another one."""
    if cluster is not None and not cluster.strip():  # a script's variable that is not set would mean this machine
        raise FusionbenchError("--cluster: names none; give an address, local or slurm")
    if cluster and shown_of(cluster) != cluster:  # the command is kept beside the results
        raise FusionbenchError(f"--cluster {shown_of(cluster)}: an address holds no user, password or token")
    if slurm and cluster != "slurm":
        raise FusionbenchError(f"--slurm {slurm[0]}: is for --cluster slurm")
    if cluster == "slurm":
        from fusionbench.cluster.on_slurm import Slurm

        Slurm(slurm, "cpu", 1)  # says what is wrong with the options
    elif cluster:
        from fusionbench.cluster.on_ray import check_installed

        check_installed(cluster)


@contextmanager
def engine_of(cluster: str, slurm: Sequence[str], device: str, threads: int) -> Iterator[Engine]:
    """The engine that --cluster names."""
    from fusionbench.cluster.on_ray import Ray
    from fusionbench.cluster.on_slurm import Slurm

    with Slurm(slurm, device, threads) if cluster == "slurm" else Ray(cluster, device, threads) as engine:
        yield engine
