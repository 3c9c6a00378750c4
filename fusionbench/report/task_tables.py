"""Task results as table columns, and as tables of their own: every score, by condition, by class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusionbench.counting import counted
from fusionbench.plugins.cards import TaskCard, cards
from fusionbench.report.markup import escape_markdown
from fusionbench.report.numbers import fixed, places
from fusionbench.report.task_intervals import FEWEST, RESAMPLES, intervals
from fusionbench.results.records import Board, TaskResult
from fusionbench.results.store import Store

Group = tuple[str, str, str, str]  # task, network, protocol, recipe: what stands in one column
DIGITS = 4  # of scores in tables
NO_RESULT = "/-/-/-/-"  # behind the task in the id of a column without results
OTHER_CODE = ": scored by other code"  # in a note, behind task, network and protocol


@dataclass(frozen=True)
class TaskColumn:
    """One score of one network under one protocol.

    Attributes:
        id: ``task/network/protocol/recipe/score``.
        title: for the head of a table.
        values: entry id to one value per seed, sorted by seed.
        note: what the column is, in a line; for an empty column why it is empty.
        up: whether a larger value is better.
        split: that the network is tested on; "" for an empty column.
        images: their number.
        placed: whether the best are marked.
    """

    id: str
    title: str
    values: Mapping[str, tuple[float, ...]]
    note: str
    up: bool = True
    split: str = ""
    images: int = 0
    placed: bool = True

    def defined(self, entry: str) -> list[float]:
        """The values of the seeds that have one."""
        return [v for v in self.values.get(entry, ()) if not math.isnan(v)]

    def mean(self, entry: str) -> float:
        """Mean over the seeds; NaN without any."""
        values = self.defined(entry)
        return float(np.mean(values)) if values else math.nan

    def half(self, entry: str) -> float:
        """Half of the 95 % interval of the mean over seeds, by Student's t; NaN with fewer than two."""
        return half_interval(self.defined(entry))

    def text(self, entry: str) -> str:
        """``0.4123 ± 0.0210``, or a dash."""
        return with_interval(self.values.get(entry, ()))

    def places(self, ranked: set[str]) -> dict[str, int]:
        """1 for the best and 2 for the second among these entries; what is printed alike shares a place."""
        return places({e: self.mean(e) for e in self.values if e in ranked}, DIGITS, self.up) if self.placed else {}


def half_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean by Student's t; NaN with fewer than two values."""
    if len(values) < 2:
        return math.nan
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def with_interval(values: Iterable[float | None], digits: int = DIGITS) -> str:
    """Mean and interval as text, a dash without any value."""
    defined = [v for v in values if v is not None and not math.isnan(v)]
    if not defined:
        return "–"
    half = half_interval(defined)
    return fixed(float(np.mean(defined)), digits) + ("" if math.isnan(half) else f" ± {fixed(half, digits)}")


def task_columns(store: Store, board: Board, ids: Mapping[str, str]) -> tuple[TaskColumn, ...]:
    """The main scores of all tasks of a board, and an empty column for each task that could not be scored.

    Args:
        store: the results.
        board: which dataset and split.
        ids: entry key to entry id of the table's rows.
    """
    shown = [(ids[key], result) for key, result in current(store, board) if key in ids]
    columns = columns_of(shown)
    known = cards("task")
    for task, reason in store.task_gaps(board.dataset, board.split).items():
        if task in known and not any(c.id.startswith(f"{task}/") for c in columns):
            title = known[task].facts.columns[0][1]
            columns.append(TaskColumn(task + NO_RESULT, title, {}, f"{title} is empty: {reason}"))
    return tuple(columns)


def columns_of(rows: Iterable[tuple[str, TaskResult]]) -> list[TaskColumn]:
    """The columns that results make, without the empty ones.

    Args:
        rows: (entry id, result); those of one network differ in entry and seed only.
    """
    known = cards("task")
    groups: dict[Group, dict[str, list[TaskResult]]] = {}
    for entry, result in sorted(rows, key=lambda row: (*group_of(row[1]), row[1].seed)):
        if result.task in known:
            groups.setdefault(group_of(result), {}).setdefault(entry, []).append(result)
    columns = []
    for (task, network, protocol, recipe), own in groups.items():
        every = [r for results in own.values() for r in results]
        note, split, images = _note(f"{task} {network} {protocol}", every), every[0].test_split, every[0].images
        elsewhere = _elsewhere(recipe)
        where = f", {split}" if elsewhere else ""
        few = (is_given(every[0]) or is_folded(every[0])) and images < FEWEST
        for score, title in known[task].facts.columns:
            values = {entry: tuple(_value(r, score) for r in results) for entry, results in own.items()}
            ident = f"{task}/{network}/{protocol}/{recipe}/{score}"
            column = TaskColumn(ident, f"{title} {network} {protocol}{where}", values, note)
            up = score not in known[task].facts.lower
            columns.append(replace(column, up=up, placed=not few, split=split, images=images))
    return columns


def current(store: Store, board: Board) -> list[tuple[str, TaskResult]]:
    """(entry key, result) that may stand side by side: of each network those of the newest code and images; of a frozen
    one, those of the very network."""
    rows = store.tasks(board.dataset, board.split)
    newest = {group_of(result): _tested(result) for _, result in rows}
    frozen = {(group_of(result), result.seed): result.weights for _, result in rows if result.protocol == "frozen"}
    comparable = [
        (key, result)
        for key, result in rows
        if _tested(result) == newest[group_of(result)]
        and frozen.get((group_of(result), result.seed), result.weights) == result.weights
    ]
    return sorted(comparable, key=lambda row: (*group_of(row[1]), row[1].seed))


def shown_results(store: Store, board: Board, rows: Collection[str]) -> tuple[tuple[str, TaskResult], ...]:
    """(entry id, result) of a store, of the entries that a table shows."""
    ids = {key: entry.id for key, entry in store.entries(board.output).items() if entry.id in rows}
    return tuple((ids[key], result) for key, result in current(store, board) if key in ids)


def group_of(result: TaskResult) -> Group:
    """What stands in one column."""
    return result.task, result.network, result.protocol, result.recipe


def is_given(result: TaskResult) -> bool:
    """Whether the network was given by the user; the recipe is ``given`` in results of 0.1.0, later with a hash."""
    return result.recipe.partition("-")[0] == "given"


def is_folded(result: TaskResult) -> bool:
    """Whether each pair was tested by a network that learned from the other folds of the table's own split."""
    return "+folds=" in result.recipe and not is_given(result)


def _elsewhere(recipe: str) -> bool:
    """Whether a recipe is that of given networks of others, which may be tested on several splits."""
    return recipe.startswith("given-") and "+" in recipe


def _tested(result: TaskResult) -> tuple[str, str, int]:
    return result.code, result.test_split, result.images


def _value(result: TaskResult, score: str) -> float:
    value = result.scores["all"].get(score)
    return math.nan if value is None else value


def _note(title: str, results: Sequence[TaskResult]) -> str:
    """What the results of one group are, in a line."""
    first, seeds = results[0], len({r.seed for r in results})
    trained = sorted({r.trained_on for r in results})
    images = f"{counted(first.images, 'pair')} of {first.test_split}"
    over = "mean ± half of the 95 % interval over {} (Student's t); not in the average rank."
    if is_given(first):
        given = "a network" if seeds == 1 else f"{seeds} networks"
        spread = over.format("them") if seeds > 1 else "not in the average rank."
        return f"{title}: {given} given by the user, trained on {'; '.join(trained)}; tested on {images}; {spread}"
    if is_folded(first) and seeds == 1:
        over = "not in the average rank."
    data = trained[0] if len(trained) == 1 else "each entry's own pictures of the training split"
    return (
        f"{title}: recipe {first.recipe}, {counted(seeds, 'seed')}, network trained on {data}, tested on {images}; "
        f"{over.format('seeds')}"
    )


def pages(results: Iterable[tuple[str, TaskResult]], board: Board, order: Sequence[str]) -> dict[str, str]:
    """Markdown of every task of a board, by task: all scores, by condition, by class.

    Args:
        results: with entry ids.
        board: which dataset and split.
        order: entry ids, as rows stand.
    """
    known = cards("task")
    by_task: dict[str, list[tuple[str, TaskResult]]] = {}
    for entry, result in sorted(results, key=lambda row: (*group_of(row[1]), row[1].seed)):
        by_task.setdefault(result.task, []).append((entry, result))
    return {
        task: _page(known[task], board, sorted(rows, key=lambda row: order.index(row[0])))
        for task, rows in sorted(by_task.items())
        if task in known
    }


def _page(card: TaskCard, board: Board, rows: Sequence[tuple[str, TaskResult]]) -> str:
    lines = [f"# {card.title} on {board.title}, split {board.split}", ""]
    if board.origin.generator:
        lines += [f"Synthetic images: {board.origin.generator}, seed {board.origin.seed}.", ""]
    for group in sorted({group_of(result) for _, result in rows}):
        own: dict[str, list[TaskResult]] = {}
        for entry, result in rows:
            if group_of(result) == group:
                own.setdefault(entry, []).append(result)
        lines += _section(card, group, own)
    return "\n".join(lines)


def _section(card: TaskCard, group: Group, rows: Mapping[str, Sequence[TaskResult]]) -> list[str]:
    """One network under one protocol: main scores by condition, every score, main score by class."""
    _, network, protocol, recipe = group
    results = [r for own in rows.values() for r in own]
    note = _note(f"{card.name} {network} {protocol}", results)
    conditions = sorted({c for r in results for c in r.scores}, key=lambda c: (c != "all", c))
    columns = [(score, condition) for score, _ in card.facts.columns for condition in conditions]
    cells = {e: [_cell(own, score, condition) for score, condition in columns] for e, own in rows.items()}
    lines = [f"## {network}, {protocol}, recipe {recipe}", "", note, ""]
    lines += _table("Entry", [f"{score} {condition}" for score, condition in columns], cells)
    lines += _over_images(card, rows)
    lines += ["Every score, all conditions:", ""]
    every = {score: [_cell(own, score, "all") for own in rows.values()] for score in results[0].scores["all"]}
    lines += _table("Score", list(rows), every)
    if results[0].per_class.get("all"):
        lines += [f"By class, all conditions ({card.facts.columns[0][1]}, class by class):", ""]
        by_class = {
            name: [with_interval([r.per_class.get("all", {}).get(name) for r in own], 3) for own in rows.values()]
            for name in results[0].classes
        }
        lines += _table("Class", list(rows), by_class)
    return lines


def _over_images(card: TaskCard, rows: Mapping[str, Sequence[TaskResult]]) -> list[str]:
    """The main score with its interval over images, of networks that were trained once."""
    cells = intervals({entry: own[0] for entry, own in rows.items() if len(own) == 1})
    if not cells:
        return []
    heads = list(dict.fromkeys(head for own in cells.values() for head in own))
    what = (
        f"{card.facts.columns[0][1]} with its 95 % interval over images ({RESAMPLES:,} resamples; none below {FEWEST})"
    )
    table = {entry: [own.get(head, "–") for head in heads] for entry, own in cells.items()}
    return [f"{what}, by condition (images) and by class:", "", *_table("Entry", heads, table)]


def _cell(results: Sequence[TaskResult], score: str, condition: str) -> str:
    return with_interval([r.scores.get(condition, {}).get(score) for r in results])


def _table(corner: str, head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join([corner, *map(escape_markdown, head)]) + " |",
        "|---" + "|---:" * len(head) + "|",
        *("| " + " | ".join([escape_markdown(name), *cells]) + " |" for name, cells in rows.items()),
        "",
    ]
