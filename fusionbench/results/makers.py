"""Who made what an older file holds, which did not record it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable

import msgspec

from fusionbench.results.provenance import made_by
from fusionbench.results.records import Made, Run


def name_makers(db: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Say of everything in an older file who made it, where all of its runs were made by one."""
    made, of_tasks = Made(), Made()
    with contextlib.suppress(msgspec.MsgspecError):  # what a run cannot tell is not recorded
        runs = [msgspec.json.decode(text, type=Run) for (text,) in db.execute("SELECT info FROM runs")]
        worked = [run for run in runs if run.fused or run.scored]
        made, of_tasks = _only(map(made_by, worked)), _only(made_by(run, tasks=True) for run in worked)
    db.execute("INSERT INTO makers VALUES(?,?)", (made.id, json.dumps(made.plain(), sort_keys=True)))
    for name in tables:
        db.execute(f"UPDATE {name} SET made=?", (made.id,))
    for number, text in db.execute("SELECT rowid, info FROM tasks").fetchall():
        with contextlib.suppress(msgspec.MsgspecError):  # damage is told when it is read
            info = msgspec.json.decode(text, type=dict[str, object]) | {"made": of_tasks.plain()}
            db.execute("UPDATE tasks SET info=? WHERE rowid=?", (json.dumps(info, sort_keys=True), number))


def _only(makers: Iterable[Made]) -> Made:
    """The one that made everything, or one of which nothing is known."""
    different = {made.id: made for made in makers}
    return next(iter(different.values())) if len(different) == 1 else Made()
