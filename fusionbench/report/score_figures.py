"""Figures of a table's scores: boxes, curves over images, radar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Metric
from fusionbench.report.colours import Look, looks_of
from fusionbench.report.figure_style import SMALL, TINY, WIDTHS, line_style, panels, plain_axis, save
from fusionbench.report.numbers import fixed
from fusionbench.report.paper_rows import Naming
from fusionbench.report.rows import Row, Values
from fusionbench.report.tables import Table

NONE: Mapping[str, str] = MappingProxyType({})


class Labels:
    """Names in figures.

    Args:
        table: that is drawn.
        rename: what the user wants printed for an entry or a metric, by any name of its.

    Attributes:
        entries: id to name, see :func:`fusionbench.report.paper_rows.plain_names`.

    Raises:
        FusionbenchError: a name in `rename` that none has.
    """

    def __init__(self, table: Table, rename: Mapping[str, str]) -> None:
        self._naming = Naming([table], rename)
        self.entries = {row.id: self._naming.entry(row.id)[1] for row in table.rows}

    def metric(self, m: Metric) -> str:
        """Title of a metric with the end that is better."""
        title = self._naming.metric(m)[1] if m.id in self._naming.renamed else m.title
        return f"{title} {'↑' if m.up else '↓'}"


def _defined(row: Row, metric: Metric) -> Values:
    values: Values = row.values[metric.id][~row.undefined(metric.id)]
    return values


def draw_box(table: Table, path: Path, span: str, rename: Mapping[str, str] = NONE) -> None:
    """A panel a metric, a box an entry: quartiles, whiskers to 1.5 of their distance, the mean as a dot.

    Raises:
        FusionbenchError: the file cannot be written.
    """
    labels = Labels(table, rename)
    names = labels.entries
    looks = looks_of(names)
    figure, axes = panels(len(table.metrics), span, 1.35, legend=False)
    across = 2 if span == "column" else 4
    for number, (axis, m) in enumerate(zip(axes, table.metrics, strict=True)):
        rows = [row for row in table.rows if _defined(row, m).size]
        places = [place for place, row in enumerate(table.rows, 1) if _defined(row, m).size]
        drawn = axis.boxplot(
            [_defined(row, m) for row in rows],
            positions=places,
            widths=0.6,
            patch_artist=True,
            showmeans=True,
            medianprops={"color": "black", "linewidth": 0.7},
            meanprops={
                "marker": "o",
                "markersize": 2,
                "markerfacecolor": "white",
                "markeredgecolor": "black",
                "markeredgewidth": 0.4,
            },
            flierprops={"marker": ".", "markersize": 2},
            whiskerprops={"linewidth": 0.5},
            capprops={"linewidth": 0.5},
            boxprops={"linewidth": 0.5},
        )
        for box, row in zip(drawn["boxes"], rows, strict=True):
            box.set_facecolor(looks[row.id].colour)
            box.set_hatch(looks[row.id].hatch)
            box.set_alpha(0.7)
        plain_axis(axis, labels.metric(m))
        axis.set_xlim(0.4, len(table.rows) + 0.6)
        below = [names[row.id] for row in table.rows] if number + across >= len(axes) else [""] * len(table.rows)
        axis.set_xticks(range(1, len(table.rows) + 1), below, rotation=40, ha="right", rotation_mode="anchor")
    save(figure, path)


def draw_curves(table: Table, path: Path, span: str, rename: Mapping[str, str] = NONE) -> None:
    """A panel a metric, a line an entry: its values over the images, each line sorted; means in the legend.

    Raises:
        FusionbenchError: the file cannot be written.
    """
    labels = Labels(table, rename)
    names = labels.entries
    looks = looks_of(names)
    figure, axes = panels(len(table.metrics), span, 1.35)
    for axis, m in zip(axes, table.metrics, strict=True):
        for row in table.rows:
            values = np.sort(_defined(row, m))
            if values.size:
                share = 100 * (np.arange(values.size) + 1) / values.size
                axis.plot(
                    share,
                    values,
                    color=looks[row.id].colour,
                    linestyle=line_style(looks[row.id]),
                    linewidth=0.9,
                    marker="." if values.size < 30 else "",
                    markersize=2,
                )
        plain_axis(axis, labels.metric(m))
        axis.set_xlabel("% of images up to this value", fontsize=TINY, labelpad=1)
    _legend(figure, names, looks)
    save(figure, path)


def draw_radar(table: Table, path: Path, span: str, rename: Mapping[str, str] = NONE) -> None:
    """One ring: an axis a metric, from the worst ranked entry at the centre's rim to the best outside.

    Raises:
        FusionbenchError: fewer than three metrics, fewer than two entries, or the file cannot be written.
    """
    metrics = [m for m in table.metrics if all(_defined(r, m).size for r in table.ranked)]
    if len(metrics) < 3 or len(table.ranked) < 2:
        raise FusionbenchError(
            f"{path}: a radar needs three metrics and two ranked entries; there are {len(metrics)} and "
            f"{len(table.ranked)}"
        )
    labelled = Labels(table, rename)
    names = {row.id: labelled.entries[row.id] for row in table.ranked}
    looks = looks_of(names)
    width = WIDTHS[span]
    figure = Figure(figsize=(width, min(width, 3.6)), layout="constrained")
    axis = figure.add_subplot(projection="polar")
    angles = [2 * math.pi * number / len(metrics) for number in range(len(metrics))]
    labels = []
    radii: dict[str, list[float]] = {name: [] for name in names}
    for m in metrics:
        means = {row.id: row.mean(m.id) * (1 if m.up else -1) for row in table.ranked}
        low, high = min(means.values()), max(means.values())
        for name, mean in means.items():
            radii[name].append(0.15 + 0.85 * ((mean - low) / (high - low) if high > low else 1))
        ends = (fixed(value if m.up else -value, m.digits) for value in (low, high))
        labels.append(f"{labelled.metric(m)}\n{' to '.join(ends)}")
    for name, radius in radii.items():
        ring, look = ([*angles, angles[0]], [*radius, radius[0]]), looks[name]
        axis.plot(*ring, color=look.colour, linestyle=line_style(look), linewidth=1)
        axis.fill(*ring, color=look.colour, alpha=0.08)
    axis.set_xticks(angles, labels, fontsize=TINY)
    axis.tick_params(pad=-2)
    for angle, label in zip(angles, axis.get_xticklabels(), strict=True):
        side = round(math.cos(angle), 6)
        label.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
    axis.set_yticks([0.15, 0.575, 1.0], ["", "", ""])
    axis.set_ylim(0, 1.02)
    axis.grid(linewidth=0.3)
    axis.spines["polar"].set_linewidth(0.4)
    _legend(figure, names, looks)
    save(figure, path)


def _legend(figure: Figure, names: dict[str, str], looks: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=looks[i].colour, linestyle=line_style(looks[i]), linewidth=1.5, label=name)
        for i, name in names.items()
    ]
    across = max(1, min(len(handles), int(figure.get_figwidth() * 72 / (max(map(len, names.values())) * 3.6 + 30))))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncol=across,
        fontsize=SMALL - 0.5,
        frameon=False,
        handlelength=1.8,
        columnspacing=1,
    )
