"""Several results stores into one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fusionbench.errors import FusionbenchError
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import VERSION, Store

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
Value = str | int | float | None
Row = dict[str, Value]  # column -> value

BOARD_FACTS = ("protocol", "split_sha256")  # counts of a board differ between machines, these must not
FUSED = "SELECT 1 FROM fused f JOIN pairs p ON p.hash = f.pair WHERE f.entry=? AND p.dataset=? AND p.split=? AND p.id=?"


def check_sources(folders: Iterable[Path]) -> None:
    """Refuse what cannot be merged, before a target is made.

    Raises:
        FusionbenchError: when a folder holds no store, or a damaged one.
    """
    for folder in folders:
        _open(folder).close()


@dataclass(frozen=True)
class Merger:
    """One source on its way into the target: what is added and what disagrees is noted as it goes.

    Attributes:
        db: the target, in a transaction.
        folder: of the source.
        added: rows added per table.
        conflicts: a line each.
    """

    db: sqlite3.Connection
    folder: Path
    added: dict[str, int]
    conflicts: list[str]

    def table(self, table: str, rows: Iterable[Row]) -> None:
        """Add what the target lacks of one table, and name what differs."""
        keys, value = TABLES[table]
        where = " AND ".join(f"{k}=?" for k in keys)
        for row in rows:
            key = [row[k] for k in keys]
            present = self.db.execute(f"SELECT {value} FROM {table} WHERE {where}", key).fetchone()
            fused_here = table == "failures" and bool(self.db.execute(FUSED, key).fetchone())
            if present is None:
                if fused_here:
                    continue  # a failure of one machine, fused on the other
                marks = ",".join("?" * len(row))
                self.db.execute(f"INSERT INTO {table}({','.join(row)}) VALUES({marks})", list(row.values()))
                self.added[table] += 1
            elif table == "boards":
                self._compare_boards(" ".join(map(str, key)), str(row[value]), present[0])
            elif present[0] != row[value] and not fused_here:
                name = " ".join(str(k)[:12] if len(str(k)) == 64 else str(k) for k in key)
                self._conflict(f"{WORDS[table]} {name}: {_short(row[value])}", _short(present[0]))

    def entries(self, rows: Iterable[Row]) -> None:
        """Add entries, numbered so that of an id and output rule the target's latest stays the one tables show."""
        last = self.db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0]
        known = {key for (key,) in self.db.execute("SELECT key FROM entries")}
        latest: dict[tuple[str, str], tuple[str, int]] = {}  # (id, output rule) -> latest key, lowest number
        for ident, output, key, lowest in self.db.execute(
            "SELECT id, output, key, (SELECT min(seq) FROM entries WHERE id = e.id AND output = e.output)"
            " FROM entries e ORDER BY seq"
        ):
            latest[ident, output] = key, lowest
        numbered = []
        seen: set[tuple[str, str]] = set()
        for row in sorted(rows, key=lambda r: -_number(r)):  # the source's latest first
            name = str(row["id"]), str(row["output"])
            if name in latest:
                key, lowest = latest[name]
                if name not in seen and row["key"] != key:
                    other = str(row["key"])[:12]
                    self._conflict(
                        f"entry {name[0]} (output {name[1]}): key {other} (other code, options or weights)", key[:12]
                    )
                seen.add(name)
                if row["key"] not in known:
                    latest[name] = key, lowest - 1
                    row = {**row, "seq": lowest - 1}
            else:
                row = {**row, "seq": last + _number(row)}
            numbered.append(row)
        self.table("entries", numbered)

    def drop_stale_failures(self, fused: Iterable[Row]) -> None:
        """Forget failures of the target for pairs that the source could fuse."""
        self.db.executemany(
            "DELETE FROM failures WHERE entry=:entry AND EXISTS (SELECT 1 FROM pairs p WHERE p.hash=:pair"
            " AND p.dataset=failures.dataset AND p.split=failures.split AND p.id=failures.id)",
            fused,
        )

    def runs(self, rows: Iterable[tuple[str, str]]) -> None:
        """Add the provenance of runs that the target does not have."""
        for row in rows:
            if not self.db.execute("SELECT 1 FROM runs WHERE started=? AND info=?", row).fetchone():
                self.db.execute("INSERT INTO runs VALUES(?,?)", row)

    def _compare_boards(self, name: str, source: str, target: str) -> None:
        other, own = json.loads(source), json.loads(target)
        for fact in BOARD_FACTS:
            if other.get(fact) != own.get(fact):
                what = f"{WORDS['boards']} of {name}: {fact} {_short(other.get(fact))}"
                self._conflict(what, _short(own.get(fact)))

    def _conflict(self, what: str, own: str) -> None:
        self.conflicts.append(f"{self.folder}: {what}, kept {own}")


def merge(store: Store, folders: list[Path]) -> tuple[dict[str, int], list[str]]:
    """Copy what other stores have and this one lacks; what disagrees is named, and stays as it is here.

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
                # Read first: inside the transaction a fault of the source would be blamed on the target.
                rows = {table: _rows(source, table) for table in TABLES}
                runs = source.execute("SELECT started, info FROM runs").fetchall()
            except sqlite3.Error as error:
                raise storage_error(folder / "results.db", error) from None
        with store.transaction() as db:
            merger = Merger(db, folder, added, conflicts)
            present = set(db.execute("SELECT entry, pair FROM fused"))
            for table in TABLES:
                if table == "entries":
                    merger.entries(rows[table])
                else:
                    merger.table(table, rows[table])
            merger.drop_stale_failures(r for r in rows["fused"] if (r["entry"], r["pair"]) not in present)
            merger.runs(runs)
        _pictures([str(r["path"]) for r in rows["fused"]], folder, store.folder)
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


def _rows(db: sqlite3.Connection, table: str) -> list[Row]:
    cursor = db.execute(f"SELECT * FROM {table}")
    columns = [c[0] for c in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


def _number(row: Row) -> int:
    """Place of an entry in the order in which entries were registered."""
    return int(row["seq"] or 0)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:16] + "..."


def _pictures(paths: Iterable[str], folder: Path, target: Path) -> None:
    """Copy fused pictures that are not there yet."""
    for path in dict.fromkeys(paths):
        source, own = folder / path, target / path
        inside = not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
        if inside and source.is_file() and not own.exists():
            part = own.with_name(f".{own.name}.{os.getpid()}.part")
            try:
                own.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, part)
                os.replace(part, own)
            except OSError as error:
                raise storage_error(own, error) from None
