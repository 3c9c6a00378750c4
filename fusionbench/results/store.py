"""The results store: one SQLite file that survives ``kill -9`` and two writers at once.

Everything in it is content-addressed, so that nothing stale can be shown: a fused picture stands under its entry and
image with the hashes of the source pair and its own pixels, a score under the hashes of picture and pair, the metric's
variant and code. Means are never stored; tables derive them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import NamedTuple, TypeVar

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.results import packed, schema
from fusionbench.results.opening import in_memory, open_to_read
from fusionbench.results.records import Board, Case, EntryInfo, Failures, Run, TaskResult, TaskTest, as_stored, labelled
from fusionbench.results.schema import VERSION as VERSION
from fusionbench.results.storage_errors import FOREIGN
from fusionbench.results.storage_errors import storage_error as storage_error

TASK_KEY = ("task", "network", "protocol", "recipe", "seed", "code", "pictures")

T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """One number: ``metric`` is ``name@variant`` with the colour rule behind it, ``value`` NaN where undefined."""

    image: str
    pair: str
    metric: str
    code: str
    value: float


class Fused(NamedTuple):
    """A fused picture."""

    pair: str
    """Hash of the source pair that it was made of."""
    image: str
    """SHA-256 of its pixels."""
    path: str
    """Where it lies, below the output directory."""


class Store:
    """Per-image results of one output directory.

    Args:
        folder: the output directory; ``results.db`` lies in it.
        create: make the directory and the file when they are missing, and bring an older file to this version. Without
            it nothing is written: an older file is brought to this version in memory.

    Raises:
        FusionbenchError: when the directory cannot be written or holds no store.
    """

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder = folder
        self.path = folder / "results.db"
        self.notes: list[str] = []  # what an older file's user has to know
        if not create and not self.path.is_file():
            raise FusionbenchError(f"{self.path}: no results here; run `fusionbench eval --out {folder}` first")
        try:
            self._db = self._writer() if create else self._reader()
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            raise storage_error(self.path, error, reading=not create) from None

    def _writer(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None)  # autocommit; transactions are explicit
        try:
            schema.version_of(db, self.path)  # before anything is written: it may be another program's
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            self.notes += schema.prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    def _reader(self) -> sqlite3.Connection:
        db = open_to_read(self.path)
        try:
            version = schema.version_of(db, self.path)
            if version == 0:
                remedy = f"run `fusionbench eval --out {self.folder}` first"
                raise FusionbenchError(f"{self.path}: no results here yet; {remedy}")
            if version != VERSION:
                older, db = db, in_memory(db)
                older.close()
                self.notes += schema.prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file; a later open sees everything that was written."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, waiting for another writer; what was there before stays on any error.

        Raises:
            FusionbenchError: when the file cannot be written (disk full, read-only).
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from None

    def put_entry(self, key: str, entry: EntryInfo) -> None:
        """Register an entry; of an id and output rule, the latest registered key is the one that tables show."""
        with self.transaction() as db:
            seq = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM entries").fetchone()[0]
            row = (key, entry.id, entry.output_rule, seq, as_stored(entry))
            db.execute("INSERT OR REPLACE INTO entries VALUES(?,?,?,?,?)", row)

    def put_board(self, board: Board, pairs: Iterable[tuple[str, str]], every: Iterable[str]) -> None:
        """Register a dataset's split under an output rule with its protocol, and its (id, hash) pairs.

        Args:
            board: what is scored.
            pairs: the pairs of this run.
            every: all ids the split has now; pairs of earlier runs that are gone are forgotten.
        """
        key, ids = (board.dataset, board.split, board.output), set(every)
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO boards VALUES(?,?,?,?)", (*key, as_stored(board)))
            known = db.execute("SELECT id FROM pairs WHERE dataset=? AND split=?", key[:2]).fetchall()
            gone = [(*key[:2], i) for (i,) in known if i not in ids]
            db.executemany("DELETE FROM pairs WHERE dataset=? AND split=? AND id=?", gone)
            db.executemany("INSERT OR REPLACE INTO pairs VALUES(?,?,?,?)", ((*key[:2], i, h) for i, h in pairs))

    def put_fused(self, entry: str, dataset: str, split: str, image: str, fused: Fused) -> None:
        """Record the picture that an entry made of an image, instead of an older one.

        Args:
            entry: its key.
            dataset: label of the dataset.
            split: of the dataset.
            image: id of the image.
            fused: the picture.
        """
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO fused VALUES(?,?,?,?,?,?,?)", (entry, dataset, split, image, *fused))

    def drop_fused(self, entry: str, dataset: str, split: str, images: Iterable[str]) -> None:
        """Forget fused pictures that are not what they were; the next run makes them anew."""
        rows = [(entry, dataset, split, image) for image in images]
        with self.transaction() as db:
            db.executemany("DELETE FROM fused WHERE entry=? AND dataset=? AND split=? AND id=?", rows)

    def put_scores(self, scores: Iterable[Score]) -> None:
        """Record all scores of one image in one transaction."""
        with self.transaction() as db:
            packed.write(db, ((s.image, s.pair, s.metric, s.code, s.value) for s in scores))

    def set_failures(self, dataset: str, split: str, failures: Mapping[Case, str], entries: set[str]) -> None:
        """Replace the failures of some entries, and of the source pairs, on a split."""
        with self.transaction() as db:
            for entry in {*entries, ""}:
                db.execute("DELETE FROM failures WHERE entry=? AND dataset=? AND split=?", (entry, dataset, split))
            rows = [(entry, dataset, split, image, reason) for (entry, image), reason in failures.items()]
            db.executemany("INSERT INTO failures VALUES(?,?,?,?,?)", rows)

    def put_task(self, entry: str, dataset: str, split: str, result: TaskResult) -> None:
        """Record what one task network made of an entry's pictures, instead of an older such result.

        Args:
            entry: its key.
            dataset: label of the board whose table shows it.
            split: of that board.
            result: the scores and what they depend on.
        """
        with self.transaction() as db:
            row = (entry, dataset, split, *_task_key(result), as_stored(result))
            db.execute("INSERT OR REPLACE INTO tasks VALUES(?,?,?,?,?,?,?,?,?,?,?)", row)

    def put_task_state(self, dataset: str, split: str, task: str, reason: str) -> None:
        """Why a task cannot be scored on a board; an empty reason takes an older one away."""
        with self.transaction() as db:
            db.execute("DELETE FROM task_gaps WHERE dataset=? AND split=? AND task=?", (dataset, split, task))
            if reason:
                db.execute("INSERT INTO task_gaps VALUES(?,?,?,?)", (dataset, split, task, reason))

    def put_run(self, run: Run) -> None:
        """Record one run's provenance."""
        with self.transaction() as db:
            db.execute("INSERT INTO runs VALUES(?,?)", (run.started, as_stored(run)))

    def rows(self, kind: type[T]) -> list[T]:
        """Every row of a table, oldest first; `kind` is its row in :mod:`fusionbench.results.schema`."""
        name = next(name for name, table in schema.TABLES.items() if table.row is kind)
        return self._rows(kind, f"SELECT {', '.join(schema.TABLES[name].columns)} FROM {name} ORDER BY rowid")

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
        wanted = {"dataset": labelled(dataset, every), "split": split, "output": output}
        chosen = [b for b in every if all(v in (None, getattr(b, k)) for k, v in wanted.items())]
        if not chosen:
            asked = " ".join(v for v in wanted.values() if v) or "anything"
            have = ", ".join(f"{b.dataset} ({b.split}, output {b.output})" for b in every) or "nothing"
            raise FusionbenchError(f"{self.path}: no results for {asked}; there are: {have}")
        return chosen

    def pairs(self, dataset: str, split: str) -> dict[str, str]:
        """Image id to pair hash, ordered by id."""
        where = "SELECT id, hash FROM pairs WHERE dataset=? AND split=? ORDER BY id"
        return dict(self._rows(tuple[str, str], where, (dataset, split)))

    def fused(self, entry: str, dataset: str, split: str, pairs: Mapping[str, str]) -> dict[str, Fused]:
        """Image id to the picture that an entry made of these very pairs (image id to hash)."""
        where = "SELECT id, pair, image, path FROM fused WHERE entry=? AND dataset=? AND split=? ORDER BY id"
        rows = self._rows(tuple[str, str, str, str], where, (entry, dataset, split))
        return {ident: Fused(*facts) for ident, *facts in rows if pairs.get(ident) == facts[0]}

    def images(self, entry: str, dataset: str, split: str, pairs: Mapping[str, str]) -> dict[str, str]:
        """Of these, image id to the hash of the picture alone."""
        where = "SELECT id, pair, image FROM fused WHERE entry=? AND dataset=? AND split=? ORDER BY id"
        rows = self._rows(tuple[str, str, str], where, (entry, dataset, split))
        return {ident: image for ident, pair, image in rows if pairs.get(ident) == pair}

    def pictures(self, entry: str) -> list[schema.FusedRow]:
        """Everything that an entry has fused, on all datasets and splits."""
        columns = ", ".join(schema.FusedRow._fields)
        return self._rows(schema.FusedRow, f"SELECT {columns} FROM fused WHERE entry=?", (entry,))

    def scores(self, metrics: Mapping[str, str]) -> dict[tuple[str, str, str], float]:
        """(image hash, pair hash, metric) to value, for metrics given as name to code hash."""
        return self.score_table(metrics).one_by_one(metrics)

    def score_table(self, metrics: Mapping[str, str]) -> packed.ScoreTable:
        """All scores of metrics given as name to code hash, a column for each."""
        known = {(v.metric, v.code): v.number for v in self.rows(schema.VariantRow)}
        rows = self._rows(tuple[str, str, bytes], "SELECT image, pair, packed FROM scores")
        with self._reading():
            return packed.read(rows, list(known.values()), [known.get(variant) for variant in metrics.items()])

    def score_rows(self) -> list[schema.ScoreRow]:
        """Every score, oldest first."""
        variants = {v.number: (v.metric, v.code) for v in self.rows(schema.VariantRow)}
        with self._reading():
            return [schema.ScoreRow(*score) for score in packed.every(self.rows(schema.PackedRow), variants)]

    def metrics(self) -> list[str]:
        """Ids of all metrics that have a score."""
        return [name for (name,) in self._rows(tuple[str], "SELECT DISTINCT metric FROM variants ORDER BY metric")]

    def failures(self, dataset: str, split: str) -> Failures:
        """What failed on a split and why: of the source pairs first, then by entry key and image."""
        where = "SELECT entry, id, reason FROM failures WHERE dataset=? AND split=? ORDER BY entry, id"
        return {Case(*row[:2]): row[2] for row in self._rows(tuple[str, str, str], where, (dataset, split))}

    def has_task(self, entry: str, dataset: str, split: str, test: TaskTest) -> bool:
        """Whether the result of this test, with this code and these pictures, is there."""
        where = "SELECT seed FROM tasks WHERE entry=? AND dataset=? AND split=? AND "
        where += " AND ".join(f"{name}=?" for name in TASK_KEY)
        return bool(self._rows(tuple[int], where, (entry, dataset, split, *_task_key(test))))

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


def _task_key(test: TaskTest) -> tuple[str | int, ...]:
    return tuple(getattr(test, name) for name in TASK_KEY)
