"""``fusionbench figure``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma, as_json, boards_of, data_root, names, out, records
from fusionbench.cli.paper_options import renamed
from fusionbench.cli.spelling import note, say
from fusionbench.cli.table_options import Selection
from fusionbench.cli.words import Group, OneOf
from fusionbench.commas import listed
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import variants_of

if TYPE_CHECKING:
    from fusionbench.report.ranking import Ranking, Test
    from fusionbench.report.rows import Row
    from fusionbench.report.tables import Table
    from fusionbench.results.store import Store

    BoxType = click.ParamType[tuple[str, tuple[int, int, int, int]]]
else:
    BoxType = click.ParamType  # generic in newer versions of click only


@click.group("figure", cls=Group)
def figure_command() -> None:
    """Figures for papers, and of what a method does inside: PDF, PNG or SVG, by the suffix of -o."""


class PixelBox(BoxType):
    """``LEFT,TOP,WIDTH,HEIGHT`` in pixels, behind a pair's id and a colon where it is of that pair alone."""

    name = "[ID:]LEFT,TOP,WIDTH,HEIGHT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, int, int, int]]:
        """The id or "", and four whole numbers, the last two above 1."""
        match = re.fullmatch(r"(?:(.+):)?(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", str(value).replace(" ", ""))
        if not match or int(match[4]) < 2 or int(match[5]) < 2:
            text = "is not [ID:]LEFT,TOP,WIDTH,HEIGHT in pixels, e.g. 120,80,60,40"
            self.fail(f"{value!r} {text}", param, ctx)
        return match[1] or "", (int(match[2]), int(match[3]), int(match[4]), int(match[5]))


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Of which results."""

    dataset: Annotated[
        str | None,
        click.option("--datasets", "dataset", shell_complete=names("dataset"), help="One, where --out has several."),
    ]
    methods: Annotated[
        tuple[str, ...],
        click.option(
            "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these, in this order."
        ),
    ]
    metrics: Annotated[
        tuple[str, ...],
        click.option(
            "--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="[those of the last eval]"
        ),
    ]

    last: Annotated[tuple[str, ...], click.option("--last", type=Comma(), default=(), help="These entries at the end.")]
    rename: Annotated[
        tuple[str, ...],
        click.option(
            "--rename", multiple=True, metavar="NAME=TEXT", help="What is printed for an entry or metric; repeatable."
        ),
    ]

    @property
    def names(self) -> dict[str, str]:
        """What is printed for whom.

        Raises:
            FusionbenchError: it cannot be read.
        """
        return dict(map(renamed, self.rename))

    def table(self, store: Store, joint: bool = True) -> Table:
        """The one table that is meant; with a joint row where its name was given and ``joint``.

        Raises:
            FusionbenchError: there are several, or none.
        """
        from dataclasses import replace

        from fusionbench.report.entry_names import entry_ids
        from fusionbench.report.seed_rows import SeedRow, joined
        from fusionbench.report.seeds import is_joint
        from fusionbench.report.tables import build

        boards = boards_of(store, [self.dataset] if self.dataset else [])
        if len(boards) > 1:
            have = ", ".join(f"{b.dataset} ({b.split}, output {b.output})" for b in boards)
            raise FusionbenchError(
                f"{store.path}: a figure is of one dataset, and there are {have}; choose with datasets="
            )
        entries = store.entries(boards[0].output).values()
        ids = entry_ids(self.methods, entries, str(store.path), "--methods")
        table = build(store, boards[0], [m.id for spec in self.metrics for m in variants_of(spec)], entry_ids=ids)
        if joint and any(map(is_joint, (*self.methods, *self.last))):
            table = joined(table)
        bottom = entry_ids(self.last, [row.info for row in table.rows], "the figure", "--last")
        place = {ident: number for number, ident in enumerate(ids)}

        def order(row: Row) -> tuple[int, int]:
            first = row.seeds[0].id if isinstance(row, SeedRow) else row.id
            return bottom.index(row.id) + 1 if row.id in bottom else 0, place.get(first, 0)

        return replace(table, rows=tuple(sorted(table.rows, key=order)))


def _output(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "-o", "--output", type=click.Path(path_type=Path), default=Path(default), show_default=True, metavar="FILE"
    )


def _span(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    words = OneOf(("column", "page"))
    return click.option("--span", type=words, default=default, show_default=True, help="As wide as a column or a page.")


Draw = Callable[["Table", Path, str, dict[str, str]], None]


def _drawn(draw: Draw, shown: Shown, output: Path, span: str, out: Path) -> None:
    from fusionbench.report.figure_style import check_suffix
    from fusionbench.results.store import Store

    check_suffix(output)
    with Store(out, create=False) as store:
        table = shown.table(store)
    draw(table, output, span, shown.names)
    size = (
        counted(len(of), noun) for of, noun in ((table.rows, "entry"), (table.metrics, "metric"), (table.ids, "image"))
    )
    say(f"{output}: {', '.join(size)}", err=True)


@figure_command.command("compare")
@records(shown=Shown)
@click.option("--ids", type=Comma(), default=(), help="Pairs, a row each [those on which the methods differ most].")
@click.option("--pick", type=click.IntRange(1, 50), default=1, show_default=True, help="How many of those.")
@click.option("--zoom", "zooms", type=PixelBox(), multiple=True, help="A detail of each pair, or of one; up to four.")
@click.option("--no-values", is_flag=True, help="No metrics below the pictures.")
@click.option("--across", type=click.IntRange(1, 50), default=None, help="Pictures in a row [all of a pair].")
@click.option(
    "--network", type=click.Path(path_type=Path), metavar="RUN", help="Draw what this trained task network finds."
)
@_span("page")
@data_root
@out
@_output("compare.pdf")
def compare(
    shown: Shown,
    ids: tuple[str, ...],
    pick: int,
    zooms: tuple[tuple[str, tuple[int, int, int, int]], ...],
    no_values: bool,
    across: int | None,
    network: Path | None,
    span: str,
    data_root: Path | None,
    out: Path,
    output: Path,
) -> None:
    """Draw infrared, visible and what every method made of them, a row for each pair, with zoomed details."""
    from fusionbench.report.compare_figure import Grid, draw_compare, overlay_of
    from fusionbench.report.figure_style import check_suffix
    from fusionbench.results.store import Store

    check_suffix(output)
    grid = Grid(
        ids=ids, pick=pick, zooms=zooms, values=not no_values, across=across or 0, span=span, rename=shown.names
    )
    overlay = overlay_of(network) if network else None
    with Store(out, create=False) as store:
        drawn = draw_compare(store, shown.table(store, joint=False), grid, output, data_root, overlay)
    say(f"{output}: {listed(drawn)}", err=True)


@figure_command.command("box")
@records(shown=Shown)
@_span("page")
@out
@_output("box.pdf")
def box(shown: Shown, span: str, out: Path, output: Path) -> None:
    """Draw the scores of all images as boxes: a panel a metric, a box a method, the mean as a dot."""
    from fusionbench.report.score_figures import draw_box

    _drawn(draw_box, shown, output, span, out)


@figure_command.command("curve")
@records(shown=Shown)
@_span("page")
@out
@_output("curve.pdf")
def curve(shown: Shown, span: str, out: Path, output: Path) -> None:
    """Draw the scores of all images, sorted: a panel a metric, a line a method."""
    from fusionbench.report.score_figures import draw_curves

    _drawn(draw_curves, shown, output, span, out)


@figure_command.command("radar")
@records(shown=Shown)
@_span("column")
@out
@_output("radar.pdf")
def radar(shown: Shown, span: str, out: Path, output: Path) -> None:
    """Draw the means as a radar: an axis a metric, from the worst of the methods inside to the best outside."""
    from fusionbench.report.score_figures import draw_radar

    _drawn(draw_radar, shown, output, span, out)


@figure_command.command("training")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--only", type=Comma(), default=(), help="These quantities of the log [all], e.g. loss.")
@_span("page")
@_output("training.pdf")
def training(runs: tuple[Path, ...], only: tuple[str, ...], span: str, output: Path) -> None:
    """Draw what training runs logged: a panel for each loss, a line for each run."""
    from fusionbench.report.figure_style import check_suffix
    from fusionbench.report.training_figure import draw_training

    check_suffix(output)
    say(f"{output}: {', '.join(draw_training(runs, output, span, only))}", err=True)


PAIR = click.option(
    "--pair",
    "pair",
    nargs=2,
    type=click.Path(path_type=Path),
    required=True,
    metavar="IR VIS",
    help="An infrared and a visible image.",
)


@figure_command.command("weights")
@click.argument("method", shell_complete=names("method"))
@PAIR
@_output("weights.pdf")
def weights(method: str, pair: tuple[Path, Path], output: Path) -> None:
    """Draw the learned weight maps of a method's checkpoints, and of two how they differ.

    Each map has a scale of its own, from its smallest to its largest value; `view` shows all from 0 to 1.
    """
    from fusionbench.report.figure_style import check_suffix
    from fusionbench.report.figures import draw_view

    check_suffix(output)
    say(draw_view(f"{method}:weights", *pair, output, stretched=True), err=True)


@figure_command.command("view")
@click.argument("spec", metavar="METHOD:VIEW", shell_complete=names("method"))
@PAIR
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("view.png"), show_default=True)
def view(spec: str, pair: tuple[Path, Path], output: Path) -> None:
    """Draw a view that a method publishes, e.g. tdfusion:weights, one row per checkpoint.

    The method may be narrowed as in eval: 'tdfusion[fmb]:weights', 'cldyn[rsc,task=saliency]:change'. A view shows
    the maps that the method's card lists for it, all with values from 0 to 1 on one scale.
    """
    from fusionbench.report.figures import draw_view

    say(draw_view(spec, *pair, output), err=True)


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
