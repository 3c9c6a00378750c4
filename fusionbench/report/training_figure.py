"""Loss curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from fusionbench.errors import FusionbenchError
from fusionbench.report.colours import looks_of
from fusionbench.report.figure_style import SMALL, TINY, line_style, panels, plain_axis, save
from fusionbench.runtime.files import read_regular

LOG = "log.jsonl"
LARGEST = 256 << 20  # bytes of a log
NOT_DRAWN = ("step", "epoch", "kind")
Curve = tuple[list[float], list[float]]  # steps and values


def read_log(path: Path) -> dict[str, Curve]:
    """What a run logged: name to steps and values. Steps of several kinds have curves of their own, ``kind: name``.

    Args:
        path: a run's folder, or a ``.jsonl`` file of its.

    Raises:
        FusionbenchError: no such log, or a line that is none of one.
    """
    file = path / LOG if path.is_dir() else path
    try:
        lines = read_regular(file, "a log", LARGEST).splitlines()
    except OSError as error:
        raise FusionbenchError(
            f"{file}: {error.strerror}; name the folder of a run, as `fusionbench train` writes it"
        ) from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(msgspec.json.decode(line, type=dict[str, float | str | None]))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FusionbenchError(f"{file}, line {number}: no line of a log: {error}") from None
    kinds = {str(r["kind"]) for r in records if r.get("kind")}
    curves: dict[str, Curve] = {}
    for record in records:
        step = record.get("step")
        prefix = f"{record['kind']}: " if len(kinds) > 1 and record.get("kind") else ""
        for name, value in record.items():
            if name not in NOT_DRAWN and isinstance(value, int | float) and isinstance(step, int | float):
                steps, values = curves.setdefault(prefix + name, ([], []))
                steps.append(float(step))
                values.append(float(value))
    if not curves:
        raise FusionbenchError(f"{file}: nothing logged yet")
    return curves


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of the last `window` values, of fewer at the beginning."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    means: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def draw_training(runs: Sequence[Path], path: Path, span: str, only: Sequence[str] = ()) -> list[str]:
    """A panel for each logged quantity, a line for each run: faint what was logged, bold the mean of the last fiftieth.

    Args:
        runs: folders.
        path: the picture.
        span: ``column`` or ``page``.
        only: these quantities; all losses, where none is named.

    Returns:
        The quantities.

    Raises:
        FusionbenchError: no such log or quantity, or the file cannot be written.
    """
    logs = dict(zip(_labels(runs), map(read_log, runs), strict=True))
    every = list(dict.fromkeys(name for log in logs.values() for name in log))
    chosen = [name for name in every if not only or name in only or name.rpartition(": ")[2] in only]
    if not chosen:
        raise FusionbenchError(f"no {', '.join(only)} in these logs; there are: {', '.join(every)}")
    looks = looks_of(logs)
    figure, axes = panels(len(chosen), span, 1.3)
    for axis, name in zip(axes, chosen, strict=True):
        for run, log in logs.items():
            steps, values = log.get(name, ([], []))
            look = looks[run]
            if steps:
                axis.plot(steps, values, color=look.colour, linewidth=0.3, alpha=0.35)
                window = max(1, math.ceil(len(values) / 50))
                style = line_style(look)
                axis.plot(steps, smoothed(values, window), color=look.colour, linestyle=style, linewidth=1.0, label=run)
        plain_axis(axis, name)
        axis.set_xlabel("step", fontsize=TINY, labelpad=1)
    handles = {h.get_label(): h for axis in axes for h in axis.get_legend_handles_labels()[0]}
    figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncol=2, fontsize=SMALL - 0.5, frameon=False
    )
    save(figure, path)
    return chosen


def _labels(runs: Sequence[Path]) -> list[str]:
    """Names of the folders; whole paths where two would be the same."""
    names = [run.resolve().name if run.is_dir() else run.stem for run in runs]
    return [str(run) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]
