"""Leaderboards: a pure function of the per-image scores in a store.

A table ranks entries over the images that all of them have; it holds no time, path or machine. Those are in its
provenance file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Metric, metric, metric_change
from fusionbench.plugins.records import COLOURS
from fusionbench.report.task_tables import TaskColumn, task_columns
from fusionbench.results.store import Store

RESAMPLES = 2000


@dataclass(frozen=True)
class Row:
    """One entry: metric id to per-image values, aligned with the table's ids (NaN where undefined)."""

    info: dict[str, Any]
    values: dict[str, np.ndarray]

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.info["id"]

    def mean(self, metric_id: str) -> float:
        """Mean over the images where the metric is defined; NaN when it is nowhere."""
        defined = self.values[metric_id][~np.isnan(self.values[metric_id])]
        return float(defined.mean()) if defined.size else math.nan

    def interval(self, metric_id: str) -> tuple[float, float]:
        """95 % percentile bootstrap interval of the mean over images (2000 resamples, seed 0)."""
        defined = self.values[metric_id][~np.isnan(self.values[metric_id])]
        if not defined.size:
            return math.nan, math.nan
        draws = np.random.default_rng(0).integers(0, defined.size, (RESAMPLES, defined.size))
        low, high = np.percentile(defined[draws].mean(axis=1), [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True)
class Table:
    """A leaderboard.

    Attributes:
        board: protocol and split facts, as :meth:`fusionbench.evaluation.plan.Source.info` gives them.
        ids: the images that every row has.
        metrics: the columns.
        rows: source-only rows first, then by average rank.
        notes: exclusions and failures, one line each.
        selected: whether the store has more rows or the protocol more columns; told in the file name, so that a
            narrower run never replaces the whole table.
        tasks: columns of downstream tasks; they take no part in the average rank.
    """

    board: dict[str, Any]
    ids: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    selected: bool = False
    tasks: tuple[TaskColumn, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the split has more images than the table."""
        return self.board["expected"] is not None and len(self.ids) < self.board["expected"]

    @property
    def stem(self) -> str:
        """File name without suffix; says when the table is partial."""
        part = f".partial-{len(self.ids)}-of-{self.board['expected']}" if self.partial else ""
        return self.board["protocol"].replace("/", "_") + part + (".selected" if self.selected else "")

    @property
    def caption(self) -> str:
        """Protocol, split, image count, rules and what is not ranked."""
        b = self.board
        count = f"{len(self.ids)} of {b['expected']} pairs" if b["expected"] is not None else f"{len(self.ids)} pairs"
        partial = ", partial" if self.partial else ""
        text = f"{b['title']}, split {b['split']}: {count}{partial}. Protocol {b['protocol']}: "
        colours = {m.colour for m in self.metrics}
        text += "scored are " + "; ".join(f"{COLOURS[c]} ({c})" for c in sorted(colours))
        output = (
            "each method's released output rule" if b["output"] == "released" else f"output rule {b['output']} for all"
        )
        text += f"; 8-bit pictures under {output}; means over images."
        if b.get("origin"):
            text += f" Synthetic images: {b['origin']['generator']}, seed {b['origin'].get('seed')}."
        if any(r.info["source_only"] for r in self.rows):
            text += " Source-only rows are not ranked."
        return text

    def ranks(self) -> dict[str, dict[str, float]]:
        """Metric id to entry id to rank (1 best, ties share their mean); undefined and source-only rows have none."""
        found = {}
        for m in self.metrics:
            means = {r.id: r.mean(m.id) for r in self.rows if not r.info["source_only"]}
            means = {k: v for k, v in means.items() if not math.isnan(v)}
            order = np.array(list(means.values())) * (-1 if m.up else 1)
            found[m.id] = {
                k: float((order < o).sum() + ((order == o).sum() + 1) / 2) for k, o in zip(means, order, strict=True)
            }
        return found

    def average_ranks(self) -> dict[str, float]:
        """Entry id to the mean of its ranks over the metrics where it has one."""
        ranks = self.ranks()
        names = {r.id for r in self.rows if not r.info["source_only"]}
        found = {}
        for name in names:
            mine = [ranks[m.id][name] for m in self.metrics if name in ranks[m.id]]
            if mine:
                found[name] = sum(mine) / len(mine)
        return found

    def to_dict(self, ci: bool = False) -> dict[str, Any]:
        """The table as plain data; undefined means are None."""
        ranks, average = self.ranks(), self.average_ranks()
        rows = []
        for r in self.rows:
            cells: dict[str, Any] = {}
            for m in self.metrics:
                mean = r.mean(m.id)
                cells[m.id] = {
                    "mean": None if math.isnan(mean) else mean,
                    "rank": ranks[m.id].get(r.id),
                    "n": int((~np.isnan(r.values[m.id])).sum()),
                }
                if ci and not math.isnan(mean):
                    cells[m.id]["ci95"] = list(r.interval(m.id))
            weights = r.info["weights"] or {}
            rows.append(
                {
                    "id": r.id,
                    "source_only": r.info["source_only"],
                    "average_rank": average.get(r.id),
                    "trained_on": weights.get("trained_on"),
                    "scores": cells,
                    **({"tasks": {c.id: list(c.values.get(r.id, ())) for c in self.tasks}} if self.tasks else {}),
                }
            )
        return {
            "caption": self.caption,
            "protocol": self.board["protocol"],
            "dataset": self.board["dataset"],
            "split": self.board["split"],
            "images": len(self.ids),
            "expected": self.board["expected"],
            "metrics": [{"id": m.id, "title": m.title, "direction": m.card.data["direction"]} for m in self.metrics],
            **({"tasks": [{"id": c.id, "title": c.title, "note": c.note} for c in self.tasks]} if self.tasks else {}),
            "rows": rows,
            "notes": list(self.notes),
        }


def build(
    store: Store,
    board: dict[str, Any],
    metrics: Iterable[str] = (),
    entry_keys: Iterable[str] | None = None,
    entry_ids: Iterable[str] = (),
    ids: Iterable[str] | None = None,
) -> Table:
    """Make a table from a store.

    Args:
        store: an output directory's results.
        board: which dataset, split and output rule: one of :meth:`fusionbench.results.store.Store.boards`.
        metrics: metric ids as columns; by default those of the last run.
        entry_keys: exactly these entries; by default the latest of every id that has fused images of the split.
        entry_ids: only entries with these ids or method names.
        ids: only these images.

    Raises:
        FusionbenchError: when nothing is there to show.
    """
    dataset, split = board["dataset"], board["split"]
    columns = [metric(spec) for spec in (tuple(metrics) or board["metrics"])]
    change = metric_change({m.id for m in columns}, set(board["own_metrics"]))
    board = {**board, "protocol": board["protocol"] + change, "metrics": [m.id for m in columns]}
    pairs = store.pairs(dataset, split)
    if ids is not None:
        wanted = set(ids)
        pairs = {i: h for i, h in pairs.items() if i in wanted}
    every = store.entries(board["output"])
    keys = list(every) if entry_keys is None else [k for k in entry_keys if k in every]
    names = set(entry_ids)
    keys = [k for k in keys if not names or every[k]["id"] in names or every[k]["method"] in names]
    failures = store.failures(dataset, split)
    codes = {m.id: m.code for m in columns}
    scores = store.scores(codes)

    have: dict[str, dict[str, str]] = {}  # entry key -> image id -> hash of the fused picture
    notes: list[str] = []
    for key in keys:
        fused = store.fused(key)
        mine = {
            i: fused[h][0]
            for i, h in pairs.items()
            if h in fused
            and (key, i) not in failures
            and ("", i) not in failures
            and all((fused[h][0], h, m.id) in scores for m in columns)
        }
        mishaps = [reason for (k, i), reason in failures.items() if k == key and i in pairs]
        if mine:
            have[key] = mine
        elif mishaps:
            notes.append(f"No row for {every[key]['id']}: {len(mishaps)} images failed, e.g. {mishaps[0]}")
        elif any(h in fused for h in pairs.values()):
            notes.append(f"No row for {every[key]['id']}: not scored with all of these metrics.")
    if not have:
        raise FusionbenchError(
            f"{store.path}: no complete scores for {dataset} {split} with {', '.join(m.id for m in columns)}; "
            + (" ".join(notes) or "run `fusionbench eval` with these metrics")
        )
    common = sorted(set.intersection(*(set(v) for v in have.values())))
    if not common:
        raise FusionbenchError(
            f"{store.path}: the entries share no image of {dataset} {split}; choose some with --methods"
        )
    rows = [
        Row(every[k], {m.id: np.array([scores[mine[i], pairs[i], m.id] for i in common]) for m in columns})
        for k, mine in have.items()
    ]
    notes += _excluded(have, every, failures)
    for m in columns:
        notes += _common_definition(m, rows)
    others = set(every) - set(keys)
    selected = {m.id for m in columns} < set(board["own_metrics"]) or any(
        not set(store.fused(k)).isdisjoint(pairs.values()) for k in others
    )
    tasks = task_columns(store, board, {k: every[k]["id"] for k in have})
    notes += dict.fromkeys(column.note for column in tasks)
    table = Table(board, tuple(common), tuple(columns), tuple(rows), tuple(notes), selected, tasks)
    average = table.average_ranks()
    ordered = sorted(rows, key=lambda r: (not r.info["source_only"], average.get(r.id, math.inf), r.id))
    return replace(table, rows=tuple(ordered))


def _excluded(
    have: dict[str, dict[str, str]], every: dict[str, Any], failures: dict[tuple[str, str], str]
) -> list[str]:
    """Images that are not in the table, and why."""
    notes = []
    for (key, ident), reason in sorted(failures.items()):
        if key == "" or key in have:
            notes.append(f"Excluded image {ident} ({every[key]['id'] if key else 'source'}): {reason}")
    sizes = {k: len(v) for k, v in have.items()}
    if len(set(sizes.values())) > 1:
        most = max(sizes.values())
        fewer = ", ".join(f"{every[k]['id']} {n}" for k, n in sorted(sizes.items()) if n < most)
        notes.append(f"Only images that every row has are scored; fewer than {most} have: {fewer}.")
    return notes


def _common_definition(m: Metric, rows: list[Row]) -> list[str]:
    """Leave out of a column the images on which it is undefined for some ranked row, so that all means are comparable.

    Rows where the metric is undefined everywhere take no part. Changes the rows' values; returns what to note.
    """
    why = m.card.data.get("undefined", "the definition gives no value there")
    for r in rows:
        r.values[m.id][~np.isfinite(r.values[m.id])] = np.nan
    nowhere = [r for r in rows if np.isnan(r.values[m.id]).all()]
    ranked = [r for r in rows if not r.info["source_only"] and not np.isnan(r.values[m.id]).all()]
    notes = []
    if nowhere:
        notes.append(f"{m.title} of {', '.join(sorted(r.id for r in nowhere))} is undefined on every image: {why}.")
    gaps = {r.id: int(np.isnan(r.values[m.id]).sum()) for r in ranked}
    if any(gaps.values()):
        common = ~np.any([np.isnan(r.values[m.id]) for r in ranked], axis=0)
        for r in ranked:
            r.values[m.id][~common] = np.nan
        named = ", ".join(f"{name} {n}" for name, n in sorted(gaps.items()) if n)
        notes.append(
            f"{m.title}: {int((~common).sum())} of {common.size} images are left out for all ranked rows, as it is "
            f"undefined there for some ({named}): {why}."
        )
    return notes
