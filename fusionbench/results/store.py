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
from functools import cached_property
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.results import packed
from fusionbench.results.opening import in_memory, open_to_read
from fusionbench.results.reading import Fused as Fused
from fusionbench.results.reading import Reader, task_key
from fusionbench.results.records import Board, Case, EntryInfo, Made, Run, TaskResult, as_stored
from fusionbench.results.schema import VERSION as VERSION
from fusionbench.results.schema import prepare, version_of
from fusionbench.results.shards import with_shards
from fusionbench.results.shelf import Shelf, shelf_of
from fusionbench.results.storage_errors import storage_error as storage_error


@dataclass(frozen=True)
class Score:
    """One number.

    Attributes:
        image: hash of the picture.
        pair: hash of the source pair.
        metric: ``name@variant`` with the colour rule behind it.
        code: see :attr:`fusionbench.evaluation.protocol.Metric.code`.
        value: NaN where it is undefined.
        made: from :meth:`Store.put_maker`; 0 where that is not recorded.
    """

    image: str
    pair: str
    metric: str
    code: str
    value: float
    made: int = 0


class Store(Reader):
    """Per-image results of one output directory.

    Args:
        folder: the output directory; ``results.db`` lies in it.
        create: make the directory and the file when they are missing, and bring an older file to this version. Without
            it nothing is written: an older file is brought to this version in memory.

    Raises:
        FusionbenchError: when the directory cannot be written or holds no store.
    """

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder, self.path = folder, folder / "results.db"
        self.notes: list[str] = []  # what an older file's user has to know
        if not create and not self.path.is_file():
            raise FusionbenchError(f"{self.path}: no results here; run `fusionbench eval --out {folder}` first")
        try:
            super().__init__(self.path, self._writer() if create else self._reader())
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            raise storage_error(self.path, error, reading=not create) from None

    def _writer(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Autocommit; transactions are opened where several rows belong together.
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            version_of(db, self.path)  # before anything is written: it may be another program's
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            self.notes += prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    def _reader(self) -> sqlite3.Connection:
        db = open_to_read(self.path)
        try:
            version = version_of(db, self.path)
            if version == 0:
                raise FusionbenchError(
                    f"{self.path}: no results here yet; run `fusionbench eval --out {self.folder}` first"
                )
            if version != VERSION:
                older, db = db, in_memory(db)
                older.close()
                self.notes += prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    @cached_property
    def shelf(self) -> Shelf:
        """Where its pictures lie.

        Raises:
            FusionbenchError: this process was given an address that is none.
        """
        return shelf_of(self.folder)

    def close(self) -> None:
        """Close the file; a later open sees everything that was written."""
        self._db.close()
        if "shelf" in self.__dict__:
            self.shelf.close()

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

    def put_maker(self, made: Made) -> int:
        """Register what computes, and return its number for rows."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO makers VALUES(?,?)", (made.id, as_stored(made)))
        return made.id

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
            if board.shards:  # other parts may have been scored into this store before
                where = "SELECT info FROM boards WHERE dataset=? AND split=? AND output=?"
                for (info,) in db.execute(where, key).fetchall():
                    board = with_shards(board, self.decoded(Board, info))
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
            db.execute("INSERT OR REPLACE INTO fused VALUES(?,?,?,?,?,?,?,?)", (entry, dataset, split, image, *fused))

    def drop_fused(self, entry: str, dataset: str, split: str, images: Iterable[str]) -> None:
        """Forget fused pictures that are not what they were; the next run makes them anew."""
        rows = [(entry, dataset, split, image) for image in images]
        with self.transaction() as db:
            db.executemany("DELETE FROM fused WHERE entry=? AND dataset=? AND split=? AND id=?", rows)

    def put_scores(self, scores: Iterable[Score]) -> None:
        """Record all scores of one image in one transaction."""
        with self.transaction() as db:
            packed.write(db, ((s.image, s.pair, s.metric, s.code, s.value, s.made) for s in scores))

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
            row = (entry, dataset, split, *task_key(result), as_stored(result))
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
