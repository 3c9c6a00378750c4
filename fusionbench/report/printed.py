"""What papers print, as rows with their source: ``leaderboards/published.csv``, or a user's file of the same columns.

Facts that others state. They are set beside what was measured (:mod:`fusionbench.report.beside`) and never ranked with
it. A file may come from anybody: it is bounded, and a row that cannot be meant is named by its line.
"""

from __future__ import annotations

import csv
import io
import math
import re
from importlib import resources
from pathlib import Path

import msgspec

from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.runtime.files import read_regular

FILE = "published.csv"
MOST_BYTES, MOST_ROWS, MOST_LETTERS = 8 << 20, 20_000, 2_000  # of a file, in a file, in a cell
NEEDED = ("method", "dataset", "metric", "value", "source")
WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


class PrintedValue(msgspec.Struct, frozen=True, kw_only=True):
    """One number in print. What a source does not say is "".

    Attributes:
        method, dataset, metric: as they are printed.
        text: the number as it is printed, all its digits.
        value: it.
        unit: ``percent``, or "".
        variant: metric profiles or variants of the evaluator, ``|`` between those that may be meant.
        split: name of the split.
        images: their number; None where it is not said.
        network: task network.
        training: ``retrained`` on fused pictures, or ``frozen``.
        input: height and width of what networks took, ``HxW``.
        source: where it is printed.
        table: which of its tables.
        second_hand: whether it was read elsewhere than in the source.
        protocol_note: what else is known.
    """

    method: str
    dataset: str
    metric: str
    text: str
    value: float
    unit: str = ""
    variant: str = ""
    split: str = ""
    images: int | None = None
    network: str = ""
    training: str = ""
    input: str = ""
    source: str
    table: str = ""
    second_hand: bool = False
    protocol_note: str = ""


COLUMNS = tuple(f.name for f in msgspec.structs.fields(PrintedValue) if f.name != "text")


def committed(name: str) -> Path:
    """A file that came with the package."""
    return Path(str(resources.files("fusionbench.leaderboards"))) / name


def printed_values(path: Path | None = None) -> tuple[PrintedValue, ...]:
    """Every row of a file; by default those that came with the package.

    Raises:
        FusionbenchError: it cannot be read, is too large, lacks a column, or a row says what cannot be.
    """
    file = committed(FILE) if path is None else path
    try:
        text = read_regular(file, "printed values", MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise FusionbenchError(f"{file}: not there; printed values are a CSV file with {', '.join(NEEDED)}") from None
    except UnicodeDecodeError:
        raise FusionbenchError(f"{file}: not UTF-8; save the sheet as CSV in UTF-8") from None
    except OSError as error:
        raise FusionbenchError(f"{file}: cannot be read: {error.strerror or error}") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[PrintedValue] = []
    try:
        head = _head(next(lines, []), file)
        for cells in lines:
            if any(cell.strip() for cell in cells):
                rows.append(_row(cells, head, f"{file}, line {lines.line_num}"))
            if len(rows) > MOST_ROWS:
                raise FusionbenchError(f"{file}: more than {MOST_ROWS} rows; give a smaller file")
    except csv.Error as error:
        raise FusionbenchError(f"{file}, line {lines.line_num}: no CSV: {error}") from None
    return tuple(rows)


def _head(cells: list[str], file: Path) -> list[str]:
    head = [cell.strip().casefold() for cell in cells]
    for name in NEEDED:
        if name not in head:
            raise FusionbenchError(f"{file}: no column {name!r} in its first line; needed are {', '.join(NEEDED)}")
    for name in head:
        if name not in COLUMNS:
            raise FusionbenchError(f"{file}: unknown column {name!r}; {did_you_mean(name, COLUMNS)}")
        if head.count(name) > 1:
            raise FusionbenchError(f"{file}: two columns {name!r}; remove one")
    return head


def _row(cells: list[str], head: list[str], where: str) -> PrintedValue:
    if len(cells) != len(head):
        raise FusionbenchError(f"{where}: {len(cells)} cells under {len(head)} columns; quote cells that hold a comma")
    if any(len(cell) > MOST_LETTERS for cell in cells):
        raise FusionbenchError(f"{where}: a cell of more than {MOST_LETTERS} letters; shorten it")
    facts = {name: " ".join(cell.split()) for name, cell in zip(head, cells, strict=True)}
    for name in ("method", "metric", "source"):
        if not facts[name]:
            raise FusionbenchError(f"{where}: no {name}; a number needs one")
    unit, training = facts.get("unit", "").casefold(), facts.get("training", "").casefold()
    unit = "percent" if unit == "%" else unit
    if unit not in ("", "percent"):
        raise FusionbenchError(f"{where}: unit {facts['unit']!r} is neither percent nor empty")
    if training not in ("", "retrained", "frozen"):
        raise FusionbenchError(f"{where}: training {facts['training']!r} is neither retrained, frozen nor empty")
    if (second := facts.get("second_hand", "").casefold()) not in WORDS:
        raise FusionbenchError(f"{where}: second_hand {facts['second_hand']!r} is neither yes nor no")
    return PrintedValue(
        method=facts["method"],
        dataset="" if facts["dataset"] == "-" else facts["dataset"],
        metric=facts["metric"],
        text=facts["value"],
        value=number(facts["value"], where),
        unit=unit,
        variant=facts.get("variant", ""),
        split=facts.get("split", ""),
        images=_count(facts.get("images", ""), where),
        network=facts.get("network", ""),
        training=training,
        input=_size(facts.get("input", ""), where),
        source=facts["source"],
        table=facts.get("table", ""),
        second_hand=WORDS[second],
        protocol_note=facts.get("protocol_note", ""),
    )


def number(text: str, where: str) -> float:
    """A number as papers print it.

    Raises:
        FusionbenchError: it is none, or not finite.
    """
    try:
        value = float(text) if len(text) <= 40 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FusionbenchError(f"{where}: {text[:40]!r} is no number; write 0.97, without a unit")
    return value


def _count(text: str, where: str) -> int | None:
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise FusionbenchError(f"{where}: images {text!r} is no whole number")
    return int(text) if text else None


def _size(text: str, where: str) -> str:
    if text and not re.fullmatch(r"[0-9]{1,6}[x×][0-9]{1,6}", text):
        raise FusionbenchError(f"{where}: input {text!r} is not HxW, e.g. 480x640")
    return text.replace("×", "x")
