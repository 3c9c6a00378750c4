"""Scores as they lie in a results file: one row for a picture of a pair, all its numbers in one blob.

A row for every number takes three gigabytes and half a minute for six million of them; packed they take a hundred
megabytes and a second.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

RECORD = struct.Struct("<Idq")  # number of the variant, value (NaN where it is undefined), who made it
RECORDS = np.dtype([("variant", "<u4"), ("value", "<f8"), ("made", "<i8")])
MOST = 1 << 32  # variants
BATCH = 50_000  # rows at a time, for memory
Picture = tuple[str, str]  # hash of the picture, hash of the pair
Value = tuple[str, str, str, str, float | None, int]  # image, pair, metric, code, value, who made it
MOST_MADE = 1 << 63


@dataclass(frozen=True)
class ScoreTable:
    """Scores of some metrics.

    Attributes:
        rows: (hash of the picture, hash of the pair) to its row.
        values: ``[pictures, metrics]``, NaN where a value is undefined or missing.
        present: which of them are stored.
        made: who made them, see :class:`fusionbench.results.schema.MakerRow`.
    """

    rows: Mapping[Picture, int]
    values: NDArray[np.float64]
    present: NDArray[np.bool_]
    made: NDArray[np.int64]

    def one_by_one(self, names: Iterable[str], made: set[int] | None = None) -> dict[tuple[str, str, str], float]:
        """(image hash, pair hash, name of the column) to value; `made`: only what these computed."""
        columns = list(enumerate(names))
        meant = self.present if made is None else self.present & np.isin(self.made, list(made))
        cells = ((key, self.values[row].tolist(), meant[row]) for key, row in self.rows.items())
        return {(*key, name): values[c] for key, values, present in cells for c, name in columns if present[c]}


def pack(values: Mapping[int, tuple[float, int]]) -> bytes:
    """Values and who made them, by the number of their variant, as they are stored."""
    return b"".join(RECORD.pack(number, *values[number]) for number in sorted(values))


def unpack(packed: bytes) -> dict[int, tuple[float, int]]:
    """The opposite of :func:`pack`.

    Raises:
        sqlite3.DatabaseError: these are no packed values.
    """
    if len(packed) % RECORD.size:
        raise _malformed()
    return {number: (value, made) for number, value, made in RECORD.iter_unpack(packed)}


def read(rows: Sequence[tuple[str, str, bytes]], variants: Sequence[int], wanted: Sequence[int | None]) -> ScoreTable:
    """Scores by picture and column.

    Args:
        rows: of the table ``scores``.
        variants: numbers of all variants that the file knows.
        wanted: the number of each column; None for one that the file does not know.

    Raises:
        sqlite3.DatabaseError: a row is damaged.
    """
    sizes = np.fromiter((len(row[2]) for row in rows), np.int64, len(rows))
    if (sizes % RECORD.size).any():
        raise _malformed()
    records = np.frombuffer(b"".join(row[2] for row in rows), RECORDS)
    index = {(image, pair): number for number, (image, pair, _) in enumerate(rows)}
    values = np.full((len(rows), len(wanted)), math.nan)
    present, made = np.zeros(values.shape, dtype=bool), np.zeros(values.shape, dtype=np.int64)
    found = ScoreTable(index, values, present, made)
    if len(rows) and (sizes == sizes[0]).all():
        table = records.reshape(len(rows), -1)
        if (table["variant"] == table["variant"][0]).all():  # the usual case is quicker: all have the same metrics
            place, column = _columns(table["variant"][0], variants, wanted)
            values[:, column], made[:, column] = table["value"][:, place], table["made"][:, place]
            present[:, column] = True
            return found
    place, column = _columns(records["variant"], variants, wanted)
    row = np.repeat(np.arange(len(rows)), sizes // RECORD.size)[place]
    values[row, column], made[row, column] = records["value"][place], records["made"][place]
    present[row, column] = True
    return found


def _columns(
    found: NDArray[np.uint32], variants: Sequence[int], wanted: Sequence[int | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the variants of some values, which are wanted: their places there, and their columns."""
    known = np.sort(np.array([*variants, MOST], dtype=np.int64))  # the last stands for whatever is larger
    place = np.searchsorted(known, found.astype(np.int64))
    if (known[place] != found).any():
        raise _malformed()
    column = np.full(known.size, -1, dtype=np.int64)
    for number, variant in enumerate(wanted):
        if variant is not None:
            column[np.searchsorted(known, variant)] = number
    column = column[place]
    keep = np.flatnonzero(column >= 0)
    return keep, column[keep]


def every(rows: Iterable[tuple[str, str, bytes]], variants: Mapping[int, tuple[str, str]]) -> Iterator[Value]:
    """All scores one by one; ``variants`` is number to (metric, code).

    Raises:
        sqlite3.DatabaseError: a row is damaged.
    """
    for image, pair, packed in rows:
        for number, (value, made) in unpack(packed).items():
            if number not in variants:
                raise _malformed()
            yield image, pair, *variants[number], None if math.isnan(value) else value, made


def check(rows: Sequence[tuple[str, str, bytes]], variants: Iterable[int]) -> None:
    """Look at the scores of a file without taking them out.

    Raises:
        sqlite3.DatabaseError: a row is damaged, or of a variant that is none of these.
    """
    if any(len(row[2]) % RECORD.size for row in rows):
        raise _malformed()
    known = np.array([*variants, MOST], dtype=np.int64)
    for start in range(0, len(rows), BATCH):
        found = np.frombuffer(b"".join(row[2] for row in rows[start : start + BATCH]), RECORDS)["variant"]
        if not np.isin(found, known).all():
            raise _malformed()


class Adder:
    """Adds another file's packed scores to this one; what is here stays.

    Args:
        db: this file.
        variants: number to (metric, code), in the other.

    Attributes:
        added: how many scores were new.
        differing: (image, pair, metric, code), the other's value and ours, where they are not the same.
    """

    def __init__(self, db: sqlite3.Connection, variants: Mapping[int, tuple[str, str]]) -> None:
        self.db, self.variants = db, variants
        self.numbers: dict[int, int] = {}  # of the other to ours
        self.added = 0
        self.differing: list[tuple[tuple[str, str, str, str], float, float]] = []

    def add(self, image: str, pair: str, packed: bytes) -> None:
        """The scores of one picture of a pair.

        Raises:
            sqlite3.DatabaseError: what is here is damaged.
        """
        there = self.db.execute("SELECT packed FROM scores WHERE image=? AND pair=?", (image, pair)).fetchone()
        known = unpack(there[0]) if there else {}
        new = {}
        for number, value in unpack(packed).items():
            own = self.numbers.get(number)
            if own is None:
                own = self.numbers[number] = _number(self.db, *self.variants[number])
            if own not in known:
                new[own] = value
            elif known[own][0] != value[0] and not (math.isnan(known[own][0]) and math.isnan(value[0])):
                self.differing.append(((image, pair, *self.variants[number]), value[0], known[own][0]))
        self.added += len(new)
        if there and new:
            self.db.execute("UPDATE scores SET packed=? WHERE image=? AND pair=?", (pack(known | new), image, pair))
        elif new:
            self.db.execute("INSERT INTO scores VALUES(?,?,?)", (image, pair, pack(new)))


def write(db: sqlite3.Connection, scores: Iterable[Value]) -> None:
    """Add scores, instead of older ones of the same picture, pair, metric and code.

    Raises:
        sqlite3.DatabaseError: what is there is damaged, or a value is no number.
    """
    numbers: dict[tuple[str, str], int] = {}
    pictures: dict[Picture, dict[int, tuple[float, int]]] = {}
    for image, pair, metric, code, value, made in scores:
        if (metric, code) not in numbers:
            numbers[metric, code] = _number(db, metric, code)
        if not isinstance(value, float | int | None) or not isinstance(made, int) or abs(made) >= MOST_MADE:
            raise _malformed()
        own = pictures.setdefault((image, pair), {})
        own[numbers[metric, code]] = (math.nan if value is None else float(value), made)
    for picture, values in pictures.items():
        there = db.execute("SELECT packed FROM scores WHERE image=? AND pair=?", picture).fetchone()
        known = unpack(there[0]) if there else {}
        db.execute(
            "INSERT INTO scores VALUES(?,?,?) ON CONFLICT(image, pair) DO UPDATE SET packed=excluded.packed",
            (*picture, pack(known | values)),
        )


def from_rows(db: sqlite3.Connection, table: str) -> None:
    """Pack what earlier versions kept in a row for each number.

    Args:
        db: a file with this version's tables.
        table: the earlier version's, with the columns of a :class:`fusionbench.results.schema.ScoreRow`.
    """
    rows = db.execute(f"SELECT image, pair, metric, code, value, made FROM {table}")
    while some := list(islice(rows, BATCH)):
        write(db, some)


def _number(db: sqlite3.Connection, metric: str, code: str) -> int:
    """Of a variant, which is registered where it is new."""
    found = db.execute("SELECT number FROM variants WHERE metric=? AND code=?", (metric, code)).fetchone()
    number: int = found[0] if found else db.execute("SELECT coalesce(max(number), 0) + 1 FROM variants").fetchone()[0]
    if not 0 <= number < MOST:
        raise _malformed()
    if not found:
        db.execute("INSERT INTO variants VALUES(?,?,?)", (number, metric, code))
    return number


def _malformed() -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError("the scores of a picture are malformed")
