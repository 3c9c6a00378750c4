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
from fusionbench.evaluation.protocol import Metric
from fusionbench.report.checking import PROVENANCE, published
from fusionbench.report.claims import contradictions, read_claims
from fusionbench.report.extending_tasks import SHOWN, joined_results
from fusionbench.report.gaps import alike
from fusionbench.report.published import PublishedTable, read
from fusionbench.report.recorded import Recorded, recorded
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table, build, in_order
from fusionbench.report.task_tables import NO_RESULT, columns_of, shown_results
from fusionbench.results.records import Board
from fusionbench.results.store import Store

SAME = ("dataset", "split", "colour", "output", "origin", "corruption", "shards")  # of both boards


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
    there, claims = recorded(result), read_claims(result)
    if odd := contradictions(claims):
        raise FusionbenchError(f"{result}: its files contradict each other: {odd[0]}")
    own = build(store, board, tuple(metrics) or tuple(m.id for m in there.table.metrics), entry_ids=entry_ids)
    odd = [*_other_board(own.board, there), *_other_metrics(own, there), *_other_pairs(own, store, there)]
    unfit = f"{result}: its rows cannot stand beside those of {store.path}"
    if odd:
        raise FusionbenchError(f"{unfit}: {odd[0]}")
    try:
        same = _other_code(own, there)
    except FusionbenchError as error:
        raise FusionbenchError(f"{unfit}: {error}") from None
    kept = tuple(row for row in there.table.rows if row.id not in {r.id for r in own.rows})
    _check_counts((*own.rows, *kept), own, result)
    names = {row.id for row in kept}
    here = shown_results(store, own.board, {row.id for row in own.rows})
    results, odd_tasks = joined_results(here, there, names)
    tasks = columns_of(results)
    tasks += [c for c in own.tasks if c.id.endswith(NO_RESULT) and not any(t.id.startswith(c.id[:-7]) for t in tasks)]
    heads = {column.note for column in (*there.table.tasks, *own.tasks, *tasks)}
    rows = {row.id for row in (*own.rows, *kept)}
    notes = [n for n in (*there.file.notes, *own.notes) if n not in heads and not _has_row(n, rows)]
    notes += [*(column.note for column in tasks), *odd_tasks, *_differing(own, there), *same]
    if kept:
        digest = hashlib.sha256(result.with_name(f"{there.stem}.json").read_bytes()).hexdigest()[:12]
        others = f"the other {counted(len(kept), 'row', 'stand')}" if len(kept) > 1 else "the other row stands"
        notes.append(
            f"Computed for this table: {', '.join(row.id for row in own.rows)}; {others} as published in {there.stem} "
            f"(SHA-256 of its .json {digest})."
        )
    selected = {m.id for m in own.metrics} < set(own.board.own_metrics)
    made = replace(own, rows=(*own.rows, *kept), notes=tuple(dict.fromkeys(notes)), selected=selected)
    return in_order(replace(made, tasks=tuple(tasks), results=results, earlier=claims.only(names).facts))


def largest(board: Board) -> Path | None:
    """Of the tables that came with the package, that of a board with the most rows."""
    found = []
    for name, path in published():
        table = read(path.with_name(path.name.replace(PROVENANCE, ".json")), PublishedTable)
        if (table.protocol, table.dataset, table.split) == (board.protocol, board.dataset, board.split):
            found.append((-len(table.rows), name, path))
    return min(found)[-1] if found else None


def _other_board(board: Board, there: Recorded) -> list[str]:
    """Facts of the board that are others there, a line each."""
    other = there.provenance.board
    lines = [
        f"its {name} is {getattr(other, name)!r}, here it is {getattr(board, name)!r}"
        for name in SAME
        if getattr(other, name) != getattr(board, name)
    ]
    if other.split_sha256 != board.split_sha256:
        lines.append(f"the list of the split is {other.split_sha256[:12]} there, {board.split_sha256[:12]} here")
    return lines


def _other_metrics(own: Table, there: Recorded) -> list[str]:
    """Columns that are not there, or of other code, a line each."""
    lines = []
    for m in own.metrics:
        then = there.facts.metrics.get(m.id)
        if then is None or m.id not in {known.id for known in there.table.metrics}:
            lines.append(f"it has no column {m.id}; choose among {', '.join(k.id for k in there.table.metrics)}")
    return lines


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
            such = ", ".join([row.id for row in there.table.ranked if not row.info.weights][:SHOWN])
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


def _check_counts(rows: tuple[Row, ...], own: Table, result: Path) -> None:
    """Every mean is over all images, or there is none: which images another row lacks is not known."""
    for m in own.metrics:
        for row in rows:
            if row.ranked and row.count(m.id) not in (0, len(own.ids)):
                raise FusionbenchError(
                    f"{result}: {m.title} of {row.id} has a value on {row.count(m.id)} of {len(own.ids)} images, so "
                    "that means of published rows cannot stand beside it; leave the column out with --metrics"
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


def _has_row(note: str, rows: set[str]) -> bool:
    """Whether a note says that there is no row for an entry, of which there is one now."""
    return any(note.startswith(f"No row for {row}:") for row in rows)
