"""What a published table says of task networks: whether its columns are what the recorded results of every run make."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from fusionbench.plugins.cards import cards
from fusionbench.report.published import Provenance, PublishedTable
from fusionbench.report.task_tables import NO_RESULT, OTHER_CODE, TaskColumn, columns_of, group_of, is_given
from fusionbench.results.records import TaskResult

Results = tuple[tuple[str, TaskResult], ...]  # (entry id, result)


def recorded_results(facts: Provenance) -> Results:
    """Every result of a task network that a provenance holds.

    Raises:
        msgspec.ValidationError, ValueError: one of them is none.
    """
    return tuple((entry, msgspec.convert(one, TaskResult)) for entry, own in facts.tasks.items() for one in own)


def task_contradictions(facts: Provenance, table: PublishedTable) -> list[str]:
    """Where columns of tasks are not what the results beside them say, a line each."""
    try:
        results = recorded_results(facts)
    except ValueError as error:  # msgspec's own among them
        return [f"task results in the provenance: not checked: {error}"]
    lines = _odd(results, {row.id for row in table.rows}, table.notes)
    heads = {head.id: head for head in table.tasks}
    lines += [f"{row.id}, {n}: a task's value without a column" for row in table.rows for n in row.tasks.keys() - heads]
    if results and not heads:
        return [*lines, "task results in the provenance: not checked, the table has no column of theirs"]
    lines += [f"{name}: twice among the task columns" for name in heads if sum(h.id == name for h in table.tasks) > 1]
    columns = {column.id: column for column in columns_of(results)}
    for name, head in heads.items():
        if name.endswith(NO_RESULT):
            lines += [f"{r.id}, {name}: a value in a column without results" for r in table.rows if r.tasks.get(name)]
        elif name not in columns:
            lines.append(f"task column {name}: not checked, the provenance has no result of it")
        else:
            column = columns[name]
            said = (head.title, _in_the_singular(head.note), head.direction)
            if said != (column.title, column.note, "up" if column.up else "down"):
                lines.append(f"task column {name}: its head or note is not what its results say: {column.note}")
            lines += _values(name, column, table)
    return lines + [f"task column {name}: in the provenance, not in the table" for name in columns if name not in heads]


def _in_the_singular(note: str) -> str:
    """A note with what earlier versions wrote as ``1 seeds`` and ``1 pairs`` as it is written now."""
    return re.sub(r"(?<= )1 (seed|pair)s(?= |,)", r"1 \1", note)


def _values(name: str, column: TaskColumn, table: PublishedTable) -> list[str]:
    """Rows that have other values than the results of their runs."""
    lines = []
    for row in table.rows:
        values = tuple(None if v != v else v for v in column.values.get(row.id, ()))
        if row.tasks.get(name, ()) != values:
            lines.append(f"{row.id}, {name}: {list(row.tasks.get(name, ()))}, its results say {list(values)}")
    return lines


def _odd(results: Results, rows: set[str], notes: Sequence[str]) -> list[str]:
    """Results that stand twice, belong to no row, or are of other tests than those they stand beside.

    Other code may have scored them where a note says so, as of a table that was extended.
    """
    lines, known = [], cards("task")
    seen: set[tuple[object, ...]] = set()
    tests: dict[tuple[str, ...], tuple[object, ...]] = {}
    for entry, result in results:
        group = group_of(result)
        what = f"{entry}, {'/'.join(group)}, seed {result.seed}"
        told = any(note.startswith(" ".join(group[:3]) + OTHER_CODE) for note in notes)
        test = ("" if told else result.code, result.test_split, result.images, result.classes)
        if result.task not in known or result.network not in known[result.task].facts.networks:
            lines.append(f"{what}: not checked, no such task or network here")
        elif entry not in rows:
            lines.append(f"{what}: a result of no row of the table")
        elif (entry, *group, result.seed) in seen:
            lines.append(f"{what}: twice")
        elif result.protocol not in (("frozen",) if is_given(result) else ("retrained", "frozen")):
            lines.append(f"{what}: no such protocol")
        elif tests.setdefault(group, test) != test:
            lines.append(f"{what}: of another test than the results beside it")
        seen.add((entry, *group, result.seed))
    return lines
