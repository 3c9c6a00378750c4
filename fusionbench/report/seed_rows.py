"""Seeds of one method as one row: the mean over them, with their standard deviation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn

SEED = re.compile(r"(?<=, )seed \d+(?=,|$)")  # in what `train` says of its weights
IN_NAME = re.compile(r"[-_.]?seed\d+")
NOTE = (
    "Rows of several seeds are networks trained alike but for the seed: mean ± standard deviation over seeds of the "
    "means over images; columns of tasks take one mean a seed."
)


@dataclass(frozen=True)
class SeedRow(Row):
    """Several seeds; the values are means over them, image by image.

    Attributes:
        seeds: their rows, by seed.
    """

    seeds: tuple[Row, ...] = ()

    def mean(self, metric_id: str) -> float:
        """Mean over the seeds of their means, NaN where one has none."""
        return float(np.mean([row.mean(metric_id) for row in self.seeds]))

    def deviation(self, metric_id: str) -> float:
        """Standard deviation of the seeds' means, with one degree of freedom less than seeds."""
        return float(np.std([row.mean(metric_id) for row in self.seeds], ddof=1))


def joined(table: Table) -> Table:
    """The table with seeds joined: rows of one method, its options alike, whose weights differ by the seed alone.

    Two weights do so where what they were trained on is the same text but for ``, seed N``, as ``train`` writes it.
    """
    groups: dict[object, list[Row]] = {}
    for row in table.rows:
        weights = row.info.weights
        alike = SEED.sub("seed", weights.trained_on) if weights and SEED.search(weights.trained_on) else None
        facts = (row.info.method, row.info.made_in, row.info.output_rule, msgspec.json.encode(row.info.options), alike)
        groups.setdefault(row.id if alike is None else facts, []).append(row)
    taken = {row.id for row in table.rows}
    rows: list[Row] = []
    for own in groups.values():
        rows.append(own[0] if len(own) == 1 else _row(sorted(own, key=_seed), taken))
        taken.add(rows[-1].id)
    if not any(isinstance(row, SeedRow) for row in rows):
        return table
    tasks = tuple(_column(column, rows) for column in table.tasks)
    result = replace(table, rows=tuple(rows), tasks=tasks, notes=(*table.notes, NOTE))
    average = result.average_ranks()
    ordered = sorted(rows, key=lambda row: (not row.source_only, average.get(row.id, math.inf), row.id))
    return replace(result, rows=tuple(ordered))


def _seed(row: Row) -> int:
    """The seed that its weights were trained with."""
    found = SEED.search(row.info.weights.trained_on) if row.info.weights else None
    return int(found[0].removeprefix("seed ")) if found else 0


def _row(own: Sequence[Row], taken: set[str]) -> SeedRow:
    """The row of several seeds, named after what their weights' names share."""
    names = [row.info.weights.name for row in own if row.info.weights]
    shared = {IN_NAME.sub("", name) for name in names}
    name = shared.pop() if len(shared) == 1 else "+".join(names)
    first = own[0].info
    label = f"{name}, {len(own)} seeds" if name else f"{len(own)} seeds"
    ident = first.id.replace(f"[{names[0]}", f"[{label}", 1)
    if ident in taken:
        ident = first.id.replace(f"[{names[0]}", f"[{'+'.join(names)}", 1)
    values = {m: np.mean([row.values[m] for row in own], axis=0) for m in own[0].values}
    return SeedRow(msgspec.structs.replace(first, id=ident), values, tuple(own))


def _column(column: TaskColumn, rows: Sequence[Row]) -> TaskColumn:
    """A column of a task with one value a seed of the method in the rows that are joined."""
    values = dict(column.values)
    for row in rows:
        if isinstance(row, SeedRow) and any(seed.id in values for seed in row.seeds):
            values[row.id] = tuple(column.mean(seed.id) for seed in row.seeds)
    return replace(column, values=values)
