"""What is asked of an open results file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import GenericAlias
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from fusionbench.errors import FusionbenchError
from fusionbench.naming import meant
from fusionbench.results import packed
from fusionbench.results.records import Board, Case, EntryInfo, Failures, Made, Run, TaskResult, TaskTest
from fusionbench.results.schema import TABLES, FailureRow, FusedRow, MakerRow, PackedRow, ScoreRow, VariantRow
from fusionbench.results.storage_errors import FOREIGN, storage_error

TASK_KEY = ("task", "network", "protocol", "recipe", "seed", "code", "pictures")

T = TypeVar("T")


class Fused(NamedTuple):
    """A fused picture."""

    pair: str
    """Hash of the source pair that it was made of."""
    image: str
    """SHA-256 of its pixels."""
    path: str
    """Where it lies, below the output directory."""
    made: int = 0
    """From :meth:`Store.put_maker`; 0 where that is not recorded."""


class Reader:
    """The queries of :class:`fusionbench.results.store.Store`.

    Args:
        path: of the file, named in errors.
        db: the file, open.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path, self._db = path, db

    def rows(self, kind: type[T]) -> list[T]:
        """Every row of a table, oldest first; `kind` is its row in :mod:`fusionbench.results.schema`."""
        name = next(name for name, table in TABLES.items() if table.row is kind)
        return self._rows(kind, f"SELECT {', '.join(TABLES[name].columns)} FROM {name} ORDER BY rowid")

    def entries(self, output: str) -> dict[str, EntryInfo]:
        """Key to facts of the latest entry of every id under an output rule."""
        rows = self._rows(
            tuple[str, str],
            "SELECT key, info FROM entries e WHERE output = ?"
            " AND seq = (SELECT max(seq) FROM entries WHERE id = e.id AND output = e.output) ORDER BY id",
            (output,),
        )
        return {key: self.decoded(EntryInfo, info) for key, info in rows}

    def boards(self, dataset: str | None = None, split: str | None = None, output: str | None = None) -> list[Board]:
        """What was scored, one item per dataset, split and output rule.

        Raises:
            FusionbenchError: when nothing fits, naming what there is.
        """
        rows = self._rows(tuple[str], "SELECT info FROM boards ORDER BY dataset, split, output DESC")
        every = [self.decoded(Board, info) for (info,) in rows]
        titles = {b.dataset: (b.title, b.protocol) for b in every}
        asked = {"dataset": labelled(dataset, every), "split": split, "output": output}
        wanted = {k: v and meant(v, [getattr(b, k) for b in every], titles) for k, v in asked.items()}
        chosen = [b for b in every if all(v in (None, getattr(b, k)) for k, v in wanted.items())]
        if not chosen:
            what = " ".join(v for v in asked.values() if v) or "anything"
            have = ", ".join(f"{b.dataset} ({b.split}, output {b.output})" for b in every) or "nothing"
            raise FusionbenchError(f"{self.path}: no results for {what}; there are: {have}")
        return chosen

    def pairs(self, dataset: str, split: str) -> dict[str, str]:
        """Image id to pair hash, ordered by id."""
        where = "SELECT id, hash FROM pairs WHERE dataset=? AND split=? ORDER BY id"
        return dict(self._rows(tuple[str, str], where, (dataset, split)))

    def fused(self, entry: str, dataset: str, split: str, pairs: Mapping[str, str]) -> dict[str, Fused]:
        """Image id to the picture that an entry made of these very pairs (image id to hash)."""
        where = "SELECT id, pair, image, path, made FROM fused WHERE entry=? AND dataset=? AND split=? ORDER BY id"
        rows = self._rows(tuple[str, str, str, str, int], where, (entry, dataset, split))
        return {row[0]: Fused(*row[1:]) for row in rows if pairs.get(row[0]) == row[1]}

    def images(self, entry: str, dataset: str, split: str, pairs: Mapping[str, str]) -> dict[str, str]:
        """Of these, image id to the hash of the picture alone."""
        where = "SELECT id, pair, image FROM fused WHERE entry=? AND dataset=? AND split=? ORDER BY id"
        rows = self._rows(tuple[str, str, str], where, (entry, dataset, split))
        return {ident: image for ident, pair, image in rows if pairs.get(ident) == pair}

    def pictures(self, entry: str) -> list[FusedRow]:
        """Everything that an entry has fused, on all datasets and splits."""
        return self._rows(FusedRow, f"SELECT {', '.join(FusedRow._fields)} FROM fused WHERE entry=?", (entry,))

    def scores(self, metrics: dict[str, str], made: set[int] | None = None) -> dict[tuple[str, str, str], float]:
        """(image hash, pair hash, metric) to value, for metrics given as name to code hash.

        Args:
            metrics: which.
            made: only what these computed.
        """
        return self.score_table(metrics).one_by_one(metrics, made)

    def score_table(
        self, metrics: Mapping[str, str], dataset: str | None = None, split: str | None = None
    ) -> packed.ScoreTable:
        """Scores of metrics given as name to code hash, a column for each: all, or those of a split's pairs."""
        known = {(v.metric, v.code): v.number for v in self.rows(VariantRow)}
        query, values = "SELECT image, pair, packed FROM scores", (dataset or "", split or "")
        where = " WHERE pair IN (SELECT hash FROM pairs WHERE dataset=? AND split=?)"
        own = dataset is not None
        rows = self._rows(tuple[str, str, bytes], query + where * own, values if own else ())
        with self._reading():
            return packed.read(rows, list(known.values()), [known.get(variant) for variant in metrics.items()])

    def score_rows(self) -> list[ScoreRow]:
        """Every score, oldest first."""
        variants = {v.number: (v.metric, v.code) for v in self.rows(VariantRow)}
        with self._reading():
            return [ScoreRow(*score) for score in packed.every(self.rows(PackedRow), variants)]

    def packed_scores(self) -> tuple[list[PackedRow], dict[int, tuple[str, str]]]:
        """All scores as they are stored, looked at; and what their numbers of variants mean."""
        variants = {v.number: (v.metric, v.code) for v in self.rows(VariantRow)}
        rows = self.rows(PackedRow)
        with self._reading():
            packed.check(rows, variants)
        return rows, variants

    def makers(self) -> dict[int, Made]:
        """What computed the rows, by its number in them."""
        rows = self._rows(MakerRow, "SELECT id, info FROM makers")
        return {row.id: self.decoded(Made, row.info) for row in rows}

    def alike(self, made: Made) -> set[int]:
        """Numbers of what computes as this does, whoever signed it."""
        return {made.id, *(number for number, other in self.makers().items() if other.unsigned == made.unsigned)}

    def makers_of(self, dataset: str, split: str) -> dict[str, set[int]]:
        """Entry key to the numbers of what made its pictures of a split."""
        found: dict[str, set[int]] = {}
        query = "SELECT DISTINCT entry, made FROM fused WHERE dataset=? AND split=?"
        for entry, made in self._rows(tuple[str, int], query, (dataset, split)):
            found.setdefault(entry, set()).add(made)
        return found

    def made_by_others(
        self, metrics: dict[str, str], made: set[int], dataset: str, split: str
    ) -> dict[tuple[str, str], set[int]]:
        """(image hash, pair hash) to who computed scores of it, for a split's scores that others computed."""
        table = self.score_table(metrics, dataset, split)
        others = table.present & ~np.isin(table.made, list(made))
        some = set(np.flatnonzero(others.any(axis=1)).tolist())
        return {key: set(table.made[row][others[row]].tolist()) for key, row in table.rows.items() if row in some}

    def metrics(self) -> list[str]:
        """Ids of all metrics that have a score."""
        return [name for (name,) in self._rows(tuple[str], "SELECT DISTINCT metric FROM variants ORDER BY metric")]

    def failures(self, dataset: str, split: str) -> Failures:
        """What failed on a split and why: of the source pairs first, then by entry key and image."""
        where = f"SELECT {', '.join(FailureRow._fields)} FROM failures WHERE dataset=? AND split=? ORDER BY entry, id"
        return {Case(row.entry, row.id): row.reason for row in self._rows(FailureRow, where, (dataset, split))}

    def task(self, entry: str, dataset: str, split: str, test: TaskTest) -> TaskResult | None:
        """The result of this test, with this code and these pictures, where it is there."""
        where = "SELECT info FROM tasks WHERE entry=? AND dataset=? AND split=? AND "
        where += " AND ".join(f"{name}=?" for name in TASK_KEY)
        rows = self._rows(tuple[str], where, (entry, dataset, split, *task_key(test)))
        return self.decoded(TaskResult, rows[0][0]) if rows else None

    def tasks(self, dataset: str, split: str) -> list[tuple[str, TaskResult]]:
        """(entry key, result) of every task result of a board, old to new."""
        where = "SELECT entry, info FROM tasks WHERE dataset=? AND split=? ORDER BY rowid"
        rows = self._rows(tuple[str, str], where, (dataset, split))
        return [(entry, self.decoded(TaskResult, info)) for entry, info in rows]

    def task_gaps(self, dataset: str, split: str) -> dict[str, str]:
        """Task to why it could not be scored."""
        where = "SELECT task, reason FROM task_gaps WHERE dataset=? AND split=?"
        return dict(self._rows(tuple[str, str], where, (dataset, split)))

    def runs(self) -> list[Run]:
        """Provenance of every run, oldest first."""
        rows = self._rows(tuple[str], "SELECT info FROM runs ORDER BY rowid")
        return [self.decoded(Run, info) for (info,) in rows]

    def latest_run(self) -> Run | None:
        """Provenance of the run that ended last; None where none has."""
        rows = self._rows(tuple[str], "SELECT info FROM runs ORDER BY rowid DESC LIMIT 1")
        return self.decoded(Run, rows[0][0]) if rows else None

    def _rows(self, kind: type[T], query: str, values: Iterable[str | int] = ()) -> list[T]:
        """Rows with the types that they should have.

        Raises:
            FusionbenchError: the file is damaged.
        """
        with self._reading():
            rows = self._db.execute(query, tuple(values)).fetchall()
            converted: list[T] = msgspec.convert(rows, GenericAlias(list, kind), builtin_types=(bytes,))
            return converted

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says of damage that it is damage."""
        try:
            yield
        except (UnicodeDecodeError, sqlite3.Error) as error:
            raise storage_error(self.path, error, reading=True) from None
        except msgspec.ValidationError as error:
            raise FusionbenchError(f"{self.path}: {FOREIGN} ({error})") from None

    def decoded(self, kind: type[T], text: str) -> T:
        """A record that is stored as JSON.

        Raises:
            FusionbenchError: when it is not one, naming the store.
        """
        try:
            return msgspec.json.decode(text, type=kind)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise FusionbenchError(f"{self.path}: {FOREIGN} ({' '.join(str(error).split())})") from None


def task_key(test: TaskTest) -> tuple[str | int, ...]:
    """What makes a result the one of this test, besides entry and board."""
    return tuple(getattr(test, name) for name in TASK_KEY)


def labelled(name: str | None, boards: Iterable[Board]) -> str | None:
    """The label of the boards that a name means: itself, or that of the one generated tree in the layout it names."""
    every = list(boards)
    if name is None or name in {board.dataset for board in every}:
        return name
    generated = {b.dataset for b in every if b.origin.generator and b.dataset == f"{b.origin.generator}-{name}"}
    return generated.pop() if len(generated) == 1 else name
