"""Printed values beside a table: which of them belong to its cells, and in what their protocol is another.

They take no part in ranks and marks. A difference that is known has a letter, one that the source does not tell about
the letter with a question mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fusionbench.naming import fold, matches
from fusionbench.plugins.cards import cards
from fusionbench.report.entry_names import label_of
from fusionbench.report.headings import Score, dataset_of, method_of, score_of, share_of, variants_in
from fusionbench.report.printed import PrintedValue
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table

MARKS = {
    "v": "another variant of the metric",
    "s": "another split, or another number of images",
    "n": "another task network",
    "t": "trained otherwise (retrained on fused pictures, or frozen)",
    "i": "another input size",
    "w": "other weights or options: several entries of the method are here, and the source names none",
}
NOT_IN_PRINT = "generated scenes, of which no paper prints anything; values of real images are not set beside them"


@dataclass(frozen=True)
class Column:
    """A column of a table, as far as printed values are compared with it.

    Attributes:
        id: of the column.
        variant: of the metric, or what stands behind the @ of the score.
        network, training: of a task; "" for a metric.
        split: that it was measured on.
        images: their number.
        whole: whether they are the whole split.
    """

    id: str
    variant: str
    split: str
    images: int
    whole: bool
    network: str = ""
    training: str = ""


@dataclass(frozen=True)
class PrintedCell:
    """A printed value below a cell.

    Attributes:
        value: as it is printed.
        column: id of the column.
        marks: letters of :data:`MARKS`, with ``?`` where the source does not tell.
        scaled: the value on the column's scale.
    """

    value: PrintedValue
    column: str
    marks: tuple[str, ...]
    scaled: float

    @property
    def text(self) -> str:
        """``75.09 % (n, t?)``."""
        number = self.value.text + (" %" if self.value.unit == "percent" else "")
        return number + (f" ({', '.join(self.marks)})" if self.marks else "")


@dataclass(frozen=True)
class PrintedLine:
    """What one source prints of one entry: column id to values."""

    source: int
    cells: dict[str, tuple[PrintedCell, ...]]

    def text(self, column: str) -> str:
        """The values of a column, "" where there is none."""
        return " / ".join(dict.fromkeys(cell.text for cell in self.cells.get(column, ())))


@dataclass(frozen=True)
class Beside:
    """Printed values beside a table.

    Attributes:
        lines: entry id to its lines.
        sources: numbered from 1, each in a line.
        notes: what the marks that are used mean, and who is printed without a row here.
    """

    lines: dict[str, tuple[PrintedLine, ...]]
    sources: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self, table: Table) -> dict[str, object]:
        """As plain data; ``ours`` and ``difference`` are of the same scale as the column."""
        means = {(r.id, m.id): r.mean(m.id) for r in table.rows for m in table.metrics}
        means |= {(r.id, c.id): c.mean(r.id) for r in table.rows for c in table.tasks}
        values = [
            {
                "entry": entry,
                "column": cell.column,
                "printed": cell.value.text,
                "unit": cell.value.unit,
                "ours": means[entry, cell.column],
                "difference": means[entry, cell.column] - cell.scaled,
                "marks": list(cell.marks),
                "source": line.source,
                "second_hand": cell.value.second_hand,
                "protocol_note": cell.value.protocol_note,
            }
            for entry, lines in self.lines.items()
            for line in lines
            for cells in line.cells.values()
            for cell in cells
        ]
        return {"values": values, "sources": list(self.sources), "notes": list(self.notes), "marks": MARKS}


def beside(table: Table, values: Iterable[PrintedValue]) -> Beside:
    """The printed values that belong to cells of a table.

    Args:
        table: beside one of generated scenes nothing stands but that.
        values: of any dataset.
    """
    board = table.board
    if board.origin.generator:
        return Beside({}, (), (f"{board.title}: {NOT_IN_PRINT}.",))
    own = dataset_of(board.dataset)
    here = [v for v in values if own and dataset_of(v.dataset) == own]
    columns = _columns(table)
    sources: dict[str, tuple[int, list[PrintedValue]]] = {}
    lines: dict[str, dict[tuple[int, str], dict[str, list[PrintedCell]]]] = {}
    strangers: list[str] = []
    for value in here:
        score, rows = score_of(value.metric), _rows(value.method, table.rows)
        if score is None or not (fitting := columns.get(_key(score), [])):
            continue
        if not rows:
            strangers.append(value.method)
        for row in rows:
            title = f"{value.source}, {value.table}" if value.table not in ("", value.source) else value.source
            number, cited = sources.setdefault(title, (len(sources) + 1, []))
            cited.append(value)
            for cell in _cells(value, score, fitting, len(rows) > 1):
                line = lines.setdefault(row.id, {}).setdefault((number, value.network), {})
                line.setdefault(cell.column, []).append(cell)
    done = {
        entry: tuple(PrintedLine(n, {c: tuple(v) for c, v in cells.items()}) for (n, _), cells in sorted(own.items()))
        for entry, own in lines.items()
    }
    numbered = tuple(f"[{n}] {title}{_about(cited)}" for title, (n, cited) in sources.items())
    return Beside(done, numbered, tuple(_notes(done, strangers, board.title)))


def _columns(table: Table) -> dict[tuple[str, str], list[Column]]:
    """Metric, or task and score without its variant, to the columns that show it."""
    every: dict[tuple[str, str], list[Column]] = {}
    board, count = table.board, len(table.ids)
    for m in table.metrics:
        column = Column(m.id, m.variant, board.split, count, not table.partial)
        every.setdefault(("", m.card.name), []).append(column)
    for c in table.tasks:
        task, network, training, _, score = c.id.split("/", 4)
        if c.values:
            name, _, variant = score.partition("@")
            column = Column(c.id, variant, c.split, c.images, True, network, training)
            every.setdefault((task, name), []).append(column)
    return every


def _key(score: Score) -> tuple[str, str]:
    if score.metric:
        return "", score.metric.name
    return score.task.name if score.task else "", score.score.partition("@")[0]


def _rows(name: str, rows: Iterable[Row]) -> list[Row]:
    """The entries of a printed method: of a method of ours, or of pictures that a user calls so."""
    every = list(rows)
    if labelled := [r for r in every if (own := label_of(r.info)) and matches(name, [own])]:
        return labelled
    method = method_of(name)
    return [r for r in every if r.info.method == method and method in cards("method")]


def _cells(value: PrintedValue, score: Score, columns: list[Column], several: bool) -> list[PrintedCell]:
    """The value below each of the columns from which it differs least."""
    extra = ("w?",) if several else ()
    scaled = share_of(value, score)
    cells = [PrintedCell(value, c.id, (*differences(value, score, c), *extra), scaled) for c in columns]
    least = min(_weight(cell) for cell in cells)
    return [cell for cell in cells if _weight(cell) == least]


def _weight(cell: PrintedCell) -> tuple[int, int]:
    """Known differences count before those that nobody tells."""
    return sum(not mark.endswith("?") for mark in cell.marks), len(cell.marks)


def differences(value: PrintedValue, score: Score, column: Column) -> tuple[str, ...]:
    """In what a printed value was made otherwise than a column, as letters of :data:`MARKS`."""
    variants = variants_in(value, score)
    marks = ["v?" if not variants else "" if column.variant in variants else "v", _split(value, column)]
    if column.network:
        ours, printed = fold(column.network), fold(value.network)
        known = "" if ours == printed else "n?" if ours.startswith(printed) else "n"  # "YOLOv8" may be any size of it
        marks += [known, "t?" if not value.training else "" if value.training == column.training else "t"]
    if value.input or column.network:  # networks take resized pictures, metrics those that were saved
        marks.append("i" if value.input else "i?")
    return tuple(filter(None, marks))


def _split(value: PrintedValue, column: Column) -> str:
    if value.split and not matches(value.split, (column.split,)):
        return "s"
    if value.images is not None:
        return "" if value.images == column.images else "s"
    if not column.whole:
        return "s"
    return "" if value.split else "s?"


def _about(values: list[PrintedValue]) -> str:
    """What is known of a source besides."""
    second = "; second hand" if any(v.second_hand for v in values) else ""
    remarks = dict.fromkeys(v.protocol_note for v in values if v.protocol_note)
    return second + (f": {' | '.join(remarks)}" if remarks else "")


def _notes(lines: dict[str, tuple[PrintedLine, ...]], strangers: list[str], title: str) -> list[str]:
    if not lines and not strangers:
        return [f"No printed values of {title} under these columns."]
    used = {
        m for own in lines.values() for line in own for cells in line.cells.values() for c in cells for m in c.marks
    }
    notes = ["Printed values are others' numbers: they are not ranked, and none is marked as best."] if lines else []
    meanings = [f"{letter}: {text}" for letter, text in MARKS.items() if {letter, f"{letter}?"} & used]
    if meanings:
        untold = "; with ?: the source does not tell" if any(m.endswith("?") for m in used) else ""
        notes.append(f"Beside printed values, {'; '.join(meanings)}{untold}.")
    if strangers:
        notes.append(
            f"In print for {title}, without a row here: {', '.join(sorted(set(strangers), key=str.casefold))}."
        )
    return notes
