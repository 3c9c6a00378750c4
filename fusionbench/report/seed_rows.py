"""Seeds of one method as one row: the mean over them, with their standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from fusionbench.report.rows import Row
from fusionbench.report.seeds import is_joint, seed_groups, without_count
from fusionbench.report.tables import Table, in_order
from fusionbench.report.task_tables import TaskColumn

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
    """The table with seeds joined, see :func:`fusionbench.report.seeds.seed_groups`."""
    groups = seed_groups(row.info for row in table.rows)
    if not groups:
        return table
    alone = {row.id: row for row in table.rows}
    joint = [_row(name, [alone.pop(i) for i in ids]) for name, ids in groups.items()]
    rows = [*alone.values(), *joint]
    tasks = tuple(_column(column, rows) for column in table.tasks)
    return in_order(replace(table, rows=tuple(rows), tasks=tasks, notes=(*table.notes, NOTE)))


def with_joint(table: Table, asked: Sequence[str]) -> tuple[Table, tuple[str, ...]]:
    """The table with the joint rows that are named beside the rows of the single seeds.

    Args:
        table: with a row a seed.
        asked: entries, or names of joint rows, whose number of seeds may be that of another table.

    Returns:
        It, and the ids of the rows that are meant.
    """
    if not any(map(is_joint, asked)):
        return table, tuple(asked)
    rows = {row.id: row for row in (*table.rows, *joined(table).rows)}
    joint = {without_count(ident): ident for ident, row in rows.items() if isinstance(row, SeedRow)}
    ids = tuple(joint.get(without_count(name), name) if is_joint(name) else name for name in asked)
    return replace(table, rows=tuple(rows.values())), ids


def _row(name: str, own: Sequence[Row]) -> SeedRow:
    """The row of several seeds."""
    values = {m: np.mean([row.values[m] for row in own], axis=0) for m in own[0].values}
    return SeedRow(msgspec.structs.replace(own[0].info, id=name), values, tuple(own))


def _column(column: TaskColumn, rows: Sequence[Row]) -> TaskColumn:
    """A column of a task with one value a seed of the method in the rows that are joined."""
    values = dict(column.values)
    for row in rows:
        if isinstance(row, SeedRow) and any(seed.id in values for seed in row.seeds):
            values[row.id] = tuple(column.mean(seed.id) for seed in row.seeds)
    return replace(column, values=values)
