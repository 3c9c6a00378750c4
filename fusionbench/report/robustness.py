"""What corrupted pairs cost each entry: means of one column over the levels of every corruption."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError, find
from fusionbench.pixels.corruption import KINDS, Corruption, corruption
from fusionbench.report.colours import looks_of
from fusionbench.report.figure_style import line_style, save
from fusionbench.report.markup import escape_markdown
from fusionbench.report.numbers import fixed, places
from fusionbench.report.tables import Table
from fusionbench.report.terminal import grid

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Robustness:
    """One column of the tables of a dataset with and without corruptions.

    Attributes:
        title: what was scored.
        column: title of the metric or task score, with its arrow.
        digits: behind the point.
        up: whether more is better.
        images: that every mean is over.
        clean: entry id to its mean on good pairs, best first.
        means: corruption to entry id to mean; kinds in the order of :data:`KINDS`, weakest first.
    """

    title: str
    column: str
    digits: int
    up: bool
    images: int
    clean: Mapping[str, float]
    means: Mapping[Corruption, Mapping[str, float]]

    def to_dict(self) -> dict[str, object]:
        """Plain data; undefined values are None."""

        def plain(values: Mapping[str, float]) -> dict[str, float | None]:
            return {name: None if math.isnan(value) else value for name, value in values.items()}

        means = {str(how): plain(values) for how, values in self.means.items()}
        return {"of": self.title, "column": self.column, "images": self.images, "clean": plain(self.clean)} | means


def robustness(good: Table, corrupted: Sequence[Table], name: str) -> Robustness:
    """Set one column of several tables side by side.

    Args:
        good: the table of the pairs as they are.
        corrupted: those of the same images under corruptions.
        name: of a metric, or the id of a task's column.

    Raises:
        FusionbenchError: no such column, or the tables are of other images.
    """
    for table in corrupted:
        if table.ids != good.ids:
            raise FusionbenchError(
                f"{table.board.dataset}: {counted(len(table.ids), 'pair')}, not the {len(good.ids)} of "
                f"{good.board.dataset}; run eval on both with the same options"
            )
    titles = {m.id: (m.card.name, m.title) for m in good.metrics} | {c.id: (c.title,) for c in good.tasks}
    chosen = find(name, titles, f"the table of {good.board.dataset} has no column", titles)
    found = {corruption(str(table.board.corruption)): _column(table, chosen) for table in corrupted}
    clean = _column(good, chosen)
    metric = next((m for m in good.metrics if m.id == chosen), None)
    up = metric.up if metric else next(c.up for c in good.tasks if c.id == chosen)

    def place(item: tuple[str, float]) -> tuple[bool, float]:
        return math.isnan(item[1]), -item[1] if up else item[1]

    kinds = list(KINDS)
    usual = {k: -1.0 if k.levels[0] > k.levels[-1] else 1.0 for k in KINDS.values()}  # where less of it is worse
    order = sorted(found, key=lambda how: (kinds.index(how.kind), usual[KINDS[how.kind]] * how.level))
    return Robustness(
        title=f"{good.board.title}, split {good.board.split}",
        column=f"{metric.title if metric else titles[chosen][0]} {'↑' if up else '↓'}",
        digits=metric.digits if metric else 3,
        up=up,
        images=len(good.ids),
        clean=dict(sorted(clean.items(), key=place)),
        means={how: found[how] for how in order},
    )


def _column(table: Table, chosen: str) -> dict[str, float]:
    for task in table.tasks:
        if task.id == chosen:
            return {row.id: task.mean(row.id) for row in table.rows}
    return {row.id: row.mean(chosen) for row in table.rows}


def markdown(r: Robustness) -> str:
    """A table with an entry a row and a corruption a column."""
    head = " | ".join(["Method", "good pairs", *map(str, r.means)])
    lines = [
        _about(r),
        "",
        f"| {head} |",
        f"|---|{'---:|' * (1 + len(r.means))}",
    ]
    for name, cells in _cells(r):
        lines.append(f"| {escape_markdown(name)} | {' | '.join(cells)} |")
    lines += ["", *(f"- {how}: {how.text}." for how in r.means)]
    return "\n".join(lines) + "\n"


def _about(r: Robustness) -> str:
    return (
        f"{r.title}: mean {r.column} over {counted(r.images, 'pair')}. "
        "Methods get corrupted pairs, scores look at the good ones."
    )


def drawn(r: Robustness, width: int) -> RenderableType:
    """The same for a terminal of so many characters, with the best and the second of each column marked."""
    columns = [r.clean, *r.means.values()]
    marks = [places({n: c.get(n, math.nan) for n in r.clean}, r.digits, r.up) for c in columns]
    rows = [
        (name, [(cell, own.get(name, 0)) for cell, own in zip(cells, marks, strict=True)]) for name, cells in _cells(r)
    ]
    return grid(_about(r), ["good pairs", *map(str, r.means)], rows, [f"{how}: {how.text}." for how in r.means], width)


def _cells(r: Robustness) -> list[tuple[str, list[str]]]:
    """Entry, and its mean on good and on corrupted pairs as text."""
    rows = []
    for name in r.clean:
        values = [r.clean[name], *(means.get(name, math.nan) for means in r.means.values())]
        rows.append((name, ["–" if math.isnan(value) else fixed(value, r.digits) for value in values]))
    return rows


def draw(r: Robustness, path: Path) -> None:
    """A panel for each kind: a line for each entry, from the good pairs over its levels.

    Raises:
        FusionbenchError: a file that cannot be written.
    """
    kinds = list(dict.fromkeys(how.kind for how in r.means))
    columns = min(4, len(kinds))
    lines = math.ceil(len(kinds) / columns)
    figure = Figure(figsize=(3.2 * columns + 1.6, 2.6 * lines))
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    for axis, kind in zip(axes.flat, kinds, strict=False):
        _panel(axis, replace(r, means={how: m for how, m in r.means.items() if how.kind == kind}), kind)
    for line in axes:
        line[0].set_ylabel(f"{r.column}", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", fontsize=7, frameon=False)
    figure.tight_layout(rect=(0, 0, 1 - 1.5 / (3.2 * columns + 1.6), 1))
    save(figure, path, dpi=130)


def _panel(axis: Axes, r: Robustness, kind: str) -> None:
    looks = looks_of(r.clean)
    labels = ["good", *(f"{how.level:g}" for how in r.means)]
    for name in r.clean:
        values = [r.clean[name], *(means.get(name, math.nan) for means in r.means.values())]
        look, places = looks[name], range(len(labels))
        axis.plot(places, values, linestyle=line_style(look), marker=".", color=look.colour, label=name, lw=1.2)
    axis.set_xticks(range(len(labels)), labels, fontsize=8)
    axis.set_title(kind, fontsize=9)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
