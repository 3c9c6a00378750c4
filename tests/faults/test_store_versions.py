"""Older, newer, foreign, damaged and unwritable results files: read or refused in a line, and never harmed."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.results import schema
from fusionbench.results.schema import APPLICATION, VERSION, EntryRow, FusedRow
from fusionbench.results.store import Fused, Score, Store
from tests.conftest import fusionbench
from tests.faults.stores import add_folders, old_store, version_4
from tests.harness.test_store import board, entry


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def pictures(store: Store) -> dict[tuple[str, ...], str]:
    """(entry, dataset, split, id) to the picture."""
    return {row[:4]: row.image for row in store.rows(FusedRow)}


MIGRATED = {
    ("g", "d", "test", "a"): "i1",  # a method makes the same picture of the same pair
    ("g", "d", "test", "b"): "i1",
    ("g", "d", "test", "c"): "i3",
    ("g", "d", "test", "e"): "i7",
    ("g", "d", "train", "sub/t"): "i4",
    ("g", "", "", "gone"): "i5",
    ("x", "d", "test", "b"): "i2",  # another program need not: only the image that the path names
}


@pytest.mark.parametrize("tasks", [True, False])
def test_a_store_of_version_2_becomes_one_of_this_version(tmp_path: Path, tasks: bool) -> None:
    old_store(tmp_path, tasks)
    with Store(tmp_path) as store:
        assert pictures(store) == MIGRATED
        scores = store.scores({"en@bits": "c"})
        assert {k: v for k, v in scores.items() if not math.isnan(v)} == {
            ("i1", "same", "en@bits"): 1.0,
            ("i2", "same", "en@bits"): 2.0,
            ("i3", "p3", "en@bits"): 3.0,
        }
        assert math.isnan(scores["i9", "p", "en@bits"])
        assert store.failures("d", "test") == {("x", "c"): "no picture"}
        assert store.task_gaps("d", "test") == ({"detection": "no boxes"} if tasks else {})
        assert store.boards() == [board()]
        assert set(store.entries("released")) == {"g", "x"}
    with closing(sqlite3.connect(tmp_path / "results.db")) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name IN ('fused_2', 'scores_4')").fetchall()
    with Store(tmp_path) as store:
        assert pictures(store) == MIGRATED


def test_rows_of_version_4_are_packed_with_their_bits(tmp_path: Path) -> None:
    path = version_4(tmp_path)
    values = [0.1 + 0.2, -1e-300, 1e300, 5e-324, math.nan]
    rows = [(f"j{n % 3}", "p", f"m{n}@v", f"c{n % 2}", v, n) for n, v in enumerate(values)]
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO scores VALUES(?,?,?,?,?,?)", rows)
        before = {tuple(row) for row in db.execute("SELECT image, pair, metric, code, value, made FROM scores")}
    with Store(tmp_path, create=False) as store:  # in memory
        assert set(store.score_rows()) == before
    with Store(tmp_path) as store:
        assert set(store.score_rows()) == before
        assert pictures(store) == MIGRATED
        assert store.metrics() == ["en@bits", *(f"m{n}@v" for n in range(5))]
        assert store.scores({"m1@v": "c1", "m2@v": "another"}) == {("j1", "p", "m1@v"): -1e-300}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name IN ('scores_4', 'scores_of_metric')").fetchall()


@pytest.mark.parametrize("value", ["'not a number'", "x'00'"])
def test_a_number_of_version_4_that_is_none(tmp_path: Path, value: str) -> None:
    path = version_4(tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"INSERT INTO scores VALUES('i','p','m','c',{value},0)")
    for create in (False, True):
        with pytest.raises(FusionbenchError, match="is damaged"):
            Store(tmp_path, create=create)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (4,)


FOLDERS = {
    "another dataset in each": (
        [{"vifb": [("1", "a"), ("2", "b")]}, {"tno": [("1", "c")]}, {"road": [("1", "d")]}],
        {("vifb", "1"): "a", ("vifb", "2"): "b", ("tno", "1"): "c", ("road", "1"): "d"},
        0,
    ),
    "other pictures of one dataset": (
        [{"vifb": [("1", "a"), ("2", "b")], "tno": [("1", "c")]}, {"vifb": [("1", "x")]}],
        {("vifb", "1"): "x", ("tno", "1"): "c"},
        1,
    ),
    "the same pictures elsewhere": (
        [{"vifb": [("1", "a"), ("2", "b")]}, {"vifb": [("1", "a")]}],
        {("vifb", "1"): "a", ("vifb", "2"): "b"},
        0,
    ),
    "three folders of one dataset": (
        [{"vifb": [("1", "a")]}, {"vifb": [("1", "b")]}, {"vifb": [("1", "c")]}],
        {("vifb", "1"): "c"},
        2,
    ),
    "one folder": ([{"vifb": [("1", "a")]}], {("vifb", "1"): "a"}, 0),
}


@pytest.mark.parametrize("case", FOLDERS)
@pytest.mark.parametrize("create", [True, False])
def test_folders_of_one_name_become_one_entry(tmp_path: Path, case: str, create: bool) -> None:
    folders, shown, said = FOLDERS[case]
    path = old_store(tmp_path)
    add_folders(path, folders)
    newest = f"z{len(folders) - 1}"
    with closing(sqlite3.connect(path)) as db, db:
        for ident in ("1", "9"):  # the one was fused since, the other never
            db.execute("INSERT INTO failures VALUES('z0','vifb','test',?,'no picture')", (ident,))
    with Store(tmp_path, create=create) as store:
        found = {k[1::2]: image for k, image in pictures(store).items() if k[0] == newest}
        assert found == shown
        assert newest in store.entries("released")
        left = {k: image for k, image in pictures(store).items() if k[0].startswith("z") and k[0] != newest}
        assert len(found) + len(left) == len(set(found.items()) | {(k[1::2], v) for k, v in left.items()})
        every = {image for datasets in folders for rows in datasets.values() for _, image in rows}
        assert every == {*found.values(), *left.values()}, "a picture was forgotten"
        assert len(store.notes) == said
        assert all("images[Z] on vifb test: " in note and "e.g. 1; " in note for note in store.notes)
        if not said and len(folders) > 1:
            assert store.failures("vifb", "test").keys() >= {(newest, "9")}
            assert [row.key for row in store.rows(EntryRow) if row.id == "images[Z]"] == [newest]
        assert {k: v for k, v in pictures(store).items() if not k[0].startswith("z")} == MIGRATED
    if create:
        with Store(tmp_path) as store:
            assert store.notes == []


def test_a_folded_entry_is_announced(tmp_path: Path) -> None:
    add_folders(old_store(tmp_path / "old"), FOLDERS["other pictures of one dataset"][0])
    done = fusionbench("merge", tmp_path / "old", "--out", tmp_path / "new")
    assert "images[Z] on vifb test: 1 picture of an earlier folder changed, e.g. 1" in done.stdout


def test_a_reader_leaves_an_older_store_as_it_is(tmp_path: Path) -> None:
    path = old_store(tmp_path)
    before = path.read_bytes()
    with Store(tmp_path, create=False) as store:
        assert pictures(store) == MIGRATED
    assert path.read_bytes() == before


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_store(tmp_path)
    monkeypatch.setattr(schema, "STATEMENTS", (*schema.STATEMENTS, "SELECT * FROM nowhere"))
    with pytest.raises(FusionbenchError):
        Store(tmp_path)
    monkeypatch.undo()
    with Store(tmp_path) as store:
        assert pictures(store) == MIGRATED


def test_queries_use_indices(tmp_path: Path) -> None:
    Store(tmp_path).close()
    queries = (
        "SELECT number FROM variants WHERE metric='m' AND code='c'",
        "SELECT packed FROM scores WHERE image='i' AND pair='p'",
        "SELECT id FROM fused WHERE entry='e'",
        "SELECT id FROM fused WHERE entry='e' AND dataset='d' AND split='s'",
        "SELECT info FROM tasks WHERE dataset='d' AND split='s'",
    )
    with closing(sqlite3.connect(tmp_path / "results.db")) as db:
        for query in queries:
            plan = " ".join(str(row) for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "SEARCH" in plan, query
            assert "SCAN" not in plan, query


def newer(path: Path) -> None:
    Store(path.parent).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")


def newer_of_version_2_s_kind(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")


def notes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE notes(text)")
        db.execute("INSERT INTO notes VALUES('mine')")


def notes_of_version_2(path: Path) -> None:
    notes(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")


def another_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id=1234")
        db.execute("CREATE TABLE entries(x)")


def foreign_namesakes(path: Path) -> None:
    """Tables called as ours are, with other columns."""
    with closing(sqlite3.connect(path)) as db:
        for name in schema.TABLES:
            db.execute(f"CREATE TABLE {name}(x)")
        db.execute("PRAGMA user_version=2")


def further_table(path: Path) -> None:
    old_store(path.parent)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes(text)")


def view_for_table(path: Path) -> None:
    Store(path.parent).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE runs")
        db.execute(
            "CREATE VIEW runs AS WITH RECURSIVE n(started) AS (SELECT 1 UNION ALL SELECT 1 FROM n)"
            " SELECT started, started info FROM n"
        )


def trigger(path: Path) -> None:
    Store(path.parent).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER mine AFTER INSERT ON runs BEGIN DELETE FROM entries; END")


def virtual_table(path: Path) -> None:
    Store(path.parent).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE runs")
        db.execute("CREATE VIRTUAL TABLE runs USING fts5(started, info)")  # with tables of its own behind it


def old_view_for_table(path: Path) -> None:
    """Version 2, of which one table is a program that never ends."""
    old_store(path.parent)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE pairs")
        db.execute(
            "CREATE VIEW pairs AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT 1 FROM n)"
            " SELECT id AS dataset, id AS split, id, id AS hash FROM n"
        )


def old_trigger(path: Path) -> None:
    old_store(path.parent)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER runs AFTER INSERT ON runs BEGIN DELETE FROM entries; END")


def text(path: Path) -> None:
    path.write_text("these are my notes\n" * 500)


def truncated(path: Path) -> None:
    old_store(path.parent)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (newer, f"written by another version of fusionbench (store {VERSION + 1}"),
        (newer_of_version_2_s_kind, "written by another version of fusionbench (store 99"),
        (notes, "another program's database; nothing was written to it"),
        (notes_of_version_2, "another program's database"),
        (another_application, "another program's database"),
        (foreign_namesakes, "another program's database"),
        (further_table, "another program's database"),
        (view_for_table, "is damaged or no results store"),
        (trigger, "is damaged or no results store"),
        (virtual_table, "is damaged or no results store"),
        (old_view_for_table, "another program's database"),
        (old_trigger, "another program's database"),
        (text, "is damaged or no results store"),
        (truncated, "is damaged or no results store"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "results.db"
    make(path)  # type: ignore[operator]
    before = contents(tmp_path)
    for create in (False, True):
        with pytest.raises(FusionbenchError) as error:
            Store(tmp_path, create=create).scores({"m": "c"})
        assert words in str(error.value)
        assert "\n" not in str(error.value)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    done = fusionbench("leaderboard", "--out", tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_file_is_the_beginning_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "results.db").touch()
    with pytest.raises(FusionbenchError, match="no results here yet"):
        Store(tmp_path, create=False)
    assert contents(tmp_path) == {"results.db": b""}
    with Store(tmp_path) as store:
        store.put_scores([Score("i", "p", "m", "c", 1.0)])
    with Store(tmp_path, create=False) as store:
        assert store.scores({"m": "c"}) == {("i", "p", "m"): 1.0}


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO scores VALUES('i','p','not a number')",
        "INSERT INTO scores VALUES('i','p',1)",
        "INSERT INTO scores VALUES('i','p',x'00')",
        "INSERT INTO scores VALUES('i','p',x'0100000000000000000000000000000000000000')",
        "INSERT INTO scores VALUES(x'00ff','p',x'')",
        "INSERT INTO scores VALUES(CAST(x'ff' AS TEXT),'p',x'')",
        "INSERT INTO scores VALUES(NULL,'p',x'')",
        "INSERT INTO variants VALUES(1,'m',x'00')",
        "INSERT INTO fused VALUES('k','d','test','a',x'01','i','p',0)",
        "UPDATE entries SET info='[' || info",
        "UPDATE entries SET key=x'01'",
    ],
)
def test_values_of_other_types_are_damage(tmp_path: Path, change: str) -> None:
    with Store(tmp_path) as store:
        store.put_entry("k", entry())
    with closing(sqlite3.connect(tmp_path / "results.db")) as db, db:
        db.execute(change)
    with Store(tmp_path, create=False) as store, pytest.raises(FusionbenchError, match="is damaged") as error:  # noqa: PT012
        store.scores({"m": "c"})
        store.entries("released")
        store.fused("k", "d", "test", {"a": "p"})
    assert "\n" not in str(error.value)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(work: object) -> int:
    """Exit code of a function in a process without rights: 0 where it returned."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            work()  # type: ignore[operator]
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("state", ["finished", "old", "cut off"])
def test_another_user_reads_a_folder_that_he_may_not_write(open_folder: Path, state: str) -> None:
    path = open_folder / "results.db"
    if state == "old":
        old_store(open_folder)
    else:
        with Store(open_folder) as store:
            store.put_entry("g", entry())
            if state == "cut off":  # the shared memory is gone, the journal is not empty
                saved = {p: p.read_bytes() for p in open_folder.iterdir() if not p.name.endswith("-shm")}
        if state == "cut off":
            for file, data in saved.items():
                file.write_bytes(data)
            assert (open_folder / "results.db-wal").stat().st_size
    for file in open_folder.iterdir():
        file.chmod(0o444)
    open_folder.chmod(0o555)
    before = contents(open_folder)

    def read() -> None:
        with Store(open_folder, create=False) as store:
            assert "g" in store.entries("released")

    assert as_nobody(read) == 0
    assert contents(open_folder) == before

    def write() -> None:
        with pytest.raises(FusionbenchError, match="cannot be written"):
            Store(open_folder).put_entry("h", entry())

    assert as_nobody(write) == 0
    path.chmod(0o000)

    def unreadable() -> None:
        with pytest.raises(FusionbenchError, match="cannot be read; ask its owner"):
            Store(open_folder, create=False)

    assert as_nobody(unreadable) == 0


def test_a_picture_stands_under_its_image(tmp_path: Path) -> None:
    """Two images whose sources have the same bytes, and a third whose pair has changed."""
    with Store(tmp_path) as store:
        for ident, pair in (("a", "p"), ("b", "p"), ("c", "old")):
            store.put_fused("k", "d", "test", ident, Fused(pair, f"image-{ident}", f"fused/k/{ident}.png"))
        pairs = {"a": "p", "b": "p", "c": "new"}
        assert {i: f.image for i, f in store.fused("k", "d", "test", pairs).items()} == {"a": "image-a", "b": "image-b"}
        assert store.fused("k", "d", "train", pairs) == {}
        store.drop_fused("k", "d", "test", ["a"])
        assert set(store.fused("k", "d", "test", pairs)) == {"b"}
