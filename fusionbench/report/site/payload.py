"""A table as the plain data that the page's scripts read. Texts and marks are those of our other tables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards
from fusionbench.report.beside import Beside
from fusionbench.report.formats import cells_of
from fusionbench.report.ranking import ALPHA, blocks_of, ranking
from fusionbench.report.recorded import RecordedTable
from fusionbench.report.rows import Row
from fusionbench.report.site.confirmations import Confirmation, of_row
from fusionbench.report.site.shown import Shown
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn

Plain = dict[str, object]
NO_IMAGES = "this table's files hold means alone; tie groups need per-image scores: build the page of the results store"


def payload(shown: Shown, printed: Beside, known: Sequence[Confirmation]) -> Plain:
    """Everything that the page's table needs in its first load."""
    table = shown.table
    ties, places = _ties(table)
    ranks = table.ranks()
    average, texts = table.average_ranks(), {name: (cells, rank) for name, cells, rank in cells_of(table, False)}
    rows = []
    for row in table.rows:
        info, (cells, rank) = row.info, texts[row.id]
        rows.append(
            {
                "id": row.id,
                "method": info.method,
                "trained_on": info.weights.trained_on if info.weights else "",
                "learnt": learnt(info.weights.trained_on) if info.weights else [],
                "reason": _reason(row.source_only, info.unverified),
                "cells": _cells(table, row, cells[: len(table.metrics)], ranks),
                "tasks": [
                    _task_cell(c, row.id, text, place)
                    for c, (text, place) in zip(table.tasks, cells[len(table.metrics) :], strict=True)
                ],
                "rank": average.get(row.id),
                "rank_text": rank,
                "place": places.get(row.id),
                "confirmed": of_row(known, row.id, info.method, table.board.dataset, table.board.protocol),
                "makers": list(shown.makers.get(row.id, ())),
            }
        )
    file = table.file if isinstance(table, RecordedTable) else None
    return {
        "caption": file.caption if file else table.caption,
        "columns": [m.id for m in table.metrics],
        "ranked_over": len(file.metrics) if file else len(table.metrics),
        "tasks": [_task_head(c) for c in table.tasks],
        "rows": rows,
        "notes": list(table.notes),
        "ties": ties,
        "printed": _printed(printed),
        "conflicts": list(shown.conflicts),
    }


def head(shown: Shown) -> Plain:
    """What the page's index says of a table."""
    table, board = shown.table, shown.table.board
    return {
        "dataset": board.dataset,
        "title": board.title,
        "split": board.split,
        "protocol": board.protocol,
        "profile": shown.profile,
        "output": board.output,
        "generated": bool(board.origin.generator),
        "images": len(table.ids),
        "expected": board.expected,
        "rows": len(table.rows),
        "columns": len(table.metrics),
        "more": [m.id for other in shown.more for m in other.metrics],
        "tasks": sorted({c.id.partition("/")[0] for c in table.tasks if c.values}),
        "label": shown.label,
        "stem": shown.stem,
        "kind": shown.kind,
        "first": shown.first,
    }


def further(tables: Sequence[Table]) -> Plain:
    """Columns that a page loads on request: their names, and of each its cells with the rows' names before them."""
    heads, columns = [], []
    for table in tables:
        cells, ranks = {name: own for name, own, _ in cells_of(table, False)}, table.ranks()
        made = {row.id: _cells(table, row, cells[row.id][: len(table.metrics)], ranks) for row in table.rows}
        for number, m in enumerate(table.metrics):
            heads.append(m.id)
            columns.append([[name, *own[number]] for name, own in made.items()])
    return {"columns": heads, "cells": columns}


def _cells(
    table: Table, row: Row, texts: Sequence[tuple[str, int]], ranks: Mapping[str, Mapping[str, float]]
) -> list[list[object]]:
    """For each metric ``[mean, rank, images, text, place, low, high]``; the last two where an interval is known."""
    made = []
    for m, (text, place) in zip(table.metrics, texts, strict=True):
        mean = row.mean(m.id)
        interval = row.interval(m.id)
        bounds = () if math.isnan(interval[0]) else interval
        made.append(
            [None if math.isnan(mean) else mean, ranks[m.id].get(row.id), row.count(m.id), text, place, *bounds]
        )
    return made


def _task_cell(c: TaskColumn, entry: str, text: str, place: int) -> list[object]:
    mean, half = c.mean(entry), c.half(entry)
    seeds = [None if math.isnan(v) else v for v in c.values.get(entry, ())]
    return [None if math.isnan(mean) else mean, None if math.isnan(half) else half, text, place, seeds]


def _task_head(c: TaskColumn) -> Plain:
    task, network, training, recipe, score = c.id.split("/", 4)
    card = cards("task").get(task)
    if not c.values:  # a task that could not be scored; the note says why
        network = training = recipe = ""
    name = (dict(card.facts.columns).get(score, score) if card else score) if c.values else c.title
    facts = {"network": network, "training": training, "recipe": recipe, "split": c.split, "images": c.images}
    return {"id": c.id, "title": c.title, "score": name, "task": task, "up": c.up, "note": c.note, **facts}


def _reason(source_only: bool, unverified: str) -> str:
    if source_only:
        return "a source image itself: shown for comparison, never ranked"
    return f"not compared with its authors' program, so not ranked: {unverified}" if unverified else ""


def learnt(text: str) -> list[str]:
    """Which of our datasets what a checkpoint was trained on names; generated scenes count as such alone."""
    if "generated scenes" in text:
        return ["generated scenes"]
    known = {c.title: (c.title, n, *c.facts.folders) for n, c in cards("dataset").items() if not c.facts.generic}
    return sorted(title for title, names in known.items() if any(_word(name, text) for name in names))


def _word(name: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text, re.I) is not None


def _ties(table: Table) -> tuple[Plain, dict[str, Plain]]:
    """Tie groups over images, and of each row between which places it may be and its letters."""
    if isinstance(table, RecordedTable):
        return {"why": NO_IMAGES}, {}
    try:
        found = ranking(blocks_of([table], "images"))
    except FusionbenchError as error:
        return {"why": str(error)}, {}
    apart = (found.pairs < ALPHA) & (found.p < ALPHA)
    order = np.arange(len(found.names))
    places = {}
    for n, name in enumerate(found.names):
        first = 1 + int((apart[n] & (order < n)).sum())
        last = len(order) - int((apart[n] & (order > n)).sum())
        low, high = found.intervals[n]
        facts = {"first": first, "last": last, "letters": found.letters[name], "average": found.average[n]}
        places[name] = {**facts, "low": low, "high": high}
    return {"note": found.note, "p": found.p, "groups": [list(g) for g in found.groups]}, places


def _printed(printed: Beside) -> Plain:
    lines = [
        [entry, [[line.source, [[name, line.text(name)] for name in line.cells]] for line in own]]
        for entry, own in printed.lines.items()
    ]
    return {"lines": lines, "sources": list(printed.sources), "notes": list(printed.notes)}


def images(table: Table) -> Plain:
    """Per-image values of a store's table, a list for each column and row."""
    values = [
        [[None if not math.isfinite(v) else v for v in row.values[m.id].tolist()] for row in table.rows]
        for m in table.metrics
    ]
    conditions = table.board.origin.conditions.get(table.board.split, {})
    return {
        "ids": list(table.ids),
        "entries": [row.id for row in table.rows],
        "columns": [m.id for m in table.metrics],
        "values": values,
        "conditions": [conditions.get(i, "") for i in table.ids],
    }


def provenance(facts: Mapping[str, object]) -> Plain:
    """Where a table's numbers come from, without the counts that tasks keep for intervals."""
    kept: Plain = {name: facts[name] for name in ("entries", "metrics", "runs", "images") if name in facts}
    board, tasks = facts["board"], facts.get("tasks") or {}
    assert isinstance(board, dict)
    assert isinstance(tasks, dict)
    large = ("facts", "per_class", "scores")
    kept["tasks"] = [[e, [{k: v for k, v in one.items() if k not in large} for one in own]] for e, own in tasks.items()]
    origin = {k: v for k, v in (board.get("origin") or {}).items() if k != "conditions"}
    return {**kept, "board": {**board, "origin": origin}}
