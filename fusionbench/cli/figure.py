"""``fusionbench figure``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.leaderboard import Selection
from fusionbench.cli.options import as_json, names, out, records
from fusionbench.cli.spelling import note, say
from fusionbench.cli.words import Group, OneOf
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.report.ranking import Ranking, Test


@click.group("figure", cls=Group)
def figure_command() -> None:
    """Pictures of what a method does inside, and of which entries can be told apart."""


@figure_command.command("view")
@click.argument("spec", metavar="METHOD:VIEW", shell_complete=names("method"))
@click.option(
    "--pair",
    "pair",
    nargs=2,
    type=click.Path(path_type=Path),
    required=True,
    metavar="IR VIS",
    help="An infrared and a visible image.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("view.png"), show_default=True)
def view(spec: str, pair: tuple[Path, Path], output: Path) -> None:
    """Draw a view that a method publishes, e.g. tdfusion:weights, one row per checkpoint.

    The method may be narrowed as in eval: 'tdfusion[fmb]:weights', 'cldyn[rsc,task=saliency]:change'. A view shows
    the maps that the method's card lists for it, all with values from 0 to 1 on one scale.
    """
    from fusionbench.report.figures import draw_view

    say(f"{draw_view(spec, *pair, output)}", err=True)


@figure_command.command("ranks")
@records(selection=Selection)
@click.option(
    "--over", type=OneOf(("images", "datasets")), default="images", show_default=True, help="A block of ranks."
)
@click.option(
    "--test",
    "test",
    type=OneOf(("nemenyi", "wilcoxon")),
    default="nemenyi",
    show_default=True,
    help="What tells pairs apart.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw it.")
@out
@as_json
def ranks(selection: Selection, over: str, test: str, output: Path | None, out: Path, json_: bool) -> None:
    """Average ranks over images or datasets, and which entries cannot be told apart (critical differences).

    Entries that share a letter belong to one tie group. Without --datasets, all datasets of the results are taken
    together; all need the same metrics.
    """
    from fusionbench.report.formats import plain
    from fusionbench.report.rank_figures import draw_ranking
    from fusionbench.report.ranking import blocks_of, ranking
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        tables = selection.tables(store)
        for line in store.notes:
            note(line)
    if len({bool(t.board.origin.generator) for t in tables}) > 1:
        raise FusionbenchError(f"{out}: real and generated images are here; name some with --datasets")
    columns = [tuple(m.id for m in t.metrics) for t in tables]
    if len(set(columns)) > 1:
        raise FusionbenchError(f"{out}: the tables have different metrics; name some with --metrics or --profile")
    item = ranking(blocks_of(tables, "datasets" if over == "datasets" else "images"), _test(test))
    if json_:
        click.echo(json.dumps(plain(item.to_dict()), indent=1))
    else:
        print_ranking(item)
    if output:
        draw_ranking(item, output)
        say(f"drawn in {output}", err=True)


def _test(name: str) -> Test:
    return "wilcoxon" if name == "wilcoxon" else "nemenyi"


def print_ranking(item: Ranking) -> None:
    """One line per entry, the best first, with the letters of its tie groups."""
    from fusionbench.report.rank_figures import tested, where

    say(where(item))
    critical = "" if item.critical is None else f"; critical difference {item.critical:.2f}"
    say(tested(item) + critical)
    for name, average, (low, high) in zip(item.names, item.average, item.intervals, strict=True):
        say(f"  {average:6.2f} [{low:.2f}, {high:.2f}]  {name:<28} {item.letters[name]}".rstrip())
