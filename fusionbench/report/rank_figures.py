"""Figures of rankings: how they change with the metric profile and with the images, and tie groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from fusionbench.report.colours import Look, colour_of, looks_of
from fusionbench.report.figure_style import line_style, save
from fusionbench.report.numbers import fixed
from fusionbench.report.ranking import Halves, Ranking, letter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fusionbench.report.analysis import Stability

INK, BAR = "#1f3b57", "#b5442e"
LEGEND = 10  # entries
LANE = 0.16  # inches between the bars of two groups


def draw_ranks(items: Sequence[Stability], path: Path) -> None:
    """One panel per metric: each entry's rank under every profile, joined by a line.

    Up to ten entries have a legend; of more, each line has its name at its right end.

    Raises:
        FusionbenchError: a file that cannot be written.
    """
    names = sorted({e for s in items for e in s.order[next(iter(s.order))]})
    many = len(names) > LEGEND
    columns = min(3 if many else 4, len(items))
    lines = math.ceil(len(items) / columns)
    height = max(2.9, 0.8 + 0.13 * len(names)) if many else 2.9
    figure = Figure(figsize=((5.0 if many else 3.6) * columns, height * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    looks = looks_of(names)
    for axis in axes.flat[len(items) :]:
        axis.axis("off")
    for axis, item in zip(axes.flat, items, strict=False):
        _draw_item(axis, item, looks, many)
    if not many:
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncol=min(6, len(labels)), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0 if many else 0.07, 1, 1))
    save(figure, path, dpi=130)


def _draw_item(axis: Axes, item: Stability, looks: Mapping[str, Look], many: bool) -> None:
    """The ranks under one metric; ``looks`` has every entry of the figure."""
    profiles = list(item.order)
    for name, look in looks.items():
        ranks = [item.order[p].index(name) + 1 if name in item.order[p] else math.nan for p in profiles]
        width, size, style = (1, 3, "solid") if many else (2, 6, line_style(look))
        axis.plot(
            profiles, ranks, linestyle=style, marker=look.marker, color=look.colour, label=name, lw=width, ms=size
        )
        if many and not math.isnan(ranks[-1]):
            where = (len(profiles) - 1 + 0.04 * len(profiles), ranks[-1])
            axis.annotate(name, where, fontsize=5.5, va="center", color=look.colour, annotation_clip=False)
    axis.set_title(f"{item.metric}  (lowest τ {fixed(min(item.tau.values()), 2)})", fontsize=10)
    axis.set_ylim(len(looks) + 0.5, 0.5)
    ticks = range(1, len(looks) + 1)
    axis.set_yticks([t for t in ticks if t == 1 or t % 5 == 0] if many else ticks)
    axis.set_ylabel("rank", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.set_xlim(-0.15, (len(profiles) - 1) * 1.45 + 0.15) if many else axis.margins(x=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def draw_ranking(item: Ranking, path: Path) -> None:
    """A critical-difference diagram, turned so that names stay readable: a line per entry from the best.

    Points are average ranks with their intervals; entries that one bar on the right joins cannot be told apart.

    Raises:
        FusionbenchError: a file that cannot be written.
    """
    k = len(item.names)
    groups = [group for group in item.groups if len(group) > 1]
    lanes = _lanes([(item.names.index(g[0]), item.names.index(g[-1])) for g in groups])
    wide = 0.35 + LANE * (max(lanes, default=-1) + 1)
    figure = Figure(figsize=(6.6 + wide, 1.5 + 0.235 * k), layout="constrained")
    axes, bars = figure.subplots(1, 2, sharey=True, width_ratios=[4.6, wide])
    y = np.arange(k)
    average, ends = np.array(item.average), np.array(item.intervals)
    for name, place, mean, (low, high) in zip(item.names, y, average, ends, strict=True):
        own = colour_of(name)
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=own, ms=4.5, lw=1.2, capsize=2)
    _axis(axes, item.names, "average rank (1 = best), 95 % interval over " + item.blocks.over)
    for number, (group, lane) in enumerate(zip(groups, lanes, strict=True)):
        rows = [item.names.index(name) for name in group]
        gaps = len(rows) != rows[-1] - rows[0] + 1  # not all between belong to it
        bars.plot([lane, lane], [rows[0], rows[-1]], color=BAR, lw=1 if gaps else 3, solid_capstyle="round")
        if gaps:
            bars.plot([lane] * len(rows), rows, "o", color=BAR, ms=5)
        bars.text(lane, rows[0] - 0.45, letter(number), ha="center", va="bottom", fontsize=7, color=BAR)
    bars.set_xlim(-0.7, max(lanes, default=0) + 0.7)
    bars.axis("off")
    if item.critical is not None:
        left = float(ends.min())
        axes.plot([left, left + item.critical], [-1.25, -1.25], color=BAR, lw=2.5, clip_on=False)
        axes.text(left, -1.5, f"critical difference {item.critical:.2f}", fontsize=8, color=BAR, va="bottom")
    axes.set_ylim(k - 0.4, -2.4 if item.critical is not None else -0.9)
    axes.set_title(f"{where(item)}\n{tested(item)}", fontsize=9, loc="left")
    save(figure, path, dpi=130)


def draw_halves(item: Halves, title: str, path: Path) -> None:
    """Where each entry stands on random halves of the images: all positions, their middle half, the median.

    Raises:
        FusionbenchError: a file that cannot be written.
    """
    k = len(item.names)
    figure = Figure(figsize=(7.2, 1.3 + 0.235 * k), layout="constrained")
    axes = figure.subplots()
    y = np.arange(k)
    low, first, middle, third, high = np.percentile(item.positions, [0, 25, 50, 75, 100], axis=0)
    axes.hlines(y, low, high, color=INK, lw=1.2, alpha=0.7)
    axes.hlines(y, first, third, color=INK, lw=5, alpha=0.5)
    axes.plot(middle, y, "o", color=BAR, ms=4)
    _axis(axes, item.names, f"position on {len(item.positions)} random halves: all, middle half, median")
    axes.set_ylim(k - 0.4, -0.6)
    axes.set_title(title, fontsize=9, loc="left")
    save(figure, path, dpi=130)


def where(item: Ranking) -> str:
    """Datasets, metrics and blocks, in a line."""
    metrics = item.blocks.metrics
    named = ", ".join(metrics) if len(metrics) <= 3 else f"{len(metrics)} metrics"
    return f"{', '.join(item.blocks.datasets)}: {named}, {len(item.blocks.ranks)} {item.blocks.over}"


def tested(item: Ranking) -> str:
    """Friedman's test and what tells pairs apart, in a line."""
    how = "Nemenyi" if item.test == "nemenyi" else "Wilcoxon with Holm's correction"
    pairs = f"pairs by {how} at 0.05" if item.p < 0.05 else "so no pair is told apart"
    return f"Friedman χ² = {item.chi2:.4g}, p = {item.p:.2g}; {pairs}"


def _axis(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", lw=0.4, alpha=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each span so that no two in a lane touch."""
    ends: list[int] = []
    lanes = []
    for first, last in spans:
        lane = next((n for n, end in enumerate(ends) if end < first - 1), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes
