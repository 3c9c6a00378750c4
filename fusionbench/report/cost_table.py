"""What methods cost: kept beside the results, shown as a table, and drawn against a metric."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import msgspec
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.cost import Cost
from fusionbench.report.colours import colour_of
from fusionbench.report.markup import escape_markdown
from fusionbench.report.numbers import fixed
from fusionbench.report.terminal import grid
from fusionbench.results.storage_errors import storage_error
from fusionbench.runtime.files import check_regular, read_regular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import RenderableType

FILE = "costs.jsonl"
MOST_BYTES = 64 << 20  # of that file
# Where a name may stand beside its point: offset in points, and which of its ends is there.
PLACES: list[tuple[tuple[float, float], Literal["left", "right"]]] = [
    ((across if side == "left" else -across, up), side)
    for across, up in ((4, 4), (4, -9), *((12, s * u) for u in range(4, 70, 7) for s in (1, -1)))
    for side in ("left", "right")
]
Quality = Mapping[str, Mapping[str, float]]  # title of a metric to entry to mean


def kept(folder: Path) -> list[Cost]:
    """What was measured so far, of a results folder, the last of each kind; costs of other machines among them.

    Raises:
        FusionbenchError: a line is damaged.
    """
    path = folder / FILE
    try:
        check_regular(path, "the costs", MOST_BYTES)  # a pipe would be waited for
        with path.open("rb") as file, _locked(file, fcntl.LOCK_SH):
            lines = read_regular(path, "the costs", MOST_BYTES).splitlines()
    except FileNotFoundError:
        return []
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            row = msgspec.json.decode(line, type=Cost)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FusionbenchError(f"{path}, line {number}: {error}; remove that line") from None
        found[row.place] = row
    return list(found.values())


def keep(folder: Path, row: Cost) -> None:
    """Add a line to what was measured, so that two runs on one folder lose nothing of each other's.

    Raises:
        FusionbenchError: it cannot be written; nothing of it is there then.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        left = msgspec.json.encode(row) + b"\n"
        with path.open("ab", buffering=0) as file, _locked(file, fcntl.LOCK_EX):
            before = file.seek(0, os.SEEK_END)
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                os.truncate(path, before)
                raise
    except OSError as error:
        raise storage_error(path, error) from None


@contextmanager
def _locked(file: IO[bytes], kind: int) -> Iterator[None]:
    """Inside, a line is written by one process alone, and taken back by nobody else."""
    fcntl.flock(file, kind)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def groups(rows: Sequence[Cost]) -> dict[str, list[Cost]]:
    """Rows that can be compared, by what they have in common in words; of several versions of an entry the latest."""
    found: dict[str, dict[str, Cost]] = {}
    for row in sorted(rows, key=lambda r: r.made):
        threads = f", {row.threads} thread{'s' * (row.threads > 1)}" if row.device == "cpu" else ""
        clock = ", time of the processor" if row.clock == "processor" else ""
        where = f"{row.processor}{threads}{clock}, {row.arithmetic}; torch {row.torch}"
        found.setdefault(f"A pair of {row.height}x{row.width} on {where}", {})[row.entry] = row
    return {title: sorted(group.values(), key=_slowness) for title, group in sorted(found.items())}


def _slowness(row: Cost) -> tuple[bool, float, str]:
    return row.milliseconds is None, row.milliseconds or 0.0, row.entry


def cells_of(rows: Sequence[Cost], quality: Quality) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Heads of the columns behind the name; name and cells of each entry that did not fail."""
    lines = []
    for row in (row for row in rows if not row.failure):
        cells = [
            "-" if row.parameters is None else f"{row.parameters:,}",
            "-" if row.flops is None else f"{row.flops / 1e9:,.1f}",
            "-" if row.milliseconds is None else f"{row.milliseconds:,.1f}",
            "-" if row.peak_mib is None else f"{row.peak_mib:,.0f}",
            *(fixed(means[row.entry], 3) if row.entry in means else "-" for means in quality.values()),
        ]
        lines.append((row.entry, cells))
    return ["parameters", "GFLOP", "ms", "peak MiB", *quality], lines


def markdown(title: str, rows: Sequence[Cost], quality: Quality) -> str:
    """A table of rows that can be compared, fastest first, with means of metrics beside them where there are some."""
    head, entries = cells_of(rows, quality)
    head = ["Method", *head]
    lines = [f"{title}.", "", f"| {' | '.join(map(escape_markdown, head))} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += [f"| {escape_markdown(name)} | {' | '.join(cells)} |" for name, cells in entries]
    failed = [f"- {escape_markdown(f'{row.entry}: {row.failure}')}" for row in rows if row.failure]
    return "\n".join([*lines, *([""] if failed else []), *failed]) + "\n"


def drawn(title: str, rows: Sequence[Cost], quality: Quality, width: int) -> RenderableType:
    """The same for a terminal of so many characters."""
    head, entries = cells_of(rows, quality)
    failed = [f"{row.entry}: {row.failure}" for row in rows if row.failure]
    marked = [(name, [(cell, 0) for cell in cells]) for name, cells in entries]
    return grid(f"{title}.", [name.replace("@", "\n") for name in head], marked, failed, width)


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
    axis.set_xscale("log")
    for row in shown:
        area = 30 if not row.parameters else 30 + 60 * (row.parameters / 1e6) ** 0.5
        point, tint = ([row.milliseconds or 0.0], [means[row.entry]]), colour_of(row.entry)
        axis.scatter(*point, s=area, color=tint, alpha=0.8, linewidths=0)
    axis.set_xlabel("milliseconds a pair")
    axis.set_ylabel(name)
    axis.set_title(f"{title}; area: parameters", fontsize=8)
    axis.grid(alpha=0.3)
    axis.margins(x=0.12)
    _name(axis, [(row.entry, row.milliseconds or 0.0, means[row.entry]) for row in shown])
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        raise storage_error(path, error) from None
    except ValueError as error:  # matplotlib knows no such suffix
        raise FusionbenchError(f"{path}: {error}") from None
    return len(shown)


def _name(axis: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Write names beside points, each at the first of some places where it hides nothing and stays inside."""
    axis.figure.canvas.draw()  # places are in pixels, which are known then
    frame = axis.get_window_extent()
    dots = axis.transData.transform([point[1:] for point in points])
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in dots]
    line = {"arrowstyle": "-", "linewidth": 0.4, "color": "grey", "shrinkA": 0, "shrinkB": 0}
    for name, x, y in sorted(points, key=lambda point: -point[2]):
        write = partial(axis.annotate, name, (x, y), textcoords="offset points", fontsize=6)
        for offset, side in PLACES:
            label = write(xytext=offset, horizontalalignment=side)
            box = label.get_window_extent()
            label.remove()
            if frame.x0 <= box.x0 and box.x1 <= frame.x1 and not any(box.overlaps(other) for other in taken):
                break
        write(xytext=offset, horizontalalignment=side, arrowprops=line)
        taken.append(box)
