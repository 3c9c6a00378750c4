"""``fusionbench export`` and ``merge``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fusionbench.cli.options import Comma, boards_of, data_root, datasets, names, out
from fusionbench.cli.spelling import note, say
from fusionbench.errors import FusionbenchError


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
