"""``fusionbench reproduce``, and ``leaderboard --check``: published tables run again."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma, as_json, data_root, records
from fusionbench.cli.progress import Bar
from fusionbench.cli.reading_options import ReadingOptions
from fusionbench.cli.spelling import finding, note, say, spelt
from fusionbench.counting import counted

if TYPE_CHECKING:
    from fusionbench.report.checking import Checked
    from fusionbench.report.reproduce import Reproduction, Rerun

FOLDER = click.Path(path_type=Path)
THERE = click.Path(path_type=Path, exists=True, file_okay=False)


@dataclass(frozen=True, kw_only=True)
class HereOptions:
    """What is at hand for a table that is run again."""

    images_root: Annotated[
        Path | None,
        click.option(
            "--images-root",
            type=THERE,
            metavar="DIR",
            help="Pictures of other programs: DIR/NAME/DATASET, or DIR/NAME.",
        ),
    ]
    networks: Annotated[
        tuple[Path, ...],
        click.option(
            "--networks",
            multiple=True,
            type=THERE,
            metavar="DIR",
            help="Trained task networks, found below it by their hash.",
        ),
    ]
    retrain: Annotated[
        bool, click.option("--retrain", is_flag=True, help="Train task networks again that are not at hand.")
    ]
    task_options: Annotated[
        tuple[str, ...],
        click.option(
            "--task-options",
            type=Comma(),
            default=(),
            help="Changed settings of the task networks' recipes, as in eval.",
        ),
    ]
    device: Annotated[str, click.option("--device", default="cpu", show_default=True)]
    jobs: Annotated[
        int, click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
    ]

    def rerun(
        self,
        root: Path | None,
        images: tuple[str, ...] = (),
        dataset: str | None = None,
        split: str | None = None,
        read: ReadingOptions | None = None,
    ) -> Rerun:
        """The options as the library takes them."""
        from fusionbench.data.layout import DEFAULT
        from fusionbench.report.places import Places
        from fusionbench.report.reproduce import Rerun
        from fusionbench.report.task_rerun import Networks

        places = Places(data_root=root, dataset=dataset, images=images, images_root=self.images_root)
        networks = Networks(folders=self.networks, retrain=self.retrain, options=self.task_options)
        reading = read.reading() if read else DEFAULT
        return Rerun(places=places, split=split, networks=networks, jobs=self.jobs, device=self.device, reading=reading)


@dataclass(frozen=True, kw_only=True)
class OneTable:
    """What only a single table may be told."""

    images: Annotated[
        tuple[str, ...],
        click.option("--images", multiple=True, metavar="NAME=DIR", help="Where the pictures of another program lie."),
    ]
    dataset: Annotated[
        str | None,
        click.option(
            "--datasets", "dataset", metavar="NAME=DIR", help="Where the dataset lies, if not below --data-root."
        ),
    ]
    methods: Annotated[
        tuple[str, ...],
        click.option("--methods", type=Comma(), default=(), help="Only rows of these entries or methods."),
    ]
    split: Annotated[
        str | None, click.option("--split", metavar="FILE.txt", help="The list, of a table over a list of one's own.")
    ]


@click.command("reproduce")
@click.argument("result", type=FOLDER)
@records(one=OneTable, read=ReadingOptions, here=HereOptions)
@click.option("--out", type=FOLDER, metavar="DIR", help="Keep the rerun here [a temporary folder].")
@data_root
@as_json
def reproduce_command(
    result: Path,
    one: OneTable,
    read: ReadingOptions,
    here: HereOptions,
    out: Path | None,
    data_root: Path | None,
    json_: bool,
) -> None:
    """Verify a table: its hashes (weights, data, split, code), and every number, count and rank, by running it again.

    RESULT is a table's .json or .provenance.json. Exit code 0: everything it claims is so; 1: something differs, or
    could not be checked ("not here": pictures, weights or data that are not at hand). Code that has changed without
    moving a digit is a note. A generated tree that is not below --data-root is drawn again. Task networks are verified
    by the hashes of what they learned from and are tested on; their scores only with --networks or --retrain: a line
    "recorded only" says where nothing did.
    """
    from fusionbench.report.reproduce import reproduce
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    rerun = replace(here.rerun(data_root, one.images, one.dataset, one.split, read), methods=one.methods)
    with tempfile.TemporaryDirectory() as scratch, Bar(json_) as bar:
        again = reproduce(result, out or Path(scratch), rerun, bar)
    if json_:
        click.echo(json.dumps(plain(again), indent=1))
    else:
        report(again)
    sys.exit(0 if again.state == "same" else 1)


def plain(again: Reproduction) -> dict[str, object]:
    """What was verified, as plain data."""
    return {
        "same": again.same,
        "agrees": again.agrees,
        "state": again.state,
        "cells": again.cells,
        "rows": again.rows,
        "of": again.of,
        "task_results": again.task_results,
        "worst": {name: gap if math.isfinite(gap) else None for name, gap in again.worst.items()},
        "differences": [spelt(line) for line in again.differences],
        "absent": [spelt(line) for line in again.absent],
        "recorded": [spelt(line) for line in again.recorded],
        "notes": [spelt(line) for line in again.notes],
    }


def report(again: Reproduction) -> None:
    """What was verified, for a terminal."""
    from fusionbench.report.reproduce import UNCHECKED

    absent = set(again.absent)
    told = {row + UNCHECKED for row, why, _ in (line.partition(": not checked: ") for line in absent) if why}
    here = [line for line in again.differences if line not in absent]
    away = [line for line in again.differences if line in absent - told]
    kinds = (("differs", here), ("not here", away), ("note", again.notes), ("recorded only", again.recorded))
    for what, lines in kinds:
        for line in lines:
            finding(f"{what}: {line}")
    for name, gap in again.worst.items():
        text = "same" if gap == 0 else f"largest difference of a mean {gap:.3g}"
        text += ", no printed digit is another" if gap and name not in again.misprinted else ""
        finding(f"{name}: {text}")
    state = "all the same" if again.same else "the same in print" if again.agrees else "not all the same"
    if again.agrees and here:
        state += f", but {len(here)} other things differ"
    if again.agrees and away:
        state += f"; {len(away)} things are not here and were not checked"
    nothing = (
        "nothing could be compared: what it needs is not here" if away and not here else "nothing could be compared"
    )
    say(f"{again.cells} means compared: {state}" if again.cells else nothing)
    if again.rows != again.of:
        say(f"{again.rows} of {counted(again.of, 'row')} run again; ranks, which take all, were not looked at")
    if again.task_results:
        say(f"{counted(again.task_results, 'result')} of task networks scored again")
    if again.recorded:
        say(f"task columns recorded only: {len(again.recorded)}; nothing verified their scores")


def check_tables(folder: Path | None, out: Path | None, rerun: Rerun, available: bool, json_: bool) -> int:
    """Run every table of a folder again and list them; the exit code.

    Args:
        folder: of the tables; None for those that came with the package.
        out: keeps the reruns; None for a temporary folder.
        rerun: folders and how to run.
        available: whether tables whose data are not at hand are passed over.
        json_: whether to print plain data.
    """
    from fusionbench.report.checking import check, published
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    done: list[Checked] = []
    tables = published(folder)
    if not json_:
        say("| table | means | largest difference | seconds | |\n|---|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as scratch, Bar(json_) as bar:
        for table in check(tables, out or Path(scratch), rerun, bar):
            done.append(table)
            if not json_:
                finding(f"| {' | '.join(table.cells())} |")
                lines = table.found.differences + table.found.recorded
                for line in lines[:20] + ([f"and {len(lines) - 20} more"] if len(lines) > 20 else []):
                    note(f"{table.name}: {line}")
    states = [table.found.state for table in done]
    if json_:
        found = [{"table": t.name, "seconds": round(t.seconds, 1), **plain(t.found)} for t in done]
        click.echo(json.dumps(found, indent=1))
    note(
        ", ".join(f"{states.count(s)} {s}" for s in ("same", "not here", "differs"))
        + f" of {counted(len(tables), 'table')}"
    )
    allowed = {"same", "not here"} if available else {"same"}
    return 0 if set(states) <= allowed else 1
