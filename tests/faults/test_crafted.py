"""Edited and damaged files, hundreds of them: each command ends in one line, never in an internal error."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fusionbench.results.schema import TABLES
from fusionbench.results.store import Store
from tests.conftest import REPO, Done, fusionbench, make_tree
from tests.harness.test_store import task_result

STRANGE: tuple[object, ...] = (
    *(None, True, 0, -1, 10**30, -(10**400), 1e308, 0.5, "", "x", "../../etc/passwd", "a\x1b[2J\nb", "é\u202e", "\x00"),
    *([], {}, [[]], [None], {"": {}}, {"mean": "1"}, ["x"] * 50, "[" * 100, "n" * 5000),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested data, of a long list the first two."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in list(items)[:40]:
        yield from places(below, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: object, how: str) -> Any:
    """A copy with one place replaced, removed or doubled."""
    if not path:
        return new
    result = json.loads(json.dumps(value))
    holder = result
    for key in path[:-1]:
        holder = holder[key]
    if how == "drop":
        del holder[path[-1]]
    elif how == "wrap":
        holder[path[-1]] = [holder[path[-1]]]
    else:
        holder[path[-1]] = new
    return result


def broken_texts(text: str) -> list[bytes]:
    """A JSON text that is none, or in another encoding."""
    return [
        b"",
        b"{",
        b"null",
        text[: len(text) // 2].encode(),
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        text.encode().replace(b'"', b"\xff", 3),
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"pairs":' + b"[" * 5000 + b"]" * 5000 + b"}",
        text.replace("null", "NaN").encode(),
        text.replace('"expected": 361', '"expected": 1e999').encode(),
        text.replace('"', '"\\ud800', 2).encode(),
        b"\x00" * 100,
        b"SQLite format 3\x00" + b"\x00" * 500,
    ]


def clean(done: Done, what: object) -> None:
    """A command ended as one may: nothing internal, and one line where it refused."""
    assert done.returncode in (0, 1, 2), f"{what}: {done.stderr}"
    assert "internal error" not in done.stderr, f"{what}: {done.stderr}"
    assert "Traceback" not in done.stderr + done.stdout, f"{what}: {done.stderr}"
    if done.returncode == 2:
        assert done.stderr.count("\n") == 1, f"{what}: {done.stderr}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of two pairs and results over it, with a task's."""
    root = tmp_path_factory.mktemp("made")
    make_tree(root / "data", 2)
    done = fusionbench(
        *("eval", "--methods=average,visible", "--metrics=en", "--datasets=msrs", "--data-root", root / "data"),
        *("--out", root / "r"),
    )
    assert done.returncode == 0, done.stderr
    with Store(root / "r") as store:
        (key, *_) = store.entries("released")
        store.put_task(key, "msrs", "test", task_result(task="segmentation", scores={"all": {"miou@tdfusion": 0.5}}))
        store.put_task_state("msrs", "test", "detection", "no boxes")
    return root


@pytest.mark.parametrize("seed", range(4))
def test_crafted_tables(made: Path, tmp_path: Path, seed: int) -> None:
    """80 edits of a real result, one place at a time, given to `reproduce`."""
    draw = random.Random(seed)
    facts = next((made / "r/tables").glob("*.provenance.json"))
    texts = {"t.provenance.json": facts.read_text(), "t.json": Path(str(facts).replace(".provenance", "")).read_text()}
    for number in range(20):
        name = draw.choice(list(texts))
        content = json.loads(texts[name])
        path = draw.choice(list(places(content)))
        new, how = draw.choice(STRANGE), draw.choice(("drop", "wrap", "replace", "replace"))
        for other, text in texts.items():
            (tmp_path / other).write_text(text)
        (tmp_path / name).write_text(json.dumps(changed(content, path, new, how)))
        done = fusionbench("reproduce", tmp_path / "t.json", "--data-root", made / "data", "--jobs=1")
        clean(done, (number, name, path, how, new))


def test_crafted_committed_tables(tmp_path: Path) -> None:
    """60 edits of a table with tasks in the repository, where its data are not at hand."""
    draw = random.Random(1)
    path = REPO / "leaderboards/tasks/m3fd-fusion@v1.partial-10-of-1050.json"
    texts = {"t.json": path.read_text(), "t.provenance.json": path.with_suffix(".provenance.json").read_text()}
    for number in range(60):
        name = draw.choice(list(texts))
        content = json.loads(texts[name])
        for other, text in texts.items():
            (tmp_path / other).write_text(text)
        place, new = draw.choice(list(places(content))), draw.choice(STRANGE)
        how = draw.choice(("drop", "wrap", "replace", "replace"))
        (tmp_path / name).write_text(json.dumps(changed(content, place, new, how)))
        done = fusionbench("reproduce", tmp_path / "t.json", "--data-root", tmp_path)
        clean(done, (number, name, place, how, new))
        assert done.returncode


def test_files_that_are_no_tables(made: Path, tmp_path: Path) -> None:
    facts = next((made / "r/tables").glob("*.provenance.json"))
    texts = {"t.provenance.json": facts.read_text(), "t.json": Path(str(facts).replace(".provenance", "")).read_text()}
    for name in texts:
        for number, data in enumerate(broken_texts(texts[name])):
            for other, text in texts.items():
                (tmp_path / other).write_text(text)
            (tmp_path / name).write_bytes(data)
            done = fusionbench("reproduce", tmp_path / "t.json", "--data-root", made / "data", "--jobs=1")
            clean(done, (name, number))
            assert done.returncode, (name, number)
    (tmp_path / "d.provenance.json").mkdir()
    for odd in ("/", ".", "..", "", tmp_path, tmp_path / "d.json", "n" * 5000):
        done = fusionbench("reproduce", odd)
        clean(done, odd)
        assert done.returncode == 2


def read_everything(out: Path, target: Path) -> None:
    """Every command that reads a store."""
    for arguments in (
        ("leaderboard", "--out", out),
        ("leaderboard", "--out", out, "--format=json"),
        ("export", "--out", out, "-o", out / "s.csv"),
        ("compare", "average", "visible", "--out", out),
        ("merge", out, "--out", target),
    ):
        clean(fusionbench(*arguments), arguments[0])


def copied(made: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(made / "r/results.db", folder / "results.db")
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_crafted_stores(made: Path, tmp_path: Path, seed: int) -> None:
    """Cells of a real store replaced, and places inside the JSON that some hold."""
    draw = random.Random(seed)
    for number in range(12):
        out = copied(made, tmp_path / "crafted")
        table = draw.choice(list(TABLES))
        column = draw.choice(TABLES[table].columns)
        with closing(sqlite3.connect(out / "results.db")) as db, db:
            row = db.execute(f"SELECT rowid, {column} FROM {table}").fetchone()
            new: object = draw.choice((None, 0, -1, 2**63 - 1, 1e308, "", "x", "\x00", b"\xff\xfe", "../x", "[" * 3000))
            if row and column == "info" and draw.random() < 0.8:
                content = json.loads(row[1])
                path = draw.choice(list(places(content)))
                edit = changed(content, path, draw.choice(STRANGE), draw.choice(("drop", "wrap", "replace")))
                new = json.dumps(edit)
            try:
                db.execute(f"UPDATE {table} SET {column}=? WHERE rowid=?", (new, row[0] if row else 0))
            except sqlite3.IntegrityError:
                continue
        read_everything(out, tmp_path / f"target{number}")


def test_damaged_stores(made: Path, tmp_path: Path) -> None:
    """Bytes of the file overwritten, and the file cut."""
    draw = random.Random(0)
    with closing(sqlite3.connect(made / "r/results.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (made / "r/results.db").read_bytes()
    for number in range(12):
        out = copied(made, tmp_path / "damaged")
        data = bytearray(whole)
        if number % 3 == 0:
            data = data[: draw.randrange(1, len(data))]
        else:
            for _ in range(draw.choice((1, 10, 200))):
                data[draw.randrange(len(data))] = draw.randrange(256)
        (out / "results.db").write_bytes(data)
        read_everything(out, tmp_path / f"target{number}")
