"""Leaderboards: a pure function of the per-image scores in a store.

A table ranks entries over the images that all of them have; it holds no time, path or machine. Those are in its
provenance file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from scipy.stats import rankdata

from fusionbench.counting import counted
from fusionbench.evaluation.protocol import Metric, metric, metric_change
from fusionbench.plugins.cards import cards
from fusionbench.plugins.records import COLOURS, SOURCES
from fusionbench.report.board_scores import BoardScores, leave_out_undefined, out_of_range
from fusionbench.report.made import kept_notes, kept_task_notes
from fusionbench.report.published import Cell, MetricHead, Provenance, PublishedRow, PublishedTable, TaskHead
from fusionbench.report.rows import Row
from fusionbench.report.task_tables import TaskColumn, current, task_columns
from fusionbench.results.records import Board, TaskResult
from fusionbench.results.store import Store


@dataclass(frozen=True)
class Table:
    """A leaderboard.

    Attributes:
        board: protocol and split facts, as :meth:`fusionbench.evaluation.plan.Source.board` gives them.
        ids: the images that every row has.
        metrics: the columns.
        rows: source-only rows first, then by average rank, then what else is not ranked.
        notes: exclusions and failures, one line each.
        selected: whether the store has more rows or the protocol more columns; part of the file name, so that a
            narrower run never replaces the whole table.
        tasks: columns of downstream tasks; they take no part in the average rank.
        results: with entry ids, what the columns of tasks come from, where it is not the store alone.
        earlier: where rows come from that a published table had before, see :mod:`fusionbench.report.extending`.
    """

    board: Board
    ids: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    selected: bool = False
    tasks: tuple[TaskColumn, ...] = ()
    results: tuple[tuple[str, TaskResult], ...] | None = None
    earlier: Provenance | None = None

    @property
    def partial(self) -> bool:
        """Whether the split has more images than the table."""
        return self.board.expected is not None and len(self.ids) < self.board.expected

    @property
    def shards(self) -> str:
        """``1 and 3 of 4`` where only these parts of the pairs are here; "" where all are."""
        parts = [part.partition("/") for part in self.board.shards or ()]
        return ", ".join(
            " and ".join(number for number, _, count in parts if count == total) + f" of {total}"
            for total in dict.fromkeys(count for _, _, count in parts)
        )

    @property
    def stem(self) -> str:
        """File name without suffix; says when the table is partial."""
        part = f".partial-{len(self.ids)}-of-{self.board.expected}" if self.partial else ""
        part += "".join(f".shard-{shard.replace('/', '-of-')}" for shard in self.board.shards or ())
        return self.board.protocol.replace("/", "_") + part + (".selected" if self.selected else "")

    @property
    def pairs_in_words(self) -> str:
        """``14 pairs``, or ``3 of 361 pairs`` where the split has more."""
        of = f" of {self.board.expected}" if self.partial else ""
        return counted(f"{len(self.ids)}{of}", "pair")

    @property
    def caption(self) -> str:
        """Protocol, split, image count, rules and what is not ranked."""
        b = self.board
        count = (
            f"{len(self.ids)} of {counted(b.expected, 'pair')}"
            if b.expected is not None
            else counted(len(self.ids), "pair")
        )
        partial = ", partial" if self.partial else ""
        partial += f", shard {self.shards}: complete when all are merged" if self.shards else ""
        text = f"{b.title}, split {b.split}: {count}{partial}. Protocol {b.protocol}: "
        colours = {m.colour for m in self.metrics}
        text += "scored are " + "; ".join(f"{COLOURS[c]} ({c})" for c in sorted(colours))
        output = "each method's released output rule" if b.output == "released" else f"output rule {b.output} for all"
        text += f"; 8-bit pictures under {output}; means over images."
        if b.corruption:
            text += " Methods get the corrupted pair, scores look at the good one."
        text += _called(b)
        if b.origin.generator:
            text += f" Synthetic images: {b.origin.generator}, seed {b.origin.seed}."
        if any(r.source_only for r in self.rows):
            text += " Source-only rows are not ranked."
        if unverified := [r.id for r in self.rows if r.info.unverified]:
            text += f" Not compared with their authors' program and not ranked: {', '.join(unverified)}."
        return text

    @property
    def ranked(self) -> list[Row]:
        """All rows but the source images and those of methods that nobody could compare with their authors'."""
        return [r for r in self.rows if r.ranked]

    def ranks(self) -> dict[str, dict[str, float]]:
        """Metric id to entry id to rank (1 best, ties share their mean); undefined and unranked rows have none."""
        ranks = {}
        for m in self.metrics:
            means = {r.id: r.mean(m.id) for r in self.ranked}
            means = {k: v for k, v in means.items() if not math.isnan(v)}
            order = rankdata(np.array(list(means.values())) * (-1 if m.up else 1)).tolist()
            ranks[m.id] = dict(zip(means, order, strict=True))
        return ranks

    def average_ranks(self) -> dict[str, float]:
        """Entry id to the mean of its ranks over the metrics where it has one."""
        ranks = self.ranks()
        average = {}
        for name in {r.id for r in self.ranked}:
            own = [ranks[m.id][name] for m in self.metrics if name in ranks[m.id]]
            if own:
                average[name] = sum(own) / len(own)
        return average

    def published(self, ci: bool = False) -> PublishedTable:
        """The table as files hold it; undefined values are None."""
        ranks, average = self.ranks(), self.average_ranks()
        rows = [
            PublishedRow(
                id=r.id,
                source_only=r.source_only,
                unverified=r.info.unverified,
                average_rank=average.get(r.id),
                trained_on=r.info.weights.trained_on if r.info.weights else None,
                scores={m.id: _cell(r, m.id, ranks[m.id].get(r.id), ci) for m in self.metrics},
                tasks={c.id: tuple(None if math.isnan(v) else v for v in c.values.get(r.id, ())) for c in self.tasks},
            )
            for r in self.rows
        ]
        return PublishedTable(
            caption=self.caption,
            protocol=self.board.protocol,
            dataset=self.board.dataset,
            split=self.board.split,
            images=len(self.ids),
            expected=self.board.expected,
            metrics=tuple(MetricHead(id=m.id, title=m.title, direction="up" if m.up else "down") for m in self.metrics),
            tasks=tuple(
                TaskHead(id=c.id, title=c.title, note=c.note, direction="up" if c.up else "down") for c in self.tasks
            ),
            rows=tuple(rows),
            notes=self.notes,
        )

    def to_dict(self, ci: bool = False) -> dict[str, object]:
        """The table as plain data; undefined values are None."""
        data: dict[str, object] = msgspec.to_builtins(self.published(ci))
        return data


def _called(board: Board) -> str:
    """What takes the place of infrared and visible in a dataset of other pairs, as a sentence; "" in all others."""
    own = board.dataset.removesuffix(f"+{board.corruption}").removeprefix(f"{board.origin.generator}-")
    known = cards("dataset").get(own)
    if known is None or known.facts.sources == SOURCES:
        return ""
    first, second = known.facts.sources
    return f" Infrared stands for {first}, visible for {second}."


def _cell(row: Row, metric_id: str, rank: float | None, ci: bool) -> Cell:
    mean, deviation = row.mean(metric_id), row.deviation(metric_id)
    bounds = row.interval(metric_id) if ci else (math.nan, math.nan)
    return Cell(
        mean=None if math.isnan(mean) else mean,
        rank=rank,
        n=row.count(metric_id),
        ci95=None if math.isnan(bounds[0]) else bounds,
        deviation=None if math.isnan(deviation) else deviation,
    )


def build(
    store: Store,
    board: Board,
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
    columns = tuple(metric(spec) for spec in (tuple(metrics) or board.metrics))
    change = metric_change({m.id for m in columns}, set(board.own_metrics))
    board = msgspec.structs.replace(board, protocol=board.protocol + change, metrics=tuple(m.id for m in columns))
    scores = BoardScores(store, board, columns, ids)
    keys = scores.chosen(entry_keys, set(entry_ids))
    pictures, notes = scores.complete(keys)
    common = scores.common(pictures, notes)
    rows = [scores.row(key, own, common) for key, own in pictures.items()]
    notes += scores.excluded(pictures)
    for m in columns:
        notes += leave_out_undefined(m, rows) + out_of_range(m, rows)
    shown = {k: scores.entries[k] for k in pictures}
    notes += kept_notes(store, board, columns, shown, lambda: scores.shown(pictures, common))
    names = {k: scores.entries[k].id for k in pictures}
    tasks = task_columns(store, board, names)
    notes += dict.fromkeys(column.note for column in tasks)
    notes += kept_task_notes(store, [row for row in current(store, board) if row[0] in names], names)
    selected = {m.id for m in columns} < set(board.own_metrics) or scores.others(keys)
    return in_order(Table(board, common, columns, tuple(rows), tuple(notes), selected, tasks))


def in_order(table: Table) -> Table:
    """The table with sources first, the others by average rank, and what is not ranked last."""
    average = table.average_ranks()
    ordered = sorted(table.rows, key=lambda r: (not r.source_only, average.get(r.id, math.inf), r.id))
    return replace(table, rows=tuple(ordered))
