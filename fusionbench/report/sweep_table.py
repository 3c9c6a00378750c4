"""What a sweep came to: the last losses of its runs, means over seeds, and scores of their weights if there are any."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.plugins.weights import sha256
from fusionbench.report.formats import markdown
from fusionbench.report.markup import escape_markdown
from fusionbench.report.seed_rows import joined
from fusionbench.report.tables import build
from fusionbench.results.store import Store
from fusionbench.training.sweep import Run

NOTE = (
    "Means over the last epoch, then mean ± standard deviation over seeds. A loss whose weights the sweep changes is "
    "another loss in each row."
)


def last_losses(folder: Path) -> dict[str, float]:
    """What a run logged of its last whole epoch: ``loss``, every term, every score of its validation.

    Args:
        folder: of the run.

    Returns:
        Name to mean over the epoch's logged steps; {} without a whole epoch.
    """
    try:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    rows = [line for line in lines if isinstance(line, dict)]
    ends = [row for row in rows if "mean_loss" in row]
    if not ends:
        return {}
    end = ends[-1]
    terms: dict[str, list[object]] = {}
    for row in rows:
        if row.get("epoch") == end.get("epoch") and "step" in row:
            for name in row.keys() - {"epoch", "step", "kind"}:
                terms.setdefault(name, []).append(row[name])
    means = {name: _mean(values) for name, values in sorted(terms.items())}
    held = end.get("validation")
    scores = {f"validation {name}": _mean([x]) for name, x in held.items()} if isinstance(held, dict) else {}
    return {"loss": _mean([end["mean_loss"]]), **{k: v for k, v in means.items() if k != "loss"}, **scores}


def _mean(values: Sequence[object]) -> float:
    numbers = [value for value in values if isinstance(value, (int, float))]
    return float(np.mean(numbers)) if numbers else math.nan


def loss_table(runs: Sequence[Run]) -> str:
    """Markdown: a row for each combination of values, over the seeds whose runs are finished."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.values, default=str), []).append(run)
    found = {run.name: last_losses(run.request.out) if run.finished() else {} for run in runs}
    columns = list(dict.fromkeys(name for losses in found.values() for name in losses))
    keys = list(runs[0].values)
    lines = [
        "| " + " | ".join([*keys, "finished", *map(escape_markdown, columns)]) + " |",
        "|---" * len(keys) + "|---:" * (1 + len(columns)) + "|",
    ]
    for own in groups.values():
        done = [found[run.name] for run in own if found[run.name]]
        values = [escape_markdown(str(value)) for value in own[0].values.values()]
        cells = [_cell([losses.get(name, math.nan) for losses in done]) for name in columns]
        lines.append("| " + " | ".join([*values, f"{len(done)} of {len(own)}", *cells]) + " |")
    return "\n".join([*lines, "", NOTE]) + "\n"


def _cell(values: Sequence[float]) -> str:
    """``0.1234 ± 0.0021``, four significant digits; the second is missing for a single seed."""
    numbers = [value for value in values if math.isfinite(value)]
    if not numbers:
        return "–"
    spread = f" ± {np.std(numbers, ddof=1):.2g}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.4g}{spread}"


def score_tables(runs: Sequence[Run], results: Path) -> list[str]:
    """Markdown of every table in which ``eval`` scored weights of these runs, seeds joined; [] without any.

    Args:
        runs: of a sweep.
        results: folder that ``eval`` wrote to.

    Raises:
        FusionbenchError: no results there, or not all of a table's columns.
    """
    digests = {sha256(run.request.weights) for run in runs if run.finished()}
    tables = []
    with Store(results, create=False) as store:
        for board in store.boards():
            pairs = store.pairs(board.dataset, board.split)
            own = [k for k, e in store.entries(board.output).items() if e.weights and e.weights.sha256 in digests]
            if any(store.images(key, board.dataset, board.split, pairs) for key in own):
                tables.append(markdown(joined(build(store, board, entry_keys=own))))
    return tables
