"""A committed table as it stands in its files, in the form that a table of a store has: no number is computed anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import Metric, metric
from fusionbench.report.claims import SUFFIXES, Claims, read_claims
from fusionbench.report.published import Cell, Provenance, PublishedRow, PublishedTable, read
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_claims import recorded_results
from fusionbench.report.task_tables import TaskColumn, columns_of
from fusionbench.results.records import EntryInfo, Hardware


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a provenance says of a run; older ones say less."""

    command: str = ""
    started: str = ""
    fusionbench: str = ""
    commit: str | None = None
    python: str = ""
    libraries: dict[str, str] = {}
    hardware: Hardware | None = None
    device: str = ""
    wall_seconds: float | None = None


class RecordedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """Version and code of a column."""

    version: str = ""
    code: str = ""
    options: dict[str, bool | int | float | str] = {}


class RecordedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a provenance, what the page shows besides :class:`fusionbench.report.published.Provenance`."""

    metrics: dict[str, RecordedMetric] = {}
    runs: tuple[RecordedRun, ...] = ()


@dataclass(frozen=True)
class RecordedRow(Row):
    """One row of a file: means and ranks are those that it holds; there are no per-image values."""

    cells: Mapping[str, Cell] = field(default_factory=dict)

    def count(self, metric_id: str) -> int:
        """As recorded; 0 where there is no value."""
        cell = self.cells.get(metric_id)
        return 0 if cell is None else cell.n

    def mean(self, metric_id: str) -> float:
        """As recorded; NaN where there is none."""
        cell = self.cells.get(metric_id)
        return math.nan if cell is None or cell.mean is None else cell.mean

    def deviation(self, metric_id: str) -> float:
        """As recorded; NaN where there is none."""
        cell = self.cells.get(metric_id)
        return math.nan if cell is None or cell.deviation is None else cell.deviation

    def interval(self, metric_id: str) -> tuple[float, float]:
        """As recorded; NaN where there is none."""
        cell = self.cells.get(metric_id)
        return (math.nan, math.nan) if cell is None or cell.ci95 is None else cell.ci95


@dataclass(frozen=True)
class RecordedTable(Table):
    """A table of files, with the ranks that they hold."""

    file: PublishedTable | None = field(default=None)

    def ranks(self) -> dict[str, dict[str, float]]:
        """As recorded."""
        rows = self.file.rows if self.file else ()
        return {
            m.id: {r.id: c.rank for r in rows if (c := r.scores.get(m.id)) and c.rank is not None} for m in self.metrics
        }

    def average_ranks(self) -> dict[str, float]:
        """As recorded."""
        return {r.id: r.average_rank for r in (self.file.rows if self.file else ()) if r.average_rank is not None}


@dataclass(frozen=True)
class Recorded:
    """A committed table.

    Attributes:
        stem: of its files.
        table: in the form of a store's.
        file: what the file holds.
        facts: of its provenance.
        provenance: where it comes from.
    """

    stem: str
    table: RecordedTable
    file: PublishedTable
    facts: RecordedFacts
    provenance: Provenance

    @property
    def claims(self) -> Claims:
        """What the two files claim."""
        return Claims(self.provenance, self.file)


def recorded(path: Path) -> Recorded:
    """A table by any of its files.

    Raises:
        FusionbenchError: it is not there, no table of ours, or its two files contradict each other.
    """
    claims = read_claims(path)
    stem = next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.name)
    facts = read(path.with_name(f"{stem}.provenance.json"), RecordedFacts)
    entries = claims.methods
    if strange := next((r.id for r in claims.table.rows if r.id not in entries), None):
        raise FusionbenchError(f"{path}: row {strange!r} is not in its provenance; write the table again")
    metrics, notes = _columns(claims.table)
    rows = tuple(_row(row, entries[row.id]) for row in claims.table.rows)
    table = RecordedTable(
        board=claims.facts.board,
        ids=tuple(sorted(claims.facts.pairs)),
        metrics=metrics,
        rows=rows,
        notes=(*claims.table.notes, *notes),
        selected=stem.endswith(".selected"),
        tasks=_tasks(claims.facts, claims.table, path),
        file=claims.table,
    )
    return Recorded(stem, table, claims.table, facts, claims.facts)


def _columns(table: PublishedTable) -> tuple[tuple[Metric, ...], list[str]]:
    """The columns whose metric is here, and a line for each other one."""
    found, notes = [], []
    for head in table.metrics:
        try:
            found.append(metric(head.id))
        except PluginError as error:
            notes.append(f"Column {head.title} is left out here: {error}")
    return tuple(found), notes


def _row(row: PublishedRow, info: EntryInfo) -> RecordedRow:
    info = msgspec.structs.replace(info, source_only=row.source_only, unverified=row.unverified)
    return RecordedRow(info, {}, row.scores)


def _tasks(facts: Provenance, table: PublishedTable, path: Path) -> tuple[TaskColumn, ...]:
    """Columns of tasks with the values of the table; split, images and marks as the results beside it say."""
    try:
        known = {column.id: column for column in columns_of(recorded_results(facts))}
    except ValueError as error:
        raise FusionbenchError(f"{path}: task results in its provenance: {error}") from None
    columns = []
    for head in table.tasks:
        values = {
            r.id: tuple(math.nan if v is None else v for v in r.tasks[head.id])
            for r in table.rows
            if r.tasks.get(head.id)
        }
        own = known.get(head.id)
        columns.append(
            TaskColumn(
                head.id,
                head.title,
                values,
                head.note,
                up=head.direction == "up",
                split=own.split if own else "",
                images=own.images if own else 0,
                placed=own.placed if own else False,
            )
        )
    return tuple(columns)
