"""The results store: one SQLite file that survives ``kill -9`` and two writers at once.

Everything in it is content-addressed, so that nothing stale can be shown: a fused image under its entry and the hash of
its source pair, a score under the hashes of fused image and pair, the metric's variant and code. Means are never
stored; tables derive them.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.results.records import Board, Case, EntryInfo, Failures, Run, TaskResult, TaskTest
from fusionbench.results.storage_errors import FOREIGN
from fusionbench.results.storage_errors import storage_error as storage_error

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries(key TEXT PRIMARY KEY, id TEXT NOT NULL, output TEXT NOT NULL, seq INTEGER NOT NULL,
    info TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS boards(dataset TEXT, split TEXT, output TEXT, info TEXT NOT NULL,
    PRIMARY KEY(dataset, split, output));
CREATE TABLE IF NOT EXISTS pairs(dataset TEXT, split TEXT, id TEXT, hash TEXT NOT NULL,
    PRIMARY KEY(dataset, split, id));
CREATE TABLE IF NOT EXISTS fused(entry TEXT, pair TEXT, image TEXT NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY(entry, pair));
CREATE TABLE IF NOT EXISTS scores(image TEXT, pair TEXT, metric TEXT, code TEXT, value REAL,
    PRIMARY KEY(image, pair, metric, code));
CREATE TABLE IF NOT EXISTS failures(entry TEXT, dataset TEXT, split TEXT, id TEXT, reason TEXT NOT NULL,
    PRIMARY KEY(entry, dataset, split, id));
CREATE TABLE IF NOT EXISTS tasks(entry TEXT, dataset TEXT, split TEXT, task TEXT, network TEXT, protocol TEXT,
    recipe TEXT, seed INTEGER, code TEXT, pictures TEXT, info TEXT NOT NULL,
    PRIMARY KEY(entry, dataset, split, task, network, protocol, recipe, seed));
CREATE TABLE IF NOT EXISTS task_gaps(dataset TEXT, split TEXT, task TEXT, reason TEXT NOT NULL,
    PRIMARY KEY(dataset, split, task));
CREATE TABLE IF NOT EXISTS runs(started TEXT, info TEXT NOT NULL);
"""
VERSION = 2
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


class Store:
    """Per-image results of one output directory.

    Args:
        folder: the output directory; ``results.db`` lies in it.
        create: make the directory and the file when they are missing.

    Raises:
        FusionbenchError: when the directory cannot be written or holds no store.
    """

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder = folder
        self.path = folder / "results.db"
        if not create and not self.path.is_file():
            raise FusionbenchError(f"{self.path}: no results here; run `fusionbench eval --out {folder}` first")
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            # Autocommit; transactions are opened where several rows belong together. Readers need no write access.
            where = self.path.resolve().as_uri() + ("" if create and os.access(folder, os.W_OK) else "?mode=ro")
            self._db = sqlite3.connect(where, timeout=60, isolation_level=None, uri=True)
            if create:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise FusionbenchError(
                    f"{self.path}: written by another version of fusionbench (store {version}); use another out="
                )
            if create:
                self._db.executescript(SCHEMA)
                self._db.execute(f"PRAGMA user_version={VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise storage_error(self.path, error) from None

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

    # --- writing -----------------------------------------------------------------------------------------------

    def put_entry(self, key: str, entry: EntryInfo) -> None:
        """Register an entry; of an id and output rule, the latest registered key is the one that tables show."""
        with self.transaction() as db:
            seq = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM entries").fetchone()[0]
            row = (key, entry.id, entry.output_rule, seq, _json(entry))
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
            db.execute("INSERT OR REPLACE INTO boards VALUES(?,?,?,?)", (*key, _json(board)))
            known = db.execute("SELECT id FROM pairs WHERE dataset=? AND split=?", key[:2]).fetchall()
            gone = [(*key[:2], i) for (i,) in known if i not in ids]
            db.executemany("DELETE FROM pairs WHERE dataset=? AND split=? AND id=?", gone)
            db.executemany("INSERT OR REPLACE INTO pairs VALUES(?,?,?,?)", ((*key[:2], i, h) for i, h in pairs))

    def put_fused(self, entry: str, pair: str, image: str, path: str) -> None:
        """Record the fused image of one pair: its SHA-256 and where it lies below the output directory."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO fused VALUES(?,?,?,?)", (entry, pair, image, path))

    def drop_fused(self, entry: str, pair: str) -> None:
        """Forget a fused picture that is not what it was; the next run makes it anew."""
        with self.transaction() as db:
            db.execute("DELETE FROM fused WHERE entry=? AND pair=?", (entry, pair))

    def put_scores(self, scores: Iterable[Score]) -> None:
        """Record all scores of one image in one transaction; NaN is stored as NULL."""
        rows = [(s.image, s.pair, s.metric, s.code, None if math.isnan(s.value) else s.value) for s in scores]
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO scores VALUES(?,?,?,?,?)", rows)

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
            row = (entry, dataset, split, *_task_key(result), _json(_without_nan(msgspec.to_builtins(result))))
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
            db.execute("INSERT INTO runs VALUES(?,?)", (run.started, _json(run)))

    # --- reading -----------------------------------------------------------------------------------------------

    def entries(self, output: str) -> dict[str, EntryInfo]:
        """Key to facts of the latest entry of every id under an output rule."""
        rows = self._db.execute(
            "SELECT key, info FROM entries e WHERE output = ?"
            " AND seq = (SELECT max(seq) FROM entries WHERE id = e.id AND output = e.output) ORDER BY id",
            (output,),
        )
        return {key: self._decoded(EntryInfo, info) for key, info in rows}

    def boards(self, dataset: str | None = None, split: str | None = None, output: str | None = None) -> list[Board]:
        """What was scored, one item per dataset, split and output rule.

        Raises:
            FusionbenchError: when nothing fits, naming what there is.
        """
        rows = self._db.execute("SELECT info FROM boards ORDER BY dataset, split, output DESC")
        every = [self._decoded(Board, info) for (info,) in rows]
        wanted = {"dataset": dataset, "split": split, "output": output}
        chosen = [b for b in every if all(v in (None, getattr(b, k)) for k, v in wanted.items())]
        if not chosen:
            asked = " ".join(v for v in wanted.values() if v) or "anything"
            have = ", ".join(f"{b.dataset} ({b.split}, output {b.output})" for b in every) or "nothing"
            raise FusionbenchError(f"{self.path}: no results for {asked}; there are: {have}")
        return chosen

    def pairs(self, dataset: str, split: str) -> dict[str, str]:
        """Image id to pair hash, ordered by id."""
        rows = self._db.execute("SELECT id, hash FROM pairs WHERE dataset=? AND split=? ORDER BY id", (dataset, split))
        return dict(rows.fetchall())

    def fused(self, entry: str) -> dict[str, tuple[str, str]]:
        """Pair hash to (image hash, path) of everything an entry has fused."""
        rows = self._db.execute("SELECT pair, image, path FROM fused WHERE entry=?", (entry,))
        return {pair: (image, path) for pair, image, path in rows}

    def scores(self, metrics: dict[str, str]) -> dict[tuple[str, str, str], float]:
        """(image hash, pair hash, metric) to value, for metrics given as name to code hash."""
        values: dict[tuple[str, str, str], float] = {}
        for metric, code in metrics.items():
            rows = self._db.execute("SELECT image, pair, value FROM scores WHERE metric=? AND code=?", (metric, code))
            values.update(((image, pair, metric), math.nan if v is None else v) for image, pair, v in rows)
        return values

    def metrics(self) -> list[str]:
        """Ids of all metrics that have a score."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT metric FROM scores ORDER BY metric")]

    def failures(self, dataset: str, split: str) -> Failures:
        """What failed on a split and why: of the source pairs first, then by entry key and image."""
        rows = self._db.execute(
            "SELECT entry, id, reason FROM failures WHERE dataset=? AND split=? ORDER BY entry, id", (dataset, split)
        )
        return {Case(entry, image): reason for entry, image, reason in rows}

    def has_task(self, entry: str, dataset: str, split: str, test: TaskTest) -> bool:
        """Whether the result of this test, with this code and these pictures, is there."""
        rows = self._db.execute(
            "SELECT 1 FROM tasks WHERE entry=? AND dataset=? AND split=? AND "
            + " AND ".join(f"{name}=?" for name in TASK_KEY),
            (entry, dataset, split, *_task_key(test)),
        )
        return rows.fetchone() is not None

    def tasks(self, dataset: str, split: str) -> list[tuple[str, TaskResult]]:
        """(entry key, result) of every task result of a board, old to new; none in an older store."""
        if not self._has("tasks"):
            return []
        rows = self._db.execute(
            "SELECT entry, info FROM tasks WHERE dataset=? AND split=? ORDER BY rowid",
            (dataset, split),
        )
        return [(entry, self._decoded(TaskResult, info)) for entry, info in rows]

    def task_gaps(self, dataset: str, split: str) -> dict[str, str]:
        """Task to why it could not be scored."""
        if not self._has("task_gaps"):
            return {}
        return dict(
            self._db.execute(
                "SELECT task, reason FROM task_gaps WHERE dataset=? AND split=?", (dataset, split)
            ).fetchall()
        )

    def _has(self, table: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name=?", (table,)).fetchone())

    def runs(self) -> list[Run]:
        """Provenance of every run, oldest first."""
        return [self._decoded(Run, info) for (info,) in self._db.execute("SELECT info FROM runs ORDER BY rowid")]

    def _decoded(self, kind: type[T], text: str) -> T:
        """A record that is stored as JSON.

        Raises:
            FusionbenchError: when it is not one, naming the store.
        """
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.MsgspecError as error:
            raise FusionbenchError(f"{self.path}: {FOREIGN} ({error})") from None


def _task_key(test: TaskTest) -> tuple[str | int, ...]:
    return tuple(getattr(test, name) for name in TASK_KEY)


def _without_nan(value: object) -> object:
    """Plain data with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(record: object) -> str:
    return json.dumps(msgspec.to_builtins(record), sort_keys=True)
