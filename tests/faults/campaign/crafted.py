"""Stores, results and records that were edited, damaged or made to harm, and what comes with them."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fusionbench.results.schema import TABLES
from tests.faults.campaign.bench import Bench, edited, spoilt
from tests.faults.campaign.cases import Verdict
from tests.faults.campaign.checked import Canary, given, outcome
from tests.faults.campaign.checkpoints import frozen, resumed, weights
from tests.faults.campaign.forks import run
from tests.faults.campaign.jobs import Inputs, settings
from tests.faults.test_crafted import broken_texts

COUNTS = {"stores": 36, "tables": 36, "weights": 30, "resumed": 36, "frozen": 24, "records": 18}
QUICK = {"stores": 1, "weights": 1}


def cases(inputs: Inputs, scratch: Path, seed: int, quick: bool = False) -> Iterator[Verdict]:
    """Every case; see :func:`tests.faults.campaign.kills.cases`."""
    for group, count in (QUICK if quick else COUNTS).items():
        scratch.mkdir(parents=True, exist_ok=True)
        bench = Bench(inputs, scratch, random.Random(f"{seed} {group}"), Canary(scratch))
        made = GROUPS[group](bench)
        for _, verdict in zip(range(count), made, strict=False):
            yield verdict
        made.close()
    shutil.rmtree(scratch, ignore_errors=True)


# ---------------------------------------------------------------- stores


def stores(bench: Bench) -> Iterator[Verdict]:
    """A store in which one cell is another, or some bytes, or which runs SQL of its own."""
    whole = bench.inputs.store / "results.db"
    with closing(sqlite3.connect(whole)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    number = 0
    while True:
        number += 1
        out = bench.fresh() / "stranger"
        out.mkdir()
        shutil.copy(whole, out)
        what = [_cell, _cell, _bytes, _sql][number % 4](out / "results.db", bench)
        own = out.parent / "own"
        shutil.copytree(bench.inputs.store, own)
        before = _rows(own)
        ended, faults = [], []
        for words in (
            ("leaderboard", "--out", out),
            ("export", "--out", out, "-o", out.parent / "scores.csv"),
            ("compare", "average", "maximum", "--out", out),
            ("merge", out, "--out", own),
        ):
            done, found = given(words, out.parent, bench.canary)
            ended.append(done)
            faults += found
        if lost := before - _rows(own):
            faults.append(f"merge: {len(lost)} rows of ours were lost or changed, e.g. {next(iter(lost))}")
        yield Verdict("stores", f"{number} {what}", outcome(*ended), tuple(faults))


def _cell(path: Path, bench: Bench) -> str:
    draw = bench.draw
    table = draw.choice(list(TABLES))
    column = draw.choice(TABLES[table].columns)
    with closing(sqlite3.connect(path)) as db, db:
        row = db.execute(f"SELECT rowid, {column} FROM {table}").fetchone()
        new: object = draw.choice(
            (None, 0, -1, 2**63 - 1, 1e308, "", "\x00", b"\xff", "../x", "[" * 3000, "/etc/passwd")
        )
        what = str(new)[:20]
        if row and column == "info" and draw.random() < 0.8:
            content, what = edited(json.loads(row[1]), draw, bench.canary)
            new = json.dumps(content)
        try:
            db.execute(f"UPDATE {table} SET {column}=? WHERE rowid=?", (new, row[0] if row else 0))
        except sqlite3.IntegrityError:
            db.execute(f"DELETE FROM {table}")
            what = "emptied"
    return f"{table}.{column} {what}"


def _bytes(path: Path, bench: Bench) -> str:
    path.write_bytes(spoilt(path.read_bytes(), bench.draw))
    return "bytes"


def _sql(path: Path, bench: Bench) -> str:
    """Triggers, views and columns in the place of tables; SQL that would write files or load a library."""
    statements = (
        "CREATE TRIGGER t AFTER INSERT ON scores BEGIN DELETE FROM scores; END",
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN UPDATE scores SET packed=x'00'; END",
        "ALTER TABLE scores RENAME TO old; CREATE VIEW scores AS SELECT *, load_extension('x') FROM old",
        "ALTER TABLE entries RENAME TO old; CREATE VIEW entries AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT"
        " x+1 FROM r) SELECT key, id, output, x AS seq, info FROM old, r",
        f"ATTACH '{bench.canary.path}.db' AS other; CREATE TABLE other.x(a); DETACH other",
        'ALTER TABLE scores ADD COLUMN "value) SELECT 0.5 --" REAL',
        "DROP TABLE pairs",
        "PRAGMA user_version=99",
        "PRAGMA application_id=1",
    )
    statement = bench.draw.choice(statements)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statement)
    Path(f"{bench.canary.path}.db").unlink(missing_ok=True)
    return statement[:60]


def _rows(folder: Path) -> set[str]:
    """Scores and pictures that a store has."""
    with closing(sqlite3.connect(folder / "results.db")) as db:
        return {repr(row) for table in ("scores", "fused", "pairs") for row in db.execute(f"SELECT * FROM {table}")}


# ---------------------------------------------------------------- results


def tables(bench: Bench) -> Iterator[Verdict]:
    """A result, of which the table or its provenance is another, given to `reproduce`."""
    facts = next((bench.inputs.store / "tables").glob("*.provenance.json"))
    table = facts.with_name(facts.name.replace(".provenance", ""))
    texts = {"t.provenance.json": facts.read_text(), "t.json": table.read_text()}
    number = 0
    while True:
        number += 1
        folder, name = bench.fresh(), bench.draw.choice(list(texts))
        for other, text in texts.items():
            (folder / other).write_text(text)
        if number % 4:
            content, what = edited(json.loads(texts[name]), bench.draw, bench.canary)
            (folder / name).write_text(json.dumps(content))
        else:
            (folder / name).write_bytes(bench.draw.choice(broken_texts(texts[name])))
            what = "no JSON"
        words = (
            "reproduce",
            folder / "t.json",
            "--data-root",
            bench.inputs.data,
            "--jobs=1",
            "--out",
            folder / "again",
        )
        done, faults = given(words, folder, bench.canary)
        yield Verdict("tables", f"{number} {name} {what}", outcome(done), tuple(faults))


# ---------------------------------------------------------------- records


def records(bench: Bench) -> Iterator[Verdict]:
    """What we keep as JSON beside weights and generated trees, edited."""
    kept = bench.scratch / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    file = bench.inputs.root / "checkpoint.pth"
    run(("weights", "add", "tdfusion", file, "--name=mine"), kept, settings(kept))
    origin = bench.inputs.data / "MSRS/fusionbench-origin.json"
    scored = ("--metrics=en", "--datasets=msrs", "--limit=1")
    number = 0
    while True:
        number += 1
        folder = bench.fresh()
        shutil.copytree(kept / "cache", folder / "cache")
        (folder / "data").mkdir()
        shutil.copytree(bench.inputs.data / "MSRS", folder / "data/MSRS")
        record = folder / "cache/weights/tdfusion/mine.json"
        target = record if number % 2 else folder / "data/MSRS" / origin.name
        content, what = edited(json.loads(target.read_text()), bench.draw, bench.canary)
        target.write_bytes(
            bench.draw.choice(broken_texts(target.read_text())) if number % 5 == 0 else json.dumps(content).encode()
        )
        methods = "tdfusion[mine]" if number % 2 else "average"
        ended, faults = [], []
        for words in (
            ("weights", "list"),
            ("data", "check", "msrs", "--data-root", folder / "data"),
            ("eval", *scored, "--methods", methods, "--data-root", folder / "data", "--out", folder / "out"),
        ):
            done, found = given(words, folder, bench.canary, settings(folder))
            ended.append(done)
            faults += found
        yield Verdict("records", f"{number} {target.name} {what}", outcome(*ended), tuple(faults))


GROUPS = {
    "stores": stores,
    "tables": tables,
    "weights": weights,
    "resumed": resumed,
    "frozen": frozen,
    "records": records,
}
