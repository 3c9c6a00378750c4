"""``fusionbench cost``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma, Size, as_json, boards_of, compiled, names, out, precision, records
from fusionbench.cli.progress import Bar
from fusionbench.cli.spelling import note, show
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError, find

if TYPE_CHECKING:
    from fusionbench.evaluation.cost import Cost
    from fusionbench.evaluation.entries import Entry
    from fusionbench.report.cost_table import Quality

MOST_PIXELS = 64 << 20  # of a pair that is made here


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, and on what."""

    all_: Annotated[bool, click.option("--all", "all_", is_flag=True, help="Every method that is not slow.")]
    methods: Annotated[
        tuple[str, ...],
        click.option("--methods", type=Comma(), default=(), shell_complete=names("method"), help="e.g. gff,refusion"),
    ]
    size: Annotated[
        tuple[int, int],
        click.option("--size", type=Size(), default="480x640", show_default=True, help="Height x width of the pair."),
    ]
    device: Annotated[str, click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1...")]
    precision: Annotated[str | None, precision]
    compiled: Annotated[bool, compiled]
    threads: Annotated[
        int, click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="On a CPU.")
    ]
    runs: Annotated[
        int,
        click.option(
            "--runs",
            type=click.IntRange(0, 1000),
            default=3,
            show_default=True,
            help="Pictures that are timed, behind a first that is not; 0: parameters and operations alone.",
        ),
    ]
    again: Annotated[bool, click.option("--again", is_flag=True, help="Measure also what was measured before.")]

    def entries(self) -> list[Entry]:
        """The entries that are meant, with random weights where none are here; what cannot run is said.

        Raises:
            FusionbenchError: none can.
        """
        from fusionbench.evaluation.entries import entries, runnable

        every, skipped = runnable(untrained=True) if self.all_ else ([], [])
        for spec in self.methods:
            rows, missing = entries(spec, untrained=True)
            every += rows
            skipped += missing
        for skip in skipped:
            note(f"skipped {skip}")
        if not every and (self.all_ or self.methods):
            raise FusionbenchError("none of these methods can run here")
        return list({e.key: e for e in (e.on(self.device, self.precision, self.compiled) for e in every)}.values())


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Quality beside cost."""

    dataset: Annotated[
        str | None, click.option("--datasets", "dataset", help="Beside the costs, means of this dataset's table.")
    ]
    metrics: Annotated[
        tuple[str, ...],
        click.option("--metrics", type=Comma(), default=(), help="Of these columns [all that the table has]."),
    ]
    picture: Annotated[
        Path | None,
        click.option(
            "--picture",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Draw the first of --metrics against milliseconds: .png, .pdf, .svg.",
        ),
    ]


@click.command("cost")
@records(what=Measured, beside=Beside)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the table here; .md, .tex, .csv, .json, .html or .xlsx.",
)
@as_json
@out
def cost_command(what: Measured, beside: Beside, output: Path | None, json_: bool, out: Path) -> None:
    """Measure what a picture costs, and list it; each entry runs in a process of its own.

    Costs are kept in the results folder and measured once per version, size, machine and torch. Without --methods or
    --all: list what was measured, other machines' costs apart. A method whose weights are not here runs with random
    ones, and its row says so. Operations are those of networks as they are written: a multiplication and an addition
    count as two.
    """
    from fusionbench.report.cost_files import cost_text
    from fusionbench.report.cost_table import draw, drawn, groups, kept, markdown
    from fusionbench.report.sheets import form_of
    from fusionbench.report.writing import write_text

    if what.size[0] * what.size[1] > MOST_PIXELS:
        raise click.UsageError(f"--size {what.size[0]}x{what.size[1]}: more than {MOST_PIXELS >> 20} million pixels")
    if not beside.dataset and (beside.picture or beside.metrics):
        raise click.UsageError("--metrics and --picture are about the table of a dataset: name it with --datasets")
    if output is not None and form_of(output) is None:
        raise click.UsageError(f"-o {output}: the name must end in .md, .tex, .csv, .json, .html or .xlsx")
    chosen = what.entries()
    rows = measured(what, chosen, out) if chosen else kept(out)
    if not rows:
        raise FusionbenchError(f"{out}: nothing was measured yet; say what, with --methods or --all")
    if json_:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(rows), indent=1, sort_keys=True))
        return
    quality = means(out, beside) if beside.dataset else {}
    found = groups(rows)
    if output is not None:
        write_text(output, cost_text(found, quality, form_of(output) or "md"))
        note(f"{output}")
    for title, group in found.items() if output is None else ():
        show(markdown(title, group, quality), partial(drawn, title, group, quality))
    if beside.picture:
        if len(found) > 1:
            raise FusionbenchError(f"--picture {beside.picture}: several machines or sizes; choose with --methods")
        (title, group), (name, values) = next(iter(found.items())), next(iter(quality.items()))
        note(f"{counted(draw(title, group, name, values, beside.picture), 'entry')} in {beside.picture}")
    if any(row.failure for row in rows):
        sys.exit(1)


def measured(what: Measured, chosen: list[Entry], out: Path) -> list[Cost]:
    """Costs of the entries here; those that are new are measured and kept one by one."""
    from fusionbench.evaluation.cost import blank, measure
    from fusionbench.report.cost_table import keep, kept
    from fusionbench.runtime.device import check_device

    check_device(what.device)
    timed = what.runs > 0
    earlier = {row.place: row for row in kept(out) if not row.failure and (row.milliseconds is not None or not timed)}
    places = {e.key: blank(e, what.size, what.device, what.threads).place for e in chosen}
    new = [e for e in chosen if what.again or places[e.key] not in earlier]
    with Bar() as bar:
        for done, row in enumerate(measure(new, what.size, what.device, what.threads, what.runs), 1):
            earlier[row.place] = row
            keep(out, row)
            bar(f"measuring {row.entry}", done, len(new))
    return [earlier[place] for place in places.values()]


def means(out: Path, beside: Beside) -> Quality:
    """Title of a metric, with its arrow, to entry to mean.

    Raises:
        FusionbenchError: no such table or column.
    """
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        boards = boards_of(store, [beside.dataset or ""])
        if len(boards) != 1:
            raise FusionbenchError(
                f"{out}: {counted(len(boards), 'table')} of {beside.dataset}; name one that eval has made"
            )
        table = build(store, boards[0], [])
    known = {name: m for m in table.metrics for name in (m.card.name, m.id)}
    shown = [known[find(name, list(known), f"the table of {beside.dataset} has no column")] for name in beside.metrics]
    return {
        f"{m.title} {'↑' if m.up else '↓'}": {r.id: r.mean(m.id) for r in table.rows} for m in shown or table.metrics
    }
