"""A table of a store with the rows that a published one has already: ranked anew together, and nothing is rerun.

Published rows have means, and no values of single images. So they stand beside others only where both were made of the
same: pairs, list of the split, columns and code of the metrics; and where a mean is over all of the images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Metric, metric, without_columns
from fusionbench.report.checking import PROVENANCE, published
from fusionbench.report.claims import contradictions
from fusionbench.report.extending_tasks import SHOWN, joined_results
from fusionbench.report.gaps import alike
from fusionbench.report.published import PublishedTable, read
from fusionbench.report.recorded import Recorded, recorded
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table, build, in_order
from fusionbench.report.task_tables import NO_RESULT, columns_of, shown_results
from fusionbench.results.records import Board
from fusionbench.results.store import Store

SAME = ("dataset", "split", "colour", "output", "corruption", "shards")  # of both boards
NEW = "Computed for this table: "


def extended(
    store: Store, board: Board, result: Path, metrics: Iterable[str] = (), entry_ids: Iterable[str] = ()
) -> Table:
    """The rows of a board and those of a published table, as one table.

    Args:
        store: an output directory's results.
        board: one of it.
        result: any file of the published table.
        metrics: ids of columns; by default all that the published table has.
        entry_ids: of the store, only these entries.

    Returns:
        The table, its :attr:`fusionbench.report.tables.Table.earlier` being where the published rows come from. A row
        that both have is the store's.

    Raises:
        FusionbenchError: no table of ours, one that contradicts itself, or one of other pairs, columns or code.
    """
    there = recorded(result)
    if odd := contradictions(there.claims):
        raise FusionbenchError(f"{result}: its files contradict each other: {odd[0]}")
    scored = set(store.metrics())
    columns = tuple(metrics) or tuple(m.id for m in there.table.metrics if m.id in scored)
    if not columns:
        raise FusionbenchError(f"{result}: none of its columns is scored in {store.path}")
    whole = build(store, board, columns)
    own = build(store, board, columns, entry_ids=only) if (only := tuple(entry_ids)) else whole
    replaced = {row.id for row in own.rows}
    kept = tuple(row for row in there.table.rows if row.id not in replaced)
    try:
        same = _fitting(own, whole, store, there)
        _check_counts((*own.rows, *kept), own)
    except FusionbenchError as error:
        raise FusionbenchError(f"{result}: its rows cannot stand beside those of {store.path}: {error}") from None
    names = {row.id for row in kept}
    results, odd_tasks = joined_results(shown_results(store, own.board, replaced), there, names)
    tasks = columns_of(results)
    scored_tasks = {column.id.partition("/")[0] for column in tasks}
    tasks += [c for c in own.tasks if c.id.endswith(NO_RESULT) and c.id.removesuffix(NO_RESULT) not in scored_tasks]
    heads = {column.note for column in (*there.table.tasks, *own.tasks, *tasks)}
    notes = [n for note in there.table.notes if note not in heads and (n := _of_others(note, replaced))]
    notes += [n for n in own.notes if n not in heads and not any(n.startswith(f"No row for {row}:") for row in names)]
    notes += [*(column.note for column in tasks), *odd_tasks, *_differing(own, there), *same]
    notes += _left_out(there, columns, [name for name in board.own_metrics if name in scored])
    notes += [_made_of(own, kept, result, there)] if kept else []
    made = replace(own, rows=(*own.rows, *kept), notes=tuple(dict.fromkeys(notes)), tasks=tuple(tasks), results=results)
    selected = {m.id for m in own.metrics} < set(own.board.own_metrics)
    return in_order(replace(made, selected=selected, earlier=there.claims.only(names).facts if kept else None))


def _fitting(own: Table, whole: Table, store: Store, there: Recorded) -> list[str]:
    """What to note of published rows that can stand beside a store's.

    Args:
        own: the rows that are meant.
        whole: all rows of the store.
        store: that holds them.
        there: the published table.

    Raises:
        FusionbenchError: they cannot.
    """
    if odd := [*_other_board(own.board, there), *_other_columns(own, there), *_other_pairs(own, store, there)]:
        raise FusionbenchError(odd[0])
    return _other_code(whole, there)


def _made_of(own: Table, kept: tuple[Row, ...], result: Path, there: Recorded) -> str:
    """Which rows are new, and what the others stand in."""
    digest = hashlib.sha256(result.with_name(f"{there.stem}.json").read_bytes()).hexdigest()[:12]
    others = f"the other {counted(len(kept), 'row', 'stand')}" if len(kept) > 1 else "the other row stands"
    where = f"as published in {there.stem} (SHA-256 of its .json {digest})"
    return f"{NEW}{', '.join(row.id for row in own.rows)}; {others} {where}."


def _of_others(note: str, replaced: set[str]) -> str:
    """A published note without the rows that the store's have replaced; "" where it is of these alone, or of a table
    that was extended before."""
    for row in replaced:
        if note.startswith((f"{row}: ", f"No row for {row}:", NEW)) or f" of {row} is " in note:
            return ""
        note = note.removeprefix(f"{row}, ").replace(f", {row}:", ":")
        if " is " in note:  # a metric of these rows is undefined
            note = note.replace(f" {row}, ", " ").replace(f", {row} is ", " is ")
    return note


def _left_out(there: Recorded, columns: tuple[str, ...], own: Iterable[str]) -> list[str]:
    """A line on columns that only one of both has, of the store's those of the protocol."""
    known = {m.id for m in there.table.metrics}
    sides = {
        f"of {there.stem} that are not here": [m.title for m in there.table.metrics if m.id not in columns],
        f"that {there.stem} has not": [metric(name).title for name in own if name not in known],
    }
    return [f"Columns {what}: {', '.join(titles)}." for what, titles in sides.items() if titles]


def largest(board: Board) -> Path | None:
    """Of the tables that came with the package, that of a board with the most rows; its columns may be others."""
    found = []
    for name, path in published():
        table = read(path.with_name(path.name.replace(PROVENANCE, ".json")), PublishedTable)
        if (without_columns(table.protocol), table.dataset, table.split) == (
            without_columns(board.protocol),
            board.dataset,
            board.split,
        ):
            found.append((table.protocol != board.protocol, -len(table.rows), name, path))
    return min(found)[-1] if found else None


def _other_board(board: Board, there: Recorded) -> list[str]:
    """Facts of the board that are others there, a line each."""
    other = there.provenance.board
    lines = [
        f"its {name} is {getattr(other, name) or 'none'}, here it is {getattr(board, name) or 'none'}"
        for name in SAME
        if getattr(other, name) != getattr(board, name)
    ]
    if without_columns(other.protocol) != without_columns(board.protocol):
        lines.append(f"its protocol is {other.protocol}, here it is {board.protocol}")
    if other.origin != board.origin:
        lines.append("its pairs were generated otherwise; score those that it is of")
    if other.split_sha256 != board.split_sha256:
        lines.append(f"the list of the split is {other.split_sha256[:12]} there, {board.split_sha256[:12]} here")
    return lines


def _other_columns(own: Table, there: Recorded) -> list[str]:
    """Columns that are not there, a line each."""
    known = [m.id for m in there.table.metrics]
    choose = f"choose among {', '.join(known)}"
    return [f"it has no column {m.id}; {choose}" for m in own.metrics if m.id not in known]


def _other_code(own: Table, there: Recorded) -> list[str]:
    """A note on columns that other code computed there, where rows of both show that it gives the same digits.

    Raises:
        FusionbenchError: they show nothing, or something else.
    """
    changed = [m for m in own.metrics if there.facts.metrics[m.id].code != m.code]
    theirs = {row.id: row for row in there.table.rows}
    both = [(row, theirs[row.id]) for row in own.rows if row.id in theirs]
    for m in changed:
        if sum(row.count(m.id) > 0 for row, _ in both) < SHOWN:
            here = {row.id for row, _ in both}
            such = ", ".join([r.id for r in there.table.ranked if not r.info.weights and r.id not in here][:SHOWN])
            why = f"score {SHOWN} of its entries here as well, to show that it gives the same"
            raise FusionbenchError(f"{m.title} was computed by other code there; {why}{such and f': {such}'}")
        for row, other in both:
            if not _alike(row, other, m):
                values = f"of {row.id} {other.mean(m.id)}, here {row.mean(m.id)}"
                raise FusionbenchError(f"{m.title} was computed by other code there, and is another: {values}")
    names = ", ".join(m.title for m in changed)
    told = f"computed by other code in {there.stem}, with the same digits for {', '.join(row.id for row, _ in both)}."
    return [f"{names}: {told}"] if changed else []


def _other_pairs(own: Table, store: Store, there: Recorded) -> list[str]:
    """Pairs that only one of both has, or that have other bytes, a line each."""
    pairs, theirs = store.pairs(own.board.dataset, own.board.split), there.provenance.pairs
    changed = [i for i in own.ids if i in theirs and theirs[i] != pairs[i]]
    lines = [f"{counted(len(changed), 'pair', 'have')} other bytes, e.g. {changed[0]}"] if changed else []
    missing, more = sorted(theirs.keys() - set(own.ids)), sorted(set(own.ids) - theirs.keys())
    if missing:
        of = f"of {len(theirs)} that it is of"
        lines.append(f"{counted(len(missing), 'pair', 'are')} not scored here, e.g. {missing[0]}, {of}")
    return lines + ([f"{counted(len(more), 'pair', 'are')} scored here alone, e.g. {more[0]}"] if more else [])


def _check_counts(rows: tuple[Row, ...], own: Table) -> None:
    """Every mean is over all images, or there is none: which images another row lacks is not known."""
    for m in own.metrics:
        for row in rows:
            if row.ranked and row.count(m.id) not in (0, len(own.ids)):
                count = f"{row.count(m.id)} of {len(own.ids)} images"
                raise FusionbenchError(
                    f"{m.title} of {row.id} has a value on {count}; leave the column out with --metrics"
                )


def _differing(own: Table, there: Recorded) -> list[str]:
    """Rows of both whose printed digits differ, a line each."""
    theirs = {row.id: row for row in there.table.rows}
    both = [(row, theirs[row.id]) for row in own.rows if row.id in theirs]
    off = {row.id: [m.title for m in own.metrics if not _alike(row, other, m)] for row, other in both}
    digits = f"as measured here; {there.stem} has other digits in"
    return [f"{entry}: {digits} {', '.join(titles)}." for entry, titles in off.items() if titles]


def _alike(row: Row, other: Row, m: Metric) -> bool:
    """Whether two means are the same in print."""
    here, then = (None if math.isnan(r.mean(m.id)) else r.mean(m.id) for r in (row, other))
    return alike(here, then, m.digits)
