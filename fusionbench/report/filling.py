"""A layout filled with what a store holds: every empty cell says why, printed values stand in lines of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.commas import listed
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.naming import fold, matches
from fusionbench.plugins.cards import cards
from fusionbench.report.beside import NOT_IN_PRINT, Column, PrintedCell, differences
from fusionbench.report.cost_table import kept
from fusionbench.report.headings import Score, dataset_of, method_of, names, score_of, share_of
from fusionbench.report.layouts import COSTS, Layout, LayoutColumn, LayoutRow
from fusionbench.report.numbers import fixed
from fusionbench.report.printed import PrintedValue
from fusionbench.report.tables import build
from fusionbench.report.task_tables import task_columns, with_interval
from fusionbench.results.records import Board, EntryInfo
from fusionbench.results.store import Store


@dataclass(frozen=True)
class Filled:
    """One cell.

    Attributes:
        text: the value; "" for an empty cell.
        value: it; NaN for an empty cell.
        why: why it is empty.
        remark: what the value is besides, such as the entry where that is not the row's method alone.
        printed: what the layout's paper prints.
        ranked: whether it may be marked as best.
    """

    text: str = ""
    value: float = math.nan
    why: str = ""
    remark: str = ""
    printed: tuple[PrintedCell, ...] = ()
    ranked: bool = True


@dataclass(frozen=True)
class FilledLayout:
    """A layout with its cells.

    Attributes:
        name: of the layout.
        layout: it.
        cells: a row each, a cell for every column.
        notes: about the data behind it.
    """

    name: str
    layout: Layout
    cells: tuple[tuple[Filled, ...], ...]
    notes: tuple[str, ...]

    def places(self) -> list[dict[int, int]]:
        """For every column: row to 1 for the best and 2 for the second of those that may be ranked."""
        every = []
        for number, column in enumerate(self.layout.columns):
            values = {n: r[number].value for n, r in enumerate(self.cells) if r[number].text and r[number].ranked}
            best = sorted(set(values.values()), reverse=column.up)[:2]
            every.append({n: best.index(v) + 1 for n, v in values.items() if v in best})
        return every


@dataclass(frozen=True)
class Filler:
    """What a store holds for layouts.

    Args:
        store: an output directory's results; None where there are none, and no boards.
        folder: that directory, where costs lie.
        boards: what was scored: of each dataset one.
        absent: dataset to why there is no board of it.
        only: ids of entries that may fill rows; all, where none is named.
        values: what papers print; none where nobody asked.
    """

    store: Store | None
    folder: Path
    boards: dict[str, Board]
    absent: dict[str, str]
    only: frozenset[str] = frozenset()
    values: Sequence[PrintedValue] = ()

    def fill(self, name: str, layout: Layout) -> FilledLayout:
        """Every cell of a layout."""
        cells = tuple(tuple(self.cell(layout, row, column) for column in layout.columns) for row in layout.rows)
        notes = [layout.note] if layout.note else []
        for dataset in dict.fromkeys(c.dataset for c in layout.columns if c.dataset in self.boards):
            board = self.boards[dataset]
            made = f"; synthetic images: {board.origin.source}" if board.origin.generator else ""
            pairs = self._pairs(board)
            of = f" of {board.expected}" if board.expected is not None else ""
            notes.append(
                f"{board.title}: {board.protocol}, split {board.split}, {counted(f'{pairs}{of}', 'pair')}{made}."
            )
            if board.origin.generator:
                beside = NOT_IN_PRINT if self.values else "generated scenes"
                notes.append(f"The columns of {dataset} are of {beside}.")
        return FilledLayout(name, layout, cells, tuple(notes))

    def cell(self, layout: Layout, row: LayoutRow, column: LayoutColumn) -> Filled:
        """One cell, with what is printed there."""
        found = self._cost(row, column) if column.score.startswith("cost/") else self._scored(row, column)
        printed = tuple(self._printed(layout, row, column))
        if not found.text:  # nothing that they could differ from
            printed = tuple(replace(p, marks=()) for p in printed)
        return replace(found, printed=printed)

    def _pairs(self, board: Board) -> int:
        return len(self.store.pairs(board.dataset, board.split)) if self.store else 0

    def _scored(self, row: LayoutRow, column: LayoutColumn) -> Filled:
        if self.store is None or column.dataset not in self.boards:
            return Filled(why=self.absent.get(column.dataset, f"no results of {column.dataset}"))
        board = self.boards[column.dataset]
        spec = spec_of(row, column.dataset)
        there = {k: e for k, e in self.store.entries(board.output).items() if fits(spec, e)}
        pairs = self.store.pairs(board.dataset, board.split)
        with_pictures = {k: e for k, e in there.items() if self.store.images(k, board.dataset, board.split, pairs)}
        chosen = {k: e for k, e in with_pictures.items() if not self.only or e.id in self.only}
        if not chosen:
            return Filled(why=_no_entry(spec, row, board))
        if len(chosen) > 1:
            ids = ", ".join(sorted(e.id for e in chosen.values()))
            return Filled(why=f"several entries on {board.dataset}: {ids}; name one with --methods")
        ((key, entry),) = chosen.items()
        if column.metric is None:
            return _task(self.store, key, entry, row, column, board)
        try:
            table = build(self.store, board, [column.metric.id], [key])
        except FusionbenchError:
            return Filled(why=f"{entry.id} was not scored with {column.metric.id} on {board.dataset}")
        mean = table.rows[0].mean(column.metric.id)
        if math.isnan(mean):
            return Filled(why=f"{column.metric.title} of {entry.id} is undefined on {board.dataset}")
        remark = f"{entry.id} on {counted(len(table.ids), 'pair')} of {board.dataset}"
        return Filled(fixed(mean, column.metric.digits), mean, remark=remark, ranked=entry.ranked)

    def _cost(self, row: LayoutRow, column: LayoutColumn) -> Filled:
        what = column.score.partition("/")[2]
        specs = {spec_of(row, dataset) for dataset in ("", *row.entries)}
        found = [c for c in kept(self.folder) if any(same_method(spec, c.entry) for spec in specs)]
        values = {c.entry: (getattr(c, what), c) for c in found if getattr(c, what) is not None}
        if not values:
            method = sorted(specs)[0].partition("[")[0]
            return Filled(why=f"not measured; fusionbench cost --methods {method}" if method else _no_method(row))
        if len({value for value, _ in values.values()}) > 1:
            return Filled(why=f"several entries: {', '.join(sorted(values))}")
        value, cost = next(iter(values.values()))
        unit, scale = COSTS[what]
        remark = f"{cost.entry}, a pair of {cost.height}x{cost.width}"
        return Filled(f"{value / scale:.4g} {unit}", float(value), remark=remark)

    def _printed(self, layout: Layout, row: LayoutRow, column: LayoutColumn) -> Iterable[PrintedCell]:
        board = self.boards.get(column.dataset)
        if board and board.origin.generator:
            return
        for value in self.values:
            if not value.source.startswith(layout.source) or fold(value.method) != fold(row.printed or row.title):
                continue
            if column.score.startswith("cost/"):
                if names().costs.get(value.metric) == column.score.partition("/")[2]:
                    yield PrintedCell(value, column.score, (), value.value)
                continue
            score = score_of(value.metric)
            if score is None or dataset_of(value.dataset) != column.dataset or not _same_score(score, column):
                continue
            if column.network and value.network and not fold(column.network).startswith(fold(value.network)):
                continue
            marks = differences(value, score, self._column(row, column, board))
            yield PrintedCell(value, column.score, marks, share_of(value, score))

    def _column(self, row: LayoutRow, column: LayoutColumn, board: Board | None) -> Column:
        """What printed values are compared with; without results any split is another."""
        images = self._pairs(board) if board else 0
        whole = board is not None and board.expected in (None, images)
        variant = column.score.partition("@")[2].partition("/")[0]
        training = column.training or row.training
        return Column(
            column.score, variant, board.split if images and board else "", images, whole, column.network, training
        )


def _task(store: Store, key: str, entry: EntryInfo, row: LayoutRow, column: LayoutColumn, board: Board) -> Filled:
    task, _, score = column.score.partition("/")
    training = column.training or row.training
    every = {c.id: c for c in task_columns(store, board, {key: entry.id}) if c.values}
    own = [i for i in every if i.startswith(f"{task}/") and i.split("/", 4)[4] == score]
    wanted = [i for i in own if i.split("/", 4)[1] == column.network and training in ("", i.split("/", 4)[2])]
    if len(wanted) != 1:
        have = ", ".join(" ".join(i.split("/", 4)[1:4]) for i in wanted or own)
        want = f"{column.network} {training or 'retrained or frozen'}"
        gap = store.task_gaps(board.dataset, board.split).get(task, "")
        if wanted:
            return Filled(why=f"several networks fill it: {have}")
        return Filled(why=f"no {want} on {board.dataset}: " + (f"measured are {have}" if have else gap or "not run"))
    values = every[wanted[0]].values[entry.id]
    mean = every[wanted[0]].mean(entry.id)
    if math.isnan(mean):
        return Filled(why=f"{score} of {entry.id} is undefined on {board.dataset}")
    network, trained, recipe = wanted[0].split("/", 4)[1:4]
    remark = f"{entry.id}: {network} {trained}, recipe {recipe}, {len(values)} seed{'s' * (len(values) > 1)}"
    return Filled(with_interval(values), mean, remark=remark, ranked=entry.ranked)


def spec_of(row: LayoutRow, dataset: str) -> str:
    """The entry that fills a row on a dataset; "" where the title names no method."""
    return row.entries.get(dataset) or row.entry or method_of(row.title)


def fits(spec: str, entry: EntryInfo) -> bool:
    """Whether an entry is meant by ``method[weights,option=value]``: it has these, whatever else it has.

    ``images[NAME]`` means pictures that a user calls so.
    """
    name, _, inside = spec.partition("[")
    if not name or name != entry.method:
        return False
    card = cards("method").get(entry.method)
    for part in filter(None, (text.strip() for text in inside.rstrip("]").split(","))):
        option, equals, value = part.partition("=")
        if equals:
            if option not in entry.options or str(entry.options[option]) != value:
                return False
        elif not matches(part, [w for w in (entry.weights.name if entry.weights else "", _label(entry, card)) if w]):
            return False
    return True


def _label(entry: EntryInfo, card: object) -> str:
    option = getattr(getattr(card, "facts", None), "label_option", "")
    return str(entry.options.get(option, "")) if option else ""


def same_method(spec: str, entry: str) -> bool:
    """Whether an entry's id is of the method of a spec."""
    return bool(spec) and spec.partition("[")[0] == entry.partition("[")[0]


def _same_score(score: Score, column: LayoutColumn) -> bool:
    if own := column.metric:
        return score.metric is not None and score.metric.name == own.card.name
    task, _, name = column.score.partition("/")
    return score.task is not None and (score.task.name, score.score.partition("@")[0]) == (task, name.partition("@")[0])


def _no_entry(spec: str, row: LayoutRow, board: Board) -> str:
    if not spec:
        return _no_method(row)
    return f"no entry {spec} on {board.dataset}" + (f"; {row.how}" if row.how else "")


def _no_method(row: LayoutRow) -> str:
    return f"no method called {row.title} here"


def boards_for(
    layout: Layout, named: Sequence[str], chosen: Sequence[Board]
) -> tuple[dict[str, Board], dict[str, str]]:
    """Which board fills the columns of each dataset.

    Args:
        layout: to fill.
        named: labels of datasets that the user names; a generated tree takes a dataset's place only so.
        chosen: boards that the user means.

    Returns:
        Dataset to its board, and to why it has none.
    """
    boards: dict[str, Board] = {}
    absent: dict[str, str] = {}
    for dataset in dict.fromkeys(column.dataset for column in layout.columns if column.dataset):
        real = [b for b in chosen if b.dataset == dataset and not b.origin.generator]
        made = [b for b in chosen if b.origin.generator and b.origin.like == dataset]
        found = [*real, *made] if named else real
        if len(found) == 1:
            boards[dataset] = found[0]
        elif found:
            have = ", ".join(f"{b.dataset} split {b.split} output {b.output}" for b in found)
            absent[dataset] = f"several results of {dataset}: {have}; choose with --datasets, --split, --output-rule"
        else:
            scenes = listed(dict.fromkeys(b.dataset for b in made))
            only = f" but on generated scenes, which stand here where --datasets names them ({scenes})" if made else ""
            absent[dataset] = f"no results of {dataset}{only}; fusionbench eval --datasets {dataset}"
    return boards, absent
