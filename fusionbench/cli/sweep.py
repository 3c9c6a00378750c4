"""Several runs of ``fusionbench train``: a sweep over settings, seeds, or both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import command_line
from fusionbench.cli.spelling import note, say, spelt
from fusionbench.cluster.choosing import engine_of
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.training.request import TrainRequest
    from fusionbench.training.sweep import Run

Train = Callable[["TrainRequest", "float | None"], None]  # trains, at most so many seconds


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What changes from run to run."""

    sweep: Annotated[
        tuple[str, ...],
        click.option(
            "--sweep",
            multiple=True,
            metavar="KEY=A,B,...",
            help="A run for each of these values of a setting; repeatable, then for each combination.",
        ),
    ]
    seeds: Annotated[
        int | None,
        click.option(
            "--seeds", type=click.IntRange(1), help="Runs with so many seeds, from the setting seed on; then a table."
        ),
    ]

    def __bool__(self) -> bool:
        return bool(self.sweep) or self.seeds is not None


def run_all(runs: Sequence[Run], train: Train, max_seconds: float | None) -> int:
    """Do what is not finished, one run after the other, then print the table and leave it in the sweep's folder.

    Args:
        runs: of :func:`fusionbench.training.sweep.plan`.
        train: does one.
        max_seconds: for all of them together.

    Returns:
        Exit code: 0 all finished or stopped as asked, 1 some failed, 2 all did.
    """
    failed: dict[str, str] = {}
    began = time.monotonic()
    try:
        for number, run in enumerate(runs, 1):
            left = None if max_seconds is None else began + max_seconds - time.monotonic()
            if left is not None and left <= 0:
                break
            if run.finished():
                note(f"run {number} of {len(runs)}, {run.name}: finished before")
                continue
            note(f"run {number} of {len(runs)}, {run.name}")
            try:
                train(run.request, left)
            except FusionbenchError as error:
                failed[run.name] = spelt(str(error))
            except Exception as error:  # of a plugin's code; the other runs go on
                failed[run.name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if run.name in failed:
                note(f"failed: {run.name}: {failed[run.name]}")
    finally:
        done = sum(run.finished() for run in runs)
        left_over = "" if done == len(runs) else "; the same command with --resume does what is left"
        note(f"{done} of {counted(len(runs), 'run', 'are')} finished{left_over}")
    show(runs)
    for name, reason in failed.items():
        note(f"failed: {name}: {reason}")
    return 0 if not failed else 2 if len(failed) == len(runs) else 1


def run_elsewhere(runs: Sequence[Run], cluster: str, slurm: Sequence[str], request: TrainRequest) -> int:
    """Do what is not finished on a cluster, then print the table; the exit code is that of :func:`run_all`."""
    from fusionbench.cluster.sweeping import train_all
    from fusionbench.cluster.units import place

    with engine_of(cluster, slurm, request.device, 1) as engine:
        failed = train_all(engine, runs, place(request.data_root), command_line(), note, [request.device])
    note(f"{sum(run.finished() for run in runs)} of {counted(len(runs), 'run', 'are')} finished")
    show(runs)
    for name, reason in failed.items():
        note(f"failed: {name}: {reason}")
    return 0 if not failed else 2 if len(failed) == len(runs) else 1


def show(runs: Sequence[Run]) -> None:
    """Print the last losses and, where `eval` scored the weights, the scores; ``sweep.md`` holds the same."""
    from fusionbench.report.sweep_table import loss_table, score_tables
    from fusionbench.report.writing import write_text
    from fusionbench.runtime import locations

    tables, more = [loss_table(runs)], ""
    if not runs[0].request.training.network:
        try:
            tables += score_tables(runs, locations.current().results)
        except FusionbenchError as error:
            note(f"without scores: {error}")
        more = "" if tables[1:] else "; with scores when given again with --resume after `fusionbench eval`"
    text = "\n".join(tables)
    say(text, nl=False)
    path = write_text(runs[0].request.out.parent / "sweep.md", text)
    note(f"{path}: this table{more}")
