"""What methods cost: kept beside the results, shown as a table, and drawn against a metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from matplotlib.figure import Figure

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.cost import Cost
from fusionbench.report.markup import escape_markdown
from fusionbench.report.numbers import fixed
from fusionbench.report.writing import write_text
from fusionbench.results.storage_errors import storage_error

FILE = "costs.json"
MOST_BYTES = 64 << 20  # of that file
Quality = Mapping[str, Mapping[str, float]]  # title of a metric to entry to mean


def kept(folder: Path) -> list[Cost]:
    """What was measured so far, of a results folder; costs of other machines among them.

    Raises:
        FusionbenchError: the file is damaged.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FusionbenchError(f"{path}: larger than {MOST_BYTES >> 20} MiB; move it away")
        return msgspec.json.decode(path.read_bytes(), type=list[Cost])
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FusionbenchError(f"{path}: {error}; move it away, and measure again") from None


def keep(folder: Path, rows: Sequence[Cost]) -> None:
    """Write what was measured, one measurement of a kind."""
    latest = {row.place: row for row in rows}
    listed = [msgspec.to_builtins(row) for row in latest.values()]
    write_text(folder / FILE, json.dumps(listed, indent=1, sort_keys=True) + "\n")


def groups(rows: Sequence[Cost]) -> dict[str, list[Cost]]:
    """Rows that can be compared, by what they have in common in words: one size, machine and version."""
    found: dict[str, list[Cost]] = {}
    for row in sorted(rows, key=lambda r: (r.milliseconds is None, r.milliseconds or 0.0, r.entry)):
        on = f"{row.processor}, {row.threads} thread{'s' * (row.threads > 1)}" if row.device == "cpu" else row.processor
        found.setdefault(f"A pair of {row.height}x{row.width} on {on}; torch {row.torch}", []).append(row)
    return dict(sorted(found.items()))


def markdown(title: str, rows: Sequence[Cost], quality: Quality) -> str:
    """A table of rows that can be compared, fastest first, with means of metrics beside them where there are some."""
    head = ["Method", "parameters", "GFLOP", "ms", "peak MiB", *quality]
    lines = [f"{title}.", "", f"| {' | '.join(map(escape_markdown, head))} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in (row for row in rows if not row.failure):
        cells = [
            "-" if row.parameters is None else f"{row.parameters:,}",
            "-" if row.flops is None else f"{row.flops / 1e9:,.1f}",
            "-" if row.milliseconds is None else f"{row.milliseconds:,.1f}",
            "-" if row.peak_mib is None else f"{row.peak_mib:,.0f}",
            *(fixed(means[row.entry], 3) if row.entry in means else "-" for means in quality.values()),
        ]
        lines.append(f"| {escape_markdown(row.entry)} | {' | '.join(cells)} |")
    failed = [f"- {escape_markdown(f'{row.entry}: {row.failure}')}" for row in rows if row.failure]
    return "\n".join([*lines, *([""] if failed else []), *failed]) + "\n"


def draw(title: str, rows: Sequence[Cost], name: str, means: Mapping[str, float], path: Path) -> int:
    """Draw a metric against milliseconds, the more parameters the larger the dot.

    Args:
        title: of the group of rows.
        rows: that can be compared.
        name: of the metric, with its arrow.
        means: entry to mean.
        path: .png, .pdf or .svg.

    Returns:
        How many entries are in it.

    Raises:
        FusionbenchError: none has both, or the file cannot be written.
    """
    shown = [row for row in rows if row.milliseconds and row.entry in means]
    if not shown:
        raise FusionbenchError(f"{path}: no entry has both a cost and a mean of {name}")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for row in shown:
        area = 20 if not row.parameters else 20 + 60 * (row.parameters / 1e6) ** 0.5
        axis.scatter([row.milliseconds or 0.0], [means[row.entry]], s=area, alpha=0.6, linewidths=0)
        axis.annotate(
            row.entry,
            (row.milliseconds or 0.0, means[row.entry]),
            fontsize=6,
            xytext=(3, 3),
            textcoords="offset points",
        )
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds a pair")
    axis.set_ylabel(name)
    axis.set_title(f"{title}; area: parameters", fontsize=8)
    axis.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        raise storage_error(path, error) from None
    except ValueError as error:  # matplotlib knows no such suffix
        raise FusionbenchError(f"{path}: {error}") from None
    return len(shown)
