"""``fusionbench reproduce``, ``export`` and ``merge``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

from fusionbench.cli.options import Bar, Comma, as_json, data_root, names, out
from fusionbench.cli.spelling import spelt
from fusionbench.errors import FusionbenchError


@click.command("reproduce")
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--images", multiple=True, metavar="NAME=DIR", help="Where the pictures of another program lie.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep the rerun here [a temporary folder].")
@data_root
@as_json
def reproduce_command(
    result: Path, images: tuple[str, ...], device: str, jobs: int, out: Path | None, data_root: Path | None, json_: bool
) -> None:
    """Verify the hashes of a table (weights, data, split, code), run it again and compare every mean.

    RESULT is a table's .json or .provenance.json. Exit code 0: same numbers; 1: they or a hash differ.
    """
    from fusionbench.report.reproduce import reproduce
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    with tempfile.TemporaryDirectory() as scratch, Bar(json_) as bar:
        again = reproduce(result, out or Path(scratch), data_root, images, jobs, device, bar)
    differences = [spelt(line) for line in again.differences]
    if json_:
        facts = {"same": again.same, "cells": again.cells, "worst": again.worst, "differences": differences}
        click.echo(json.dumps(facts, indent=1))
    else:
        for line in differences:
            click.echo(f"differs: {line}")
        for name, gap in again.worst.items():
            click.echo(f"{name}: {'same' if gap == 0 else f'largest difference of a mean {gap:.3g}'}")
        state = "not all the same" if not again.same else "all the same"
        state += f", but {len(differences)} other things differ" if again.same and differences else ""
        click.echo(f"{again.cells} means compared: {state}")
    sys.exit(0 if again.same and not differences else 1)


@click.command("export")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".parquet or .csv")
@click.option("--dataset", shell_complete=names("dataset"), help="Only this dataset.")
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@out
def export_command(output: Path, dataset: str | None, methods: tuple[str, ...], out: Path) -> None:
    """Write per-image scores, one row each, with the hashes of weights, source pair, fused picture and code."""
    from fusionbench.report.scores import frame, write_frame
    from fusionbench.results.store import Store

    if output.suffix not in (".parquet", ".csv"):
        raise FusionbenchError(f"-o {output}: the name must end in .parquet or .csv")
    with Store(out, create=False) as store:
        rows = frame(store, store.boards(dataset), methods)
    if rows.empty:
        raise FusionbenchError(f"{out}: no scores to export" + (f" for {dataset}" if dataset else ""))
    write_frame(output, rows)
    click.echo(f"{len(rows)} scores of {rows['entry'].nunique()} entries in {output}", err=True)


@click.command("merge")
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@out
def merge_command(stores: tuple[Path, ...], out: Path) -> None:
    """Merge the results of several machines (their --out folders) into --out.

    What disagrees is named and ours is kept; exit code 1 then.
    """
    from fusionbench.results.merge import check_sources, merge
    from fusionbench.results.store import Store

    check_sources(list(stores))  # before the target is made
    with Store(out) as store:
        added, conflicts = merge(store, list(stores))
    for line in conflicts:
        click.echo(f"conflict: {line}")
    click.echo(", ".join(f"{n} {table}" for table, n in added.items()) + f" added to {out}", err=True)
    sys.exit(1 if conflicts else 0)
