"""``fusionbench export`` and ``merge``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import Comma, Number, boards_of, data_root, datasets, names, out
from fusionbench.cli.spelling import finding, note, say
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.results.sources import LocalStore

MOST = 64.0  # GiB

# What tables of a store are called in words; a rare one is named where something of it was added.
NOUNS = {"entries": "entry", "boards": "board", "pairs": "pair", "fused": "picture", "scores": "score"}
NOUNS |= {"failures": "failure", "tasks": "task result", "task_gaps": "missing task result"}
RARE = ("failures", "tasks", "task_gaps")


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
    say(f"{counted(len(rows), 'score')} of {counted(rows['entry'].nunique(), 'entry')} in {output}", err=True)


@click.command("merge")
@click.argument("stores", nargs=-1, required=True)
@click.option(
    "--most",
    type=Number(0, min_open=True),
    default=MOST,
    show_default=True,
    metavar="GIB",
    help="Fetch no more than this from each address.",
)
@click.option(
    "--verify",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="First compute the scores of N pictures of each entry again, where the dataset is here [0].",
)
@click.option(
    "--pictures",
    type=click.IntRange(0),
    metavar="N",
    help="Copy only N pictures of each entry and dataset, those with the smallest hashes [all].",
)
@out
@data_root
def merge_command(
    stores: tuple[str, ...], most: float, verify: int, pictures: int | None, out: Path, data_root: Path | None
) -> None:
    """Merge the results of several machines or people into --out.

    STORES are --out folders, or addresses of such: file://, memory://, s3://, gs://, hf://, http:// or https://.
    What disagrees is named and ours is kept; exit code 1 then. Nothing is merged when a verified score is wrong.
    """
    from fusionbench.results.merge import merge
    from fusionbench.results.shelf import shelf_of
    from fusionbench.results.sources import source
    from fusionbench.results.store import Store

    with ExitStack() as stack:
        places = [stack.enter_context(source(text, int(most * 2**30))) for text in stores]  # before the target is made
        if [place for place in places if verify and not verified(place, verify, data_root)]:
            sys.exit(1)
        with Store(out) as store:
            added, conflicts = merge(store, places, pictures)
    for place in places:
        if pictures != 0 and (told := shelf_of(place.folder).elsewhere):
            note(f"{place.name}: {told}, and merges them too")
    for line in conflicts:
        finding(f"conflict: {line}")
    words = [counted(n, NOUNS.get(table, table)) for table, n in added.items() if n or table not in RARE]
    say(f"{', '.join(words)} added to {out}", err=True)
    sys.exit(1 if conflicts else 0)


def verified(place: LocalStore, count: int, data_root: Path | None) -> bool:
    """Whether no score of a store that was computed again is another."""
    from fusionbench.report.verify import verify

    with place.opened() as store:
        result = verify(store, count, data_root, place.fetch)
    for line in result.unchecked:
        note(f"not verified: {place.name}: {line}")
    for line in result.wrong:
        finding(f"wrong: {place.name}: {line}")
    note(f"{counted(result.checked, 'score')} of {place.name} computed again, {len(result.wrong)} of them are wrong")
    return not result.wrong
