"""One name of another program's pictures is one entry: version 0.1.0 made one of every folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from fusionbench.counting import counted
from fusionbench.results.records import EntryInfo

Place = tuple[str, str]  # dataset, split
TABLES = ("fused", "failures", "tasks")


def has_label(info: str) -> bool:
    """Whether an entry is called after pictures that another program made, as ``images[NAME]`` is."""
    try:
        entry = msgspec.json.decode(info, type=EntryInfo)
    except msgspec.MsgspecError:
        return False
    return entry.weights is None and entry.id in {f"{entry.method}[{value}]" for value in entry.options.values()}


def fold(db: sqlite3.Connection) -> list[str]:
    """Give the newest entry of every such name what the older ones have of other datasets and splits.

    Where the newest has other pictures of the same images, it stands, and the older entry keeps its own.

    Returns:
        A line for each place where that is so.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for key, ident, output, info in db.execute("SELECT key, id, output, info FROM entries ORDER BY seq").fetchall():
        if has_label(info):
            names.setdefault((ident, output), []).append(key)
    notes = []
    for (ident, _), (*older, newest) in names.items():
        for key in reversed(older):
            notes += [f"{ident} on {text}" for text in _fold_into(db, newest, key)]
    return notes


def _fold_into(db: sqlite3.Connection, newest: str, older: str) -> list[str]:
    notes = []
    for place in _places(db, older):
        own, other = _pictures(db, newest, place), _pictures(db, older, place)
        if differ := [i for i in other if own.get(i, other[i]) != other[i]]:
            where = " ".join(filter(None, place)) or "pairs that are gone"
            notes.append(
                f"{where}: {counted(len(differ), 'picture')} of an earlier folder changed, e.g. {differ[0]}; "
                "its row is that of the folder that was read last, run `fusionbench eval --images NAME=DIR` for another"
            )
        else:
            _move(db, newest, older, place, own)
    if not _places(db, older):
        db.execute("DELETE FROM entries WHERE key=?", (older,))
    return notes


def _places(db: sqlite3.Connection, key: str) -> list[Place]:
    queries = (f"SELECT dataset, split FROM {table} WHERE entry=?1" for table in TABLES)
    return db.execute(f"{' UNION '.join(queries)} ORDER BY 1, 2", (key,)).fetchall()


def _pictures(db: sqlite3.Connection, key: str, place: Place) -> dict[str, str]:
    """Image id to the hash of the picture."""
    return dict(db.execute("SELECT id, image FROM fused WHERE entry=? AND dataset=? AND split=?", (key, *place)))


def _move(db: sqlite3.Connection, newest: str, older: str, place: Place, own: Mapping[str, str]) -> None:
    """Everything that an entry has of a place becomes the newest one's, whose own rows stay."""
    where = "entry=? AND dataset=? AND split=?"
    db.executemany(f"DELETE FROM failures WHERE {where} AND id=?", [(older, *place, ident) for ident in own])
    for table in TABLES:
        db.execute(f"UPDATE OR IGNORE {table} SET entry=? WHERE {where}", (newest, older, *place))
    for table in TABLES[:2]:  # what was there twice
        db.execute(f"DELETE FROM {table} WHERE {where}", (older, *place))
