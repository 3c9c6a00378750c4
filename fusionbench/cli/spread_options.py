"""The options of ``fusionbench eval`` and ``train`` that spread their work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench import environment
from fusionbench.cli.options import command_line
from fusionbench.cli.progress import Bar
from fusionbench.cli.spelling import note
from fusionbench.cluster.choosing import check_cluster, engine_of, threads_of
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.cluster.gathering import Gathering
    from fusionbench.evaluation.outcome import Outcome
    from fusionbench.evaluation.plan import Plan, Request
    from fusionbench.evaluation.shards import Shard
    from fusionbench.evaluation.task_plan import TaskRequest
    from fusionbench.evaluation.task_run import Problems
    from fusionbench.results.store import Store

    Parts = Sequence[tuple[Plan, TaskRequest]]
    Work = Callable[[Plan, Parts, Store, Bar], tuple[Outcome, Problems]]

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
    """Which part of the work is done, where, and where its pictures are kept."""

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
    send_data: Annotated[
        bool,
        click.option(
            "--send-data", is_flag=True, help="With --cluster: send each unit's pairs to workers that lack them."
        ),
    ]

    pictures_at: Annotated[
        str,
        click.option(
            "--pictures-at",
            default="",
            metavar="ADDRESS",
            help="Keep pictures there: another folder, s3://BUCKET/PREFIX, gs://, hf:// [--out; FUSIONBENCH_PICTURES].",
        ),
    ]

    def part(self) -> Shard | None:
        """The part that is asked for."""
        from fusionbench.evaluation.shards import shard_of

        return None if self.shard is None else shard_of(self.shard)

    def check(self, devices: Sequence[str], fresh_versions: bool) -> None:
        """Refuse what does not go together, before any work."""
        if self.cluster and (self.shard or len(devices) > 1):
            raise FusionbenchError("--cluster chooses parts and devices itself: without --shard, and with one --device")
        if fresh_versions and (self.cluster or len(devices) > 1):
            raise FusionbenchError(
                "--fresh-versions: on one device of one machine, whose versions and processor it compares with; "
                "others need not have these, and what is merged replaces nothing. Another --out has all of it anew"
            )
        if self.send_data and not self.cluster:
            raise FusionbenchError("--send-data: is for --cluster")
        check_cluster(self.cluster, self.slurm)

    def describe(self, request: Request, plan: Plan, out: Path, data_root: Path | None) -> str:
        """What a cluster would be given, in words; for SLURM with the script that sbatch gets. Writes nothing."""
        from fusionbench.cluster.on_slurm import SLOTS, Slurm
        from fusionbench.results.store import Store

        there = (out / "results.db").is_file()
        with tempfile.TemporaryDirectory() as scratch, Bar() as bar:
            with Store(out, create=False) if there else Store(Path(scratch)) as store:
                gathering, threads = gathering_of(request, plan, store, data_root, bar, self.send_data)
                units = gathering.missing(SLOTS)
            lines = [f"cached: {counted(gathering.outcome.cached, 'picture')} of {out}, which are not made again"]
            lines += [f"unit {number}: {unit.name}" for number, unit in enumerate(units)]
            pairs = "its pairs" if self.send_data else "no picture"
            lines += [
                f"bundled with each unit: names, settings, hashes, {pairs}; no weights, which each worker has "
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

        environment.keep_pictures(self.pictures_at)

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

            gathering, threads = gathering_of(request, plan, store, data_root, bar, self.send_data)
            bar.expect({})
            if not self.cluster:
                outcome, problems = gathering.run(Processes(devices), [])
                problems.add(networks(tasks, store, bar))
                return outcome, problems
            with engine_of(self.cluster, self.slurm, devices[0], threads) as engine:
                return gathering.run(engine, tasks)

        return elsewhere if self.cluster or len(devices) > 1 else here


def gathering_of(
    request: Request, plan: Plan, store: Store, data_root: Path | None, bar: Bar, send: bool = False
) -> tuple[Gathering, int]:
    """An evaluation in units, and the threads of each."""
    from fusionbench.cluster.gathering import Gathering
    from fusionbench.cluster.units import place

    threads = threads_of(request.jobs, request.device)
    gathering = Gathering(
        request=request,
        plan=plan,
        store=store,
        place=place(data_root),
        command=command_line(),
        threads=threads,
        send=send,
        note=note,
        progress=bar,
    )
    return gathering, threads
