"""Several results stores into one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.store import VERSION, Store, storage_error

# table -> (key columns, value column that must agree)
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
    added = dict.fromkeys(TABLES, 0)
    conflicts: list[str] = []
    for folder in folders:
        other = folder / "results.db"
        if not other.is_file():
            raise FusionbenchError(f"{other}: no results store")
        try:
            source = sqlite3.connect(f"file:{other.resolve()}?mode=ro", uri=True)
            if source.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                raise FusionbenchError(f"{other}: written by another version of fusionbench")
            with store.transaction() as db:
                for table, (keys, value) in TABLES.items():
                    _table(source, db, table, keys, value, folder, added, conflicts)
                for row in source.execute("SELECT started, info FROM runs"):
                    if not db.execute("SELECT 1 FROM runs WHERE started=? AND info=?", row).fetchone():
                        db.execute("INSERT INTO runs VALUES(?,?)", row)
            _pictures(source, folder, store.folder)
        except sqlite3.Error as error:
            raise storage_error(other, error) from None
        finally:
            source.close()
    return added, conflicts


def _table(
    source: sqlite3.Connection,
    db: sqlite3.Connection,
    table: str,
    keys: tuple[str, ...],
    value: str,
    folder: Path,
    added: dict[str, int],
    conflicts: list[str],
) -> None:
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
    where = " AND ".join(f"{k}=?" for k in keys)
    for row in source.execute(f"SELECT * FROM {table}"):
        record = dict(zip(columns, row, strict=True))
        key = [record[k] for k in keys]
        mine = db.execute(f"SELECT {value} FROM {table} WHERE {where}", key).fetchone()
        if mine is None:
            db.execute(f"INSERT INTO {table} VALUES({','.join('?' * len(row))})", row)
            added[table] += 1
        elif mine[0] != record[value] and table != "boards":
            name = " ".join(str(k)[:12] if len(str(k)) == 64 else str(k) for k in key)
            conflicts.append(f"{folder}: {WORDS[table]} {name}: {_short(record[value])}, kept {_short(mine[0])}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:16] + "..."


def _pictures(source: sqlite3.Connection, folder: Path, target: Path) -> None:
    """Copy fused pictures that are not there yet."""
    for (path,) in source.execute("SELECT DISTINCT path FROM fused WHERE path IS NOT NULL"):
        theirs, ours = folder / path, target / path
        if theirs.is_file() and not ours.exists():
            ours.parent.mkdir(parents=True, exist_ok=True)
            part = ours.with_name(f".{ours.name}.{os.getpid()}.part")
            shutil.copyfile(theirs, part)
            os.replace(part, ours)
