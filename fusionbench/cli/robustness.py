"""``fusionbench robustness``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import Comma, as_json, names, out
from fusionbench.cli.spelling import note, show
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.report.tables import Table


@click.command("robustness")
@click.option("--datasets", "dataset", required=True, shell_complete=names("dataset"), help="One dataset.")
@click.option(
    "--metrics", "metric", required=True, shell_complete=names("metric"), help="One column, of a metric or a task."
)
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curves as well: .png, .pdf, .svg."
)
@out
@as_json
def robustness_command(
    dataset: str, metric: str, methods: tuple[str, ...], picture: Path | None, out: Path, json_: bool
) -> None:
    """Show what corrupted pairs cost each method, from weak to strong.

    Score them first: fusionbench eval ... --datasets NAME --corrupt shift=1,2,4 --corrupt noise
    """
    from fusionbench.report.robustness import draw, drawn, markdown, robustness

    good, *corrupted = tables_of(out, dataset, methods)
    found = robustness(good, corrupted, metric)
    if json_:
        click.echo(json.dumps(found.to_dict(), indent=1))
    else:
        show(markdown(found), partial(drawn, found))
    if picture:
        draw(found, picture)
        note(f"drawn in {picture}")


def tables_of(out: Path, dataset: str, methods: tuple[str, ...]) -> list[Table]:
    """The table of a dataset as it is, and those with corrupted pairs.

    Raises:
        FusionbenchError: not in the results, several splits or output rules of it, or nothing is corrupted.
    """
    from fusionbench.report.entry_names import entry_ids
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        good = store.boards(dataset)
        if len(good) != 1:
            have = ", ".join(f"{b.split} with output {b.output}" for b in good) or "none"
            raise FusionbenchError(
                f"{out}: of {dataset} there are {counted(len(good), 'result')} ({have}), one is needed"
            )
        if good[0].corruption:
            raise FusionbenchError(
                f"{dataset}: corrupted already; name the dataset itself, {dataset.partition('+')[0]}"
            )
        place = (good[0].split, good[0].output)
        corrupted = [
            board
            for board in store.boards()
            if board.corruption
            and board.dataset == f"{good[0].dataset}+{board.corruption}"
            and (board.split, board.output) == place
        ]
        if not corrupted:
            raise FusionbenchError(
                f"{out}: no results of {dataset} with corrupted pairs; run `fusionbench eval ... --datasets {dataset} "
                "--corrupt shift --corrupt noise`"
            )
        ids = entry_ids(methods, store.entries(good[0].output).values(), str(store.path), "--methods")
        return [build(store, board, entry_ids=ids) for board in (good[0], *corrupted)]
