"""Results files as version 0.1.0 wrote them, and small ones of today."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fusionbench.results.records import Hardware, PlanInfo, Run
from fusionbench.results.schema import APPLICATION
from fusionbench.results.store import Score, Store
from tests.harness.test_store import board, entry, task_result

# fusionbench/store.py of 0.1.0
SCHEMA_2 = """
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
"""
TASKS_2 = """
CREATE TABLE IF NOT EXISTS tasks(entry TEXT, dataset TEXT, split TEXT, task TEXT, network TEXT, protocol TEXT,
    recipe TEXT, seed INTEGER, code TEXT, pictures TEXT, info TEXT NOT NULL,
    PRIMARY KEY(entry, dataset, split, task, network, protocol, recipe, seed));
CREATE TABLE IF NOT EXISTS task_gaps(dataset TEXT, split TEXT, task TEXT, reason TEXT NOT NULL,
    PRIMARY KEY(dataset, split, task));
"""
RUNS_2 = "CREATE TABLE IF NOT EXISTS runs(started TEXT, info TEXT NOT NULL);"

# Version 3, before 0.2.0: rows do not say what computed them.
FUSED_3 = """
CREATE TABLE IF NOT EXISTS fused(entry TEXT, dataset TEXT, split TEXT, id TEXT, pair TEXT NOT NULL,
    image TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY(entry, dataset, split, id));
"""


def a_run(torch: str = "2.0", cpu: str = "Processor A", fused: int = 1, device: str = "cpu", gpu: str = "") -> Run:
    """A run on some machine."""
    return Run(
        command="fusionbench eval",
        started="2026-01-01T00:00:00Z",
        wall_seconds=1.0,
        fusionbench="0.1.0",
        commit=None,
        python="3.11",
        libraries={"torch": torch, "numpy": "2.0", "mmdet": "3.3"},
        hardware=Hardware(
            cpu=cpu, cores=1, memory_gib=1.0, gpus=(gpu,) if gpu else (), machine="x86_64", system="Linux"
        ),
        seed=None,
        plan=PlanInfo(entries=(), sources=(), skipped=(), device=device, jobs=1),
        fused=fused,
        scored=0,
    )


def store_of_version_3(folder: Path, *runs: Run | str) -> Path:
    """A store of version 3 with a picture, a score, a task result and these runs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.db"
    with closing(sqlite3.connect(path)) as db, db:
        others = [s for s in SCHEMA_2.split(";") if "EXISTS fused(" not in s]
        db.executescript(";".join(others) + FUSED_3 + TASKS_2 + RUNS_2)
        db.execute("INSERT INTO entries VALUES('g','gff','released',1,?)", (json.dumps(entry().plain()),))
        db.execute("INSERT INTO boards VALUES('d','test','released',?)", (json.dumps(board().plain()),))
        db.execute("INSERT INTO pairs VALUES('d','test','a','p')")
        db.execute("INSERT INTO fused VALUES('g','d','test','a','p','i','fused/gff-1/d-test/a.png')")
        db.execute("INSERT INTO scores VALUES('i','p','en@bits','c',1.0)")
        old = {k: v for k, v in task_result().plain().items() if k not in ("made", "weights", "trained_with")}
        row = ("g", "d", "test", "t", "n", "frozen", "full", 0, "c", "p", json.dumps(old))
        db.execute("INSERT INTO tasks VALUES(?,?,?,?,?,?,?,?,?,?,?)", row)
        texts = [run if isinstance(run, str) else json.dumps(run.plain()) for run in runs]
        db.executemany("INSERT INTO runs VALUES('2026',?)", [(text,) for text in texts])
        db.execute(f"PRAGMA application_id={APPLICATION}")
        db.execute("PRAGMA user_version=3")
    return path


def old_store(folder: Path, tasks: bool = True) -> Path:
    """A store of version 2 with a method, pictures of another program, two pairs of the same bytes, and training."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.db"
    named = entry(id="images[X]", method="images", options={"name": "X"})
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(SCHEMA_2 + (TASKS_2 if tasks else "") + RUNS_2)
        for seq, (key, facts) in enumerate((("g", entry()), ("x", named)), 1):
            text = json.dumps(facts.plain())
            db.execute("INSERT INTO entries VALUES(?,?,?,?,?)", (key, facts.id, "released", seq, text))
        db.execute("INSERT INTO boards VALUES('d','test','released',?)", (json.dumps(board().plain()),))
        db.executemany(
            "INSERT INTO pairs VALUES('d','test',?,?)", [("a", "same"), ("b", "same"), ("c", "p3"), ("e", "new")]
        )
        db.executemany(
            "INSERT INTO fused VALUES(?,?,?,?)",
            [
                ("g", "same", "i1", "fused/gff-1/d-test/a.png"),
                ("g", "p3", "i3", "fused/gff-1/d-test/c.png"),
                ("g", "t1", "i4", "fused/gff-1/d-train/sub/t.png"),  # of a training split, which has no pairs here
                ("g", "gone", "i5", "elsewhere.png"),
                ("g", "new", "i7", "fused/gff-1/d-test/e.png"),
                ("g", "old", "i6", "fused/gff-1/d-test/e.png"),  # the pair has changed since
                ("x", "same", "i2", "fused/images_X-1/d-test/b.png"),
            ],
        )
        rows = [(f"i{n}", p, "en@bits", "c", float(n)) for n, p in enumerate(("same", "same", "p3"), 1)]
        db.executemany("INSERT INTO scores VALUES(?,?,?,?,?)", [*rows, ("i9", "p", "en@bits", "c", None)])
        db.execute("INSERT INTO failures VALUES('x','d','test','c','no picture')")
        if tasks:
            db.execute("INSERT INTO task_gaps VALUES('d','test','detection','no boxes')")
        db.execute("PRAGMA user_version=2")
    return path


def add_folders(path: Path, folders: list[dict[str, list[tuple[str, str]]]]) -> None:
    """Entries of version 2 that are all called ``images[Z]``, old to new: dataset to (pair, picture)."""
    info = json.dumps(entry(id="images[Z]", method="images", options={"name": "Z"}).plain())
    with closing(sqlite3.connect(path)) as db, db:
        for number, datasets in enumerate(folders):
            db.execute("INSERT INTO entries VALUES(?,'images[Z]','released',?,?)", (f"z{number}", 10 + number, info))
            for dataset, pictures in datasets.items():
                for pair, image in pictures:
                    place = (dataset, "test", pair)
                    db.execute("INSERT OR REPLACE INTO pairs VALUES(?,?,?,?)", (*place, f"{dataset}-{pair}"))
                    name = f"fused/images_Z-z{number}/{dataset}-test/{pair}.png"
                    db.execute("INSERT INTO fused VALUES(?,?,?,?)", (f"z{number}", f"{dataset}-{pair}", image, name))


def change_scores(folder: Path, change: Callable[[float], float], metric: str | None = None) -> None:
    """Other numbers in a store, of one metric or all."""
    with Store(folder) as store:
        rows = [row for row in store.score_rows() if metric in (None, row.metric)]
        values = [math.nan if row.value is None else row.value for row in rows]
        store.put_scores([Score(*row[:4], change(value)) for row, value in zip(rows, values, strict=True)])


def version_4(folder: Path) -> Path:
    """What version 4 made of a store of version 2: a row for every score, and an index for its metric."""
    path = old_store(folder)
    Store(folder).close()
    with Store(folder) as store:
        rows = store.score_rows()
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(
            "DROP TABLE scores; DROP TABLE variants; CREATE TABLE scores(image TEXT, pair TEXT, metric TEXT, code TEXT,"
            "value REAL, made INTEGER NOT NULL, PRIMARY KEY(image, pair, metric, code));"
            "CREATE INDEX scores_of_metric ON scores(metric, code); PRAGMA user_version=4"
        )
        db.executemany("INSERT INTO scores VALUES(?,?,?,?,?,?)", rows)
    return path
