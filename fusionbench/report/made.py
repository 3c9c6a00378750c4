"""What a table says of results that were kept: those of other versions or another processor, and other devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fusionbench.evaluation.protocol import Metric
from fusionbench.results.provenance import made_by
from fusionbench.results.reading import Reader
from fusionbench.results.records import Board, EntryInfo, Made, TaskResult

USUAL = "cpu in float32"  # of which nothing is said
Pictures = Mapping[str, Mapping[str, str]]  # entry key to image id to hash of the fused picture
FRESH = "`fusionbench eval --fresh-versions` computes them again"


def kept_notes(
    store: Reader,
    board: Board,
    columns: Iterable[Metric],
    entries: Mapping[str, EntryInfo],
    pictures: Callable[[], Pictures],
) -> list[str]:
    """A line for each other maker of pictures or scores, and for each device other than the processor.

    Args:
        store: the results; its latest run is what others are compared with.
        board: which dataset and split.
        columns: the metrics.
        entries: key to facts, of the table's rows.
        pictures: gives those of the table, which are many, where they are looked at.
    """
    marks: dict[str, set[str]] = {}
    for info in entries.values():
        if info.made_in != USUAL:
            marks.setdefault(f"pictures made on {info.made_in}.", set()).add(info.id)
    latest, makers = store.latest_run(), store.makers()
    present = set().union(*(store.alike(made_by(latest, tasks)) for tasks in (False, True))) if latest else set()
    if latest and makers.keys() - present:
        now = f"the latest run: {made_by(latest)}"
        pairs = store.pairs(board.dataset, board.split)
        codes, alike = {m.id: m.code for m in columns}, store.alike(made_by(latest))
        scored = store.made_by_others(codes, alike, board.dataset, board.split)
        for key, own in pictures().items():
            others = {f.made for i, f in store.fused(key, board.dataset, board.split, pairs).items() if i in own}
            others = (others - present).union(*(scored.get((image, pairs[i]), ()) for i, image in own.items()))
            for number in others:
                text = f"made with {makers.get(number, Made())} ({now}); {FRESH}."
                marks.setdefault(text, set()).add(entries[key].id)
    lines = [f"{', '.join(sorted(names))}: {text}" for text, names in sorted(marks.items())]
    return lines + _signatures(store, board, entries, makers)


def signed_rows(
    store: Reader, board: Board, entries: Mapping[str, EntryInfo], makers: Mapping[int, Made]
) -> dict[str, list[Made]]:
    """Entry id to who signed pictures of it on a board, oldest first; nothing of entries that nobody signed."""
    if not any(made.signature for made in makers.values()):
        return {}
    every = store.makers_of(board.dataset, board.split)
    rows = {}
    for key, info in entries.items():
        signed = [made for number in every.get(key, ()) if (made := makers.get(number, Made())).signature]
        if signed:
            rows[info.id] = sorted(signed, key=lambda made: (str(made.when), str(made.who), made.id))
    return rows


def _signatures(store: Reader, board: Board, entries: Mapping[str, EntryInfo], makers: Mapping[int, Made]) -> list[str]:
    marks: dict[str, set[str]] = {}
    for name, signed in signed_rows(store, board, entries, makers).items():
        marks.setdefault("; ".join(dict.fromkeys(made.signature for made in signed)), set()).add(name)
    return [f"{', '.join(sorted(names))}: by {text}." for text, names in sorted(marks.items())]


def kept_task_notes(store: Reader, results: Iterable[tuple[str, TaskResult]], names: Mapping[str, str]) -> list[str]:
    """The same of task results, given with entry keys.

    Args:
        store: the results.
        results: of the table.
        names: entry key to entry id.
    """
    latest = store.latest_run()
    marks: dict[str, set[str]] = {}
    for key, result in results if latest else ():
        present = made_by(latest, tasks=True) if latest else Made()
        what = f"{result.task} {result.network} {result.protocol}"
        if result.made.unsigned != present:
            marks.setdefault(f"{what} made with {result.made} (the latest run: {present}); {FRESH}.", set()).add(key)
        if result.training_code and result.trained_with != present:
            text = f"network of {what} trained with {result.trained_with} (the latest run: {present}); {FRESH}."
            marks.setdefault(text, set()).add(key)
    return [f"{', '.join(sorted(names[k] for k in keys))}: {text}" for text, keys in sorted(marks.items())]
