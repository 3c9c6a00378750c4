"""Layout of a results file, what it was in earlier versions, and the way from there.

A file is ours by its application id, or (version 2, which had none) by its tables; nothing is ever written to another
program's database. The whole way is one transaction: a file is in one version or the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fusionbench.errors import FusionbenchError
from fusionbench.results import packed
from fusionbench.results.folding import fold, has_label
from fusionbench.results.makers import name_makers
from fusionbench.results.storage_errors import FOREIGN

APPLICATION = 0x46424E43  # "FBNC"; `file results.db` shows it
VERSION = 5


class MakerRow(NamedTuple):
    """What computed some rows: versions and processor. Number 0 stands for what is not recorded."""

    id: int
    info: str


class EntryRow(NamedTuple):
    """Of ids and output rules registered more than once, the highest number is what tables show."""

    key: str
    id: str
    output: str
    seq: int
    info: str


class BoardRow(NamedTuple):
    """What is scored."""

    dataset: str
    split: str
    output: str
    info: str


class PairRow(NamedTuple):
    """A source pair and the hash of its two files."""

    dataset: str
    split: str
    id: str
    hash: str


class FusedRow(NamedTuple):
    """The picture that an entry made of an image: the pair's hash, the picture's, its path below the folder, who made
    it (a :class:`MakerRow`)."""

    entry: str
    dataset: str
    split: str
    id: str
    pair: str
    image: str
    path: str
    made: int


class VariantRow(NamedTuple):
    """A metric's variant under some code, and the number that stands for it in packed scores."""

    number: int
    metric: str
    code: str


class PackedRow(NamedTuple):
    """All scores of a picture of a pair, see :mod:`fusionbench.results.packed`."""

    image: str
    pair: str
    packed: bytes


class ScoreRow(NamedTuple):
    """A number, None where it is undefined, and who computed it (a :class:`MakerRow`).

    It comes out of packed scores; up to version 4 a table had such rows.
    """

    image: str
    pair: str
    metric: str
    code: str
    value: float | None
    made: int


class FailureRow(NamedTuple):
    """What failed and why."""

    entry: str
    dataset: str
    split: str
    id: str
    reason: str


class TaskRow(NamedTuple):
    """What a task network made of an entry's pictures."""

    entry: str
    dataset: str
    split: str
    task: str
    network: str
    protocol: str
    recipe: str
    seed: int
    code: str
    pictures: str
    info: str


class GapRow(NamedTuple):
    """Why a task cannot be scored."""

    dataset: str
    split: str
    task: str
    reason: str


class RunRow(NamedTuple):
    """Provenance of a run."""

    started: str
    info: str


class Table(NamedTuple):
    """A table's row and its key."""

    row: type[tuple[object, ...]]
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(getattr(self.row, "_fields"))  # noqa: B009 - a tuple type does not tell mypy that it has names


TABLES = {
    "makers": Table(MakerRow, ("id",)),
    "entries": Table(EntryRow, ("key",)),
    "boards": Table(BoardRow, ("dataset", "split", "output")),
    "pairs": Table(PairRow, ("dataset", "split", "id")),
    "fused": Table(FusedRow, ("entry", "dataset", "split", "id")),
    "variants": Table(VariantRow, ("number",)),
    "scores": Table(PackedRow, ("image", "pair")),
    "failures": Table(FailureRow, ("entry", "dataset", "split", "id")),
    "tasks": Table(TaskRow, ("entry", "dataset", "split", "task", "network", "protocol", "recipe", "seed")),
    "task_gaps": Table(GapRow, ("dataset", "split", "task")),
    "runs": Table(RunRow, ()),
}
ADDED_LATE = {"tasks", "task_gaps"}  # some files of version 2 lack them
FUSED_2 = ("entry", "pair", "image", "path")
SCORES_4 = "scores_4"  # the table of up to version 4, on its way

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS makers(id INTEGER PRIMARY KEY, info TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS entries(key TEXT PRIMARY KEY, id TEXT NOT NULL, output TEXT NOT NULL,
        seq INTEGER NOT NULL, info TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS boards(dataset TEXT, split TEXT, output TEXT, info TEXT NOT NULL,
        PRIMARY KEY(dataset, split, output))""",
    """CREATE TABLE IF NOT EXISTS pairs(dataset TEXT, split TEXT, id TEXT, hash TEXT NOT NULL,
        PRIMARY KEY(dataset, split, id))""",
    """CREATE TABLE IF NOT EXISTS fused(entry TEXT, dataset TEXT, split TEXT, id TEXT, pair TEXT NOT NULL,
        image TEXT NOT NULL, path TEXT NOT NULL, made INTEGER NOT NULL, PRIMARY KEY(entry, dataset, split, id))""",
    """CREATE TABLE IF NOT EXISTS variants(number INTEGER PRIMARY KEY, metric TEXT, code TEXT,
        UNIQUE(metric, code))""",
    """CREATE TABLE IF NOT EXISTS scores(image TEXT, pair TEXT, packed BLOB NOT NULL, PRIMARY KEY(image, pair))""",
    """CREATE TABLE IF NOT EXISTS failures(entry TEXT, dataset TEXT, split TEXT, id TEXT, reason TEXT NOT NULL,
        PRIMARY KEY(entry, dataset, split, id))""",
    """CREATE TABLE IF NOT EXISTS tasks(entry TEXT, dataset TEXT, split TEXT, task TEXT, network TEXT, protocol TEXT,
        recipe TEXT, seed INTEGER, code TEXT, pictures TEXT, info TEXT NOT NULL,
        PRIMARY KEY(entry, dataset, split, task, network, protocol, recipe, seed))""",
    """CREATE TABLE IF NOT EXISTS task_gaps(dataset TEXT, split TEXT, task TEXT, reason TEXT NOT NULL,
        PRIMARY KEY(dataset, split, task))""",
    "CREATE TABLE IF NOT EXISTS runs(started TEXT, info TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS entries_of_id ON entries(id, output, seq)",
    "CREATE INDEX IF NOT EXISTS tasks_of_board ON tasks(dataset, split)",
)


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Version of a file: 0 for an empty one, 2 to 5.

    Args:
        db: the open file.
        path: named in errors.

    Raises:
        FusionbenchError: it is of a newer version, damaged, or another program's.
    """
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    things = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    tables = {name for kind, name in things if kind != "index"}
    plain = all(kind in ("table", "index") for kind, _ in things)  # views and triggers are programs
    if application in (0, APPLICATION) and not things:
        if version == 0:
            return 0
        raise FusionbenchError(_other_version(path, version))
    if application == APPLICATION:
        if version > VERSION:
            raise FusionbenchError(_other_version(path, version))
        if version in (3, 4, VERSION) and plain and {name: _columns(db, name) for name in tables} == _layout(version):
            return int(version)
        raise FusionbenchError(f"{path}: {FOREIGN}")
    expected = _layout(2)
    ours = application == 0 and version in (0, 2) and plain and tables | ADDED_LATE == expected.keys()
    if ours and all(_columns(db, name) == expected[name] for name in tables):
        return 2
    raise FusionbenchError(f"{path}: another program's database; nothing was written to it, choose another out=")


def _other_version(path: Path, version: int) -> str:
    return (
        f"{path}: written by another version of fusionbench (store {version}, this one reads up to {VERSION}); "
        "install a newer fusionbench, or choose another out="
    )


def _layout(version: int) -> dict[str, tuple[str, ...]]:
    """Tables and their columns in a version."""
    layout = {name: table.columns for name, table in TABLES.items()}
    if version < 5:
        del layout["variants"]
        layout["scores"] = ScoreRow._fields
    if version < 4:
        del layout["makers"]
        layout |= {name: layout[name][:-1] for name in ("fused", "scores")}
    return layout | ({"fused": FUSED_2} if version == 2 else {})


def _columns(db: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Its columns, hidden and generated ones not among them."""
    return tuple(row[1] for row in db.execute(f"PRAGMA table_info({table})"))


def prepare(db: sqlite3.Connection, path: Path) -> list[str]:
    """Bring a file to the present version, in one transaction.

    Returns:
        What its user has to know, a line each.

    Raises:
        FusionbenchError: it is not ours.
    """
    notes: list[str] = []
    if version_of(db, path) == VERSION:
        return notes
    db.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(db, path)  # another process may have been first
        if version == 2:
            db.execute("ALTER TABLE fused RENAME TO fused_2")
        if version < VERSION:
            for name in {2: ("scores",), 3: ("fused", "scores")}.get(version, ()):
                db.execute(f"ALTER TABLE {name} ADD COLUMN made INTEGER NOT NULL DEFAULT 0")
            if version:
                db.execute(f"ALTER TABLE scores RENAME TO {SCORES_4}")
            for statement in STATEMENTS:
                db.execute(statement)
            if version == 2:
                db.executemany("INSERT OR IGNORE INTO fused VALUES(?,?,?,?,?,?,?,?)", _from_version_2(db))
                db.execute("DROP TABLE fused_2")
                notes = [f"{path}: {text}" for text in fold(db)]
            if version in (2, 3):
                name_makers(db, ("fused", SCORES_4))
            if version:
                packed.from_rows(db, SCORES_4)
                db.execute(f"DROP TABLE {SCORES_4}")
            db.execute(f"PRAGMA application_id={APPLICATION}")
            db.execute(f"PRAGMA user_version={VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return notes


def _from_version_2(db: sqlite3.Connection) -> Iterator[FusedRow]:
    """Pictures by image, from pictures by pair.

    Pairs of the same bytes shared one picture. That is right for a method; of pictures that another program made it is
    the one that its path names, and the others are read again by the next run.
    """
    labelled = {key for key, info in db.execute("SELECT key, info FROM entries") if has_label(info)}
    images: dict[str, list[tuple[str, str, str]]] = {}
    for dataset, split, ident, pair in db.execute("SELECT dataset, split, id, hash FROM pairs"):
        images.setdefault(pair, []).append((dataset, split, ident))
    unregistered = []  # of training splits, or of pairs that have changed; these yield to the present ones
    for entry, pair, image, path in db.execute("SELECT entry, pair, image, path FROM fused_2").fetchall():
        origin = _image_of(path, pair)
        shared = images.get(pair, [])
        own = [i for i in shared if i[2] == origin[2]]
        for place in own or shared if entry in labelled else shared:
            yield FusedRow(entry, *place, pair, image, path, 0)
        if not shared:
            unregistered.append(FusedRow(entry, *origin, pair, image, path, 0))
    yield from unregistered


def _image_of(path: str, pair: str) -> tuple[str, str, str]:
    """Dataset, split and id that ``fused/ENTRY/DATASET-SPLIT/ID.png`` names."""
    parts = path.split("/", 3)
    if len(parts) < 4 or "-" not in parts[2]:
        return "", "", pair
    dataset, _, split = parts[2].rpartition("-")
    return dataset, split, parts[3].removesuffix(".png")
