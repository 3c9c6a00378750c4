"""Several results stores into one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.results.store import VERSION, Store, storage_error

# table -> (key columns, value column that must agree); failures come last: they yield to fused pictures
TABLES = {
    "pairs": (("dataset", "split", "id"), "hash"),
    "fused": (("entry", "pair"), "image"),
    "scores": (("image", "pair", "metric", "code"), "value"),
    "entries": (("key",), "info"),
    "boards": (("dataset", "split", "output"), "info"),
    "failures": (("entry", "dataset", "split", "id"), "reason"),
}
WORDS = {
    "pairs": "source pair",
    "fused": "fused image",
    "scores": "score",
    "entries": "entry",
    "boards": "protocol",
    "failures": "failure",
}


BOARD_FACTS = ("protocol", "split_sha256")  # counts of a board differ between machines, these must not
FUSED = "SELECT 1 FROM fused f JOIN pairs p ON p.hash = f.pair WHERE f.entry=? AND p.dataset=? AND p.split=? AND p.id=?"


def check_sources(folders: Iterable[Path]) -> None:
    """Refuse what cannot be merged, before a target is made.

    Raises:
        FusionbenchError: when a folder holds no store, or a damaged one.
    """
    for folder in folders:
        _open(folder).close()


def merge(store: Store, folders: list[Path]) -> tuple[dict[str, int], list[str]]:
    """Copy what other stores have and this one lacks; what disagrees is named, and ours stays.

    Args:
        store: the target.
        folders: output directories of other runs.

    Returns:
        Number of rows added per table, and one line per conflict.

    Raises:
        FusionbenchError: when a folder holds no store.
    """
    check_sources(folders)
    added = dict.fromkeys(TABLES, 0)
    conflicts: list[str] = []
    for folder in folders:
        with closing(_open(folder)) as source:
            try:
                # Read first: inside the transaction a fault of theirs would be blamed on the target.
                theirs = {table: _rows(source, table) for table in TABLES}
                runs = source.execute("SELECT started, info FROM runs").fetchall()
            except sqlite3.Error as error:
                raise storage_error(folder / "results.db", error) from None
        with store.transaction() as db:
            ours = set(db.execute("SELECT entry, pair FROM fused"))
            for table in TABLES:
                _table(db, table, theirs[table], folder, added, conflicts)
            _drop_stale_failures(db, [r for r in theirs["fused"] if (r["entry"], r["pair"]) not in ours])
            for row in runs:
                if not db.execute("SELECT 1 FROM runs WHERE started=? AND info=?", row).fetchone():
                    db.execute("INSERT INTO runs VALUES(?,?)", row)
        _pictures([r["path"] for r in theirs["fused"]], folder, store.folder)
    return added, conflicts


def _open(folder: Path) -> sqlite3.Connection:
    """A source, read-only.

    Raises:
        FusionbenchError: when it is no store of this version.
    """
    path = folder / "results.db"
    if not path.is_file():
        raise FusionbenchError(f"{path}: no results store")
    source = None
    try:
        source = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)
        if source.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise FusionbenchError(f"{path}: written by another version of fusionbench")
        for table in (*TABLES, "runs"):
            source.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    except (sqlite3.Error, FusionbenchError) as error:
        if source is not None:
            source.close()
        if isinstance(error, FusionbenchError):
            raise
        raise storage_error(path, error) from None
    return source


def _rows(db: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    cursor = db.execute(f"SELECT * FROM {table}")
    columns = [c[0] for c in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


def _table(
    db: sqlite3.Connection,
    table: str,
    rows: list[dict[str, Any]],
    folder: Path,
    added: dict[str, int],
    conflicts: list[str],
) -> None:
    keys, value = TABLES[table]
    where = " AND ".join(f"{k}=?" for k in keys)
    if table == "entries":
        rows = _entries(db, rows, folder, conflicts)
    for record in rows:
        key = [record[k] for k in keys]
        mine = db.execute(f"SELECT {value} FROM {table} WHERE {where}", key).fetchone()
        if mine is None:
            if table == "failures" and db.execute(FUSED, key).fetchone():
                continue  # fused on one of the machines
            names = ",".join(record)
            marks = ",".join("?" * len(record))
            db.execute(f"INSERT INTO {table}({names}) VALUES({marks})", list(record.values()))
            added[table] += 1
        elif table == "boards":
            conflicts += _board(" ".join(key), json.loads(record[value]), json.loads(mine[0]), folder)
        elif mine[0] != record[value] and not (table == "failures" and db.execute(FUSED, key).fetchone()):
            name = " ".join(str(k)[:12] if len(str(k)) == 64 else str(k) for k in key)
            conflicts.append(f"{folder}: {WORDS[table]} {name}: {_short(record[value])}, kept {_short(mine[0])}")


def _entries(
    db: sqlite3.Connection, rows: list[dict[str, Any]], folder: Path, conflicts: list[str]
) -> list[dict[str, Any]]:
    """Their entries, numbered so that of an id and output rule our latest stays the one that tables show."""
    last = db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0]
    ours = {row[0] for row in db.execute("SELECT key FROM entries")}
    mine: dict[tuple[str, str], tuple[str, int]] = {}
    for ident, output, key, lowest in db.execute(
        "SELECT id, output, key, (SELECT min(seq) FROM entries WHERE id = e.id AND output = e.output)"
        " FROM entries e ORDER BY seq"
    ):
        mine[ident, output] = key, lowest
    numbered = []
    named: set[tuple[str, str]] = set()
    for row in sorted(rows, key=lambda r: -r["seq"]):  # their latest first
        name = row["id"], row["output"]
        if name in mine:
            kept, lowest = mine[name]
            if name not in named and row["key"] != kept:
                conflicts.append(
                    f"{folder}: entry {row['id']} (output {row['output']}): key {row['key'][:12]} (other code, options "
                    f"or weights), kept {kept[:12]}"
                )
            named.add(name)
            if row["key"] not in ours:
                mine[name] = kept, lowest - 1
                row = {**row, "seq": lowest - 1}
        else:
            row = {**row, "seq": last + row["seq"]}
        numbered.append(row)
    return numbered


def _board(name: str, theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> list[str]:
    return [
        f"{folder}: {WORDS['boards']} of {name}: {fact} {_short(theirs.get(fact))}, kept {_short(ours.get(fact))}"
        for fact in BOARD_FACTS
        if theirs.get(fact) != ours.get(fact)
    ]


def _drop_stale_failures(db: sqlite3.Connection, fused: list[dict[str, Any]]) -> None:
    """Failures of ours for pairs that another machine could fuse."""
    db.executemany(
        "DELETE FROM failures WHERE entry=:entry AND EXISTS (SELECT 1 FROM pairs p WHERE p.hash=:pair"
        " AND p.dataset=failures.dataset AND p.split=failures.split AND p.id=failures.id)",
        fused,
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:16] + "..."


def _pictures(paths: Iterable[str], folder: Path, target: Path) -> None:
    """Copy fused pictures that are not there yet."""
    for path in dict.fromkeys(paths):
        theirs, ours = folder / path, target / path
        inside = not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
        if inside and theirs.is_file() and not ours.exists():
            part = ours.with_name(f".{ours.name}.{os.getpid()}.part")
            try:
                ours.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(theirs, part)
                os.replace(part, ours)
            except OSError as error:
                raise storage_error(ours, error) from None
