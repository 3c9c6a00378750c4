"""``fusionbench reproduce``, ``export`` and ``merge``."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from fusionbench.cli.options import Bar, Comma, as_json, boards_of, data_root, datasets, names, out, records
from fusionbench.cli.spelling import note, say, spelt
from fusionbench.errors import FusionbenchError


@dataclass(frozen=True, kw_only=True)
class RerunOptions:
    """How a table is run again."""

    images: Annotated[
        tuple[str, ...],
        click.option("--images", multiple=True, metavar="NAME=DIR", help="Where the pictures of another program lie."),
    ]
    dataset: Annotated[
        str | None,
        click.option("--datasets", "dataset", metavar="NAME=DIR", help="Where it lies, if not below --data-root."),
    ]
    split: Annotated[
        str | None, click.option("--split", metavar="FILE.txt", help="The list, of a table over a list of one's own.")
    ]
    device: Annotated[str, click.option("--device", default="cpu", show_default=True)]
    jobs: Annotated[
        int, click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
    ]


@click.command("reproduce")
@click.argument("result", type=click.Path(path_type=Path))
@records(asked=RerunOptions)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep the rerun here [a temporary folder].")
@data_root
@as_json
def reproduce_command(result: Path, asked: RerunOptions, out: Path | None, data_root: Path | None, json_: bool) -> None:
    """Verify a table: its hashes (weights, data, split, code), and every number, count and rank, by running it again.

    RESULT is a table's .json or .provenance.json. Exit code 0: everything it claims is so; 1: something differs, or
    could not be checked. Code that has changed without moving a digit is a note.
    """
    from fusionbench.report.reproduce import Rerun, reproduce
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    rerun = Rerun(data_root=data_root, **vars(asked))
    with tempfile.TemporaryDirectory() as scratch, Bar(json_) as bar:
        again = reproduce(result, out or Path(scratch), rerun, bar)
    differences, notes = ([spelt(line) for line in lines] for lines in (again.differences, again.notes))
    if json_:
        worst = {name: gap if math.isfinite(gap) else None for name, gap in again.worst.items()}
        facts = {"same": again.same, "cells": again.cells, "worst": worst, "differences": differences, "notes": notes}
        click.echo(json.dumps(facts, indent=1))
    else:
        for line in differences:
            say(f"differs: {line}")
        for line in notes:
            say(f"note: {line}")
        for name, gap in again.worst.items():
            say(f"{name}: {'same' if gap == 0 else f'largest difference of a mean {gap:.3g}'}")
        state = "not all the same" if not again.same else "all the same"
        state += f", but {len(differences)} other things differ" if again.same and differences else ""
        say(f"{again.cells} means compared: {state}" if again.cells else "nothing could be compared")
    sys.exit(0 if again.same and not differences else 1)


@click.command("export")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".parquet or .csv")
@datasets
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@out
def export_command(output: Path, datasets: tuple[str, ...], methods: tuple[str, ...], out: Path) -> None:
    """Write per-image scores, one row each, with the hashes of weights, source pair, fused picture and code."""
    from fusionbench.report.entry_names import entry_ids
    from fusionbench.report.scores import frame, write_frame
    from fusionbench.results.store import Store

    if output.suffix.lower() not in (".parquet", ".csv"):
        raise FusionbenchError(f"-o {output}: the name must end in .parquet or .csv")
    with Store(out, create=False) as store:
        boards = boards_of(store, datasets)
        entries = [e for rule in {b.output for b in boards} for e in store.entries(rule).values()]
        rows = frame(store, boards, entry_ids(methods, entries, str(store.path), "--methods"))
    if rows.empty:
        raise FusionbenchError(f"{out}: no scores to export" + (f" for {', '.join(datasets)}" if datasets else ""))
    write_frame(output, rows)
    say(f"{len(rows)} scores of {rows['entry'].nunique()} entries in {output}", err=True)


@click.command("merge")
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--verify",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="First compute the scores of N pictures of each entry again, where the dataset is here [0].",
)
@out
@data_root
def merge_command(stores: tuple[Path, ...], verify: int, out: Path, data_root: Path | None) -> None:
    """Merge the results of several machines (their --out folders) into --out.

    What disagrees is named and ours is kept; exit code 1 then. Nothing is merged when a verified score is wrong.
    """
    from fusionbench.results.merge import check_sources, merge
    from fusionbench.results.store import Store

    check_sources(list(stores))  # before the target is made
    wrong = [folder for folder in stores if verify and not verified(folder, verify, data_root)]
    if wrong:
        sys.exit(1)
    with Store(out) as store:
        added, conflicts = merge(store, list(stores))
    for line in conflicts:
        say(f"conflict: {line}")
    say(", ".join(f"{n} {table}" for table, n in added.items()) + f" added to {out}", err=True)
    sys.exit(1 if conflicts else 0)


def verified(folder: Path, count: int, data_root: Path | None) -> bool:
    """Whether no score of a store that was computed again is another."""
    from fusionbench.report.verify import verify
    from fusionbench.results.store import Store

    with Store(folder, create=False) as store:
        result = verify(store, count, data_root)
    for line in result.unchecked:
        note(f"not verified: {folder}: {line}")
    for line in result.wrong:
        say(f"wrong: {folder}: {line}")
    note(f"{result.checked} scores of {folder} computed again, {len(result.wrong)} of them are wrong")
    return not result.wrong
