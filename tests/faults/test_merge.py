"""Merging what strangers made: nothing of ours is lost, nothing but pictures is copied, conflicts are true."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.pixels.images import picture_digest, read_image, write_image
from fusionbench.results.merge import merge
from fusionbench.results.records import Case, EntryInfo
from fusionbench.results.schema import TABLES
from fusionbench.results.store import Fused, Score, Store
from tests.faults.stores import change_scores, old_store
from tests.harness.test_store import board, entry, task_result

Rows = dict[str, list[tuple[object, ...]]]


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 8, 8), dtype=np.uint8)


def make(folder: Path, key: str = "k", seed: int = 0, info: EntryInfo | None = None, idents: str = "ab") -> Path:
    """A store with a picture and a score for each image."""
    with Store(folder) as store:
        store.put_entry(key, info or entry())
        store.put_board(board(), [(i, f"pair-{i}") for i in idents], idents)
        for number, ident in enumerate(idents):
            picture = pixels(seed + number)
            path = f"fused/gff-{key}/d-test/{ident}.png"
            write_image(folder / path, picture)
            store.put_fused(key, "d", "test", ident, Fused(f"pair-{ident}", picture_digest(picture), path))
            store.put_scores([Score(picture_digest(picture), f"pair-{ident}", "en@bits", "c", float(seed + number))])
    return folder


def everything(folder: Path) -> Rows:
    with closing(sqlite3.connect(folder / "results.db")) as db:
        return {name: sorted(db.execute(f"SELECT * FROM {name}"), key=str) for name in TABLES}


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "results.db")) as db, db:
        for statement in statements:
            db.execute(statement)


def merged(target: Path, *sources: Path) -> tuple[dict[str, int], list[str]]:
    with Store(target) as store:
        return merge(store, list(sources))


def refusal(target: Path, source: Path) -> str:
    """Why a merge is refused, or nothing."""
    try:
        merged(target, source)
    except FusionbenchError as error:
        return str(error)
    return ""


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() or p.is_symlink()}


def test_task_results_are_carried(tmp_path: Path) -> None:
    with Store(make(tmp_path / "b")) as store:
        store.put_task("k", "d", "test", task_result())
        store.put_task("k", "d", "test", task_result(seed=1))
        store.put_task_state("d", "test", "detection", "no boxes")
    added, conflicts = merged(make(tmp_path / "a"), tmp_path / "b")
    assert conflicts == []
    assert (added["tasks"], added["task_gaps"], added["fused"]) == (2, 1, 0)
    with Store(tmp_path / "a", create=False) as store:
        assert store.tasks("d", "test") == [("k", task_result()), ("k", task_result(seed=1))]
        assert store.task_gaps("d", "test") == {"detection": "no boxes"}
    assert merged(tmp_path / "a", tmp_path / "b")[0] == dict.fromkeys(added, 0)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"scores": {"all": {"ap": 0.75}}}, "scores differ"),
        ({"code": "other"}, "code differ"),
        ({"pictures": "other"}, "pictures differ"),
    ],
)
def test_other_task_results_are_named(tmp_path: Path, facts: dict[str, object], word: str) -> None:
    for name, result in (("a", task_result()), ("b", task_result(**facts))):
        with Store(make(tmp_path / name)) as store:
            store.put_task("k", "d", "test", result)
    before = everything(tmp_path / "a")
    _, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert "t n frozen of gff on d test: " in line
    assert word in line
    assert everything(tmp_path / "a") == before


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (entry(code="other"), "(other code)"),
        (entry(version="2"), "(other code)"),
        (entry(options={"r1": 3}), "(other options)"),
        (entry(output={"stretch": "luma"}), "(other output rule)"),
        (entry(), "(other version of fusionbench, or other pictures)"),
    ],
)
def test_a_conflict_of_entries_says_what_differs(tmp_path: Path, info: EntryInfo, words: str) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", key="other", seed=5, info=info)
    added, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert words in line
    assert added["entries"] == 0  # tables do not show it
    with Store(tmp_path / "a", create=False) as store:
        assert list(store.entries("released")) == ["k"]


def test_other_pictures_under_the_same_name(tmp_path: Path) -> None:
    named = entry(id="images[Ours]", method="images", options={"name": "Ours"})
    make(tmp_path / "a", info=named)
    make(tmp_path / "b", info=named, seed=9, idents="abc")
    before = everything(tmp_path / "a")
    added, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert "fused images of images[Ours] on d test: 2 pictures differ, e.g. a, kept ours" in line
    assert (added["fused"], added["scores"]) == (1, 1)
    after = everything(tmp_path / "a")
    assert all(set(before[name]) <= set(after[name]) for name in TABLES)
    assert np.array_equal(read_image(tmp_path / "a/fused/gff-k/d-test/a.png"), pixels(0))


COLUMNS = [
    'ALTER TABLE scores ADD COLUMN "packed) SELECT image,pair,0.5 FROM scores; --" BLOB',
    'ALTER TABLE pairs ADD COLUMN "x" TEXT',
    'ALTER TABLE scores RENAME COLUMN packed TO "packed=0.5 OR packed"',
    "ALTER TABLE scores ADD COLUMN extra REAL GENERATED ALWAYS AS (0.5) VIRTUAL",
    "CREATE TRIGGER t AFTER INSERT ON scores BEGIN UPDATE scores SET packed = x''; END",
    "DROP TABLE tasks",
    "UPDATE entries SET info = '{}'",
    "UPDATE entries SET id = 'gff[r1=1]'",
    "UPDATE boards SET dataset = 'other'",
    "UPDATE scores SET packed = 'many'",
    "UPDATE scores SET packed = 'QUJDREVGR0hJSktMTU5PUFFSU1Q='",  # base64 of twenty bytes
    "UPDATE scores SET packed = x'0000'",
    "UPDATE scores SET packed = x'ffffffff00000000000000000000000000000000'",  # of a variant that is not there
    "UPDATE variants SET number = -1",
    "UPDATE variants SET code = 7.5",
    "UPDATE scores SET pair = x'00'",
    "UPDATE fused SET path = 7",
    "INSERT INTO runs VALUES('now', '[1]')",
    "INSERT INTO tasks VALUES('k','d','test','t','n','frozen','full',0,'c','p','{\"task\": \"t\"}')",
]


@pytest.mark.parametrize("statement", COLUMNS)
def test_a_store_that_is_not_as_it_should_be(tmp_path: Path, statement: str) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", key="other", seed=4, idents="abc")
    change(tmp_path / "b", statement)
    before, names = everything(tmp_path / "a"), files(tmp_path / "a")
    if error := refusal(tmp_path / "a", tmp_path / "b"):
        assert error.startswith(str(tmp_path / "b/results.db"))
        assert "\n" not in error
        assert files(tmp_path / "a") == names
    after = everything(tmp_path / "a")
    assert set(before["scores"]) <= set(after["scores"])
    assert set(before["fused"]) <= set(after["fused"])


PATHS = [
    "results.db-journal",
    "results.db",
    "tables/x.md",
    ".bashrc",
    "fused/../../escaped.png",
    "fused/../results.db-wal",
    "/tmp/escaped-of-merge.png",
    "fused/x/.hidden.png",
    "fused/.x/d-test/a.png",
    "fused//x/a.png",
    "fused/./x/a.png",
    "fused\\x\\a.png",
    "fused/x/a.sh",
    "fused/x/a.png\x1b[2J",
    "fused/x/" + "n" * 300 + ".png",
    "fused",
    "",
    "a.png",
]


@pytest.mark.parametrize("path", PATHS)
def test_only_pictures_below_fused_are_copied(tmp_path: Path, path: str) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", key="other", seed=4, info=entry(id="new"))
    with closing(sqlite3.connect(tmp_path / "b/results.db")) as db, db:
        db.execute("UPDATE fused SET path=? WHERE id='a'", (path,))
    for place in ("tables", "fused/x"):
        (tmp_path / "b" / place).mkdir(parents=True, exist_ok=True)
    for name in ("results.db-journal", "tables/x.md", ".bashrc", "fused/x/.hidden.png", "fused/x/a.sh", "a.png"):
        shutil.copy(tmp_path / "b/fused/gff-other/d-test/a.png", tmp_path / "b" / name)
    names = files(tmp_path / "a")
    added, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert "1 picture refused (its path is not one of a fused picture), e.g. new d test a" in line
    assert (added["fused"], added["scores"]) == (1, 1)
    assert files(tmp_path / "a") - names == {"fused/gff-other/d-test/b.png"}
    assert not Path("/tmp/escaped-of-merge.png").exists()


def linked_file(folder: Path) -> None:
    path = folder / "fused/gff-other/d-test/a.png"
    path.rename(folder / "secret.png")
    path.symlink_to(folder / "secret.png")


def linked_folder(folder: Path) -> None:
    (folder / "fused/gff-other/d-test").rename(folder / "elsewhere")
    (folder / "fused/gff-other/d-test").symlink_to(folder / "elsewhere")


def pipe(folder: Path) -> None:
    path = folder / "fused/gff-other/d-test/a.png"
    path.unlink()
    os.mkfifo(path)


def other_pixels(folder: Path) -> None:
    write_image(folder / "fused/gff-other/d-test/a.png", pixels(99))


def no_picture(folder: Path) -> None:
    (folder / "fused/gff-other/d-test/a.png").write_text("#!/bin/sh\n")


@pytest.mark.parametrize(
    ("harm", "reason", "added"),
    [
        (linked_file, "a link on its path", 1),
        (linked_folder, "a link on its path", 0),
        (pipe, "no regular file", 1),
        (other_pixels, "its pixels are not those of its record", 1),
        (no_picture, "no readable picture", 1),
    ],
)
def test_a_picture_is_what_its_record_says(tmp_path: Path, harm: object, reason: str, added: int) -> None:
    make(tmp_path / "a")
    harm(make(tmp_path / "b", key="other", seed=4, info=entry(id="new")))  # type: ignore[operator]
    names = files(tmp_path / "a")
    counts, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert reason in line
    assert (counts["fused"], counts["scores"]) == (added, added)
    assert len(files(tmp_path / "a") - names) == added


def test_a_picture_of_ours_is_never_overwritten(tmp_path: Path) -> None:
    """The source's record of another entry names the path of ours."""
    make(tmp_path / "a")
    make(tmp_path / "b", key="other", seed=4, info=entry(id="new"), idents="a")
    target = tmp_path / "b/fused/gff-k/d-test/a.png"
    target.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "b/fused/gff-other/d-test/a.png", target)
    change(tmp_path / "b", "UPDATE fused SET path='fused/gff-k/d-test/a.png'")
    _, (line,) = merged(tmp_path / "a", tmp_path / "b")
    assert "its path is that of another picture here" in line
    assert np.array_equal(read_image(tmp_path / "a/fused/gff-k/d-test/a.png"), pixels(0))


def test_scores_of_pictures_that_nobody_has_stay_out(tmp_path: Path) -> None:
    """They would be taken for ours when we make such a picture."""
    make(tmp_path / "a")
    make(tmp_path / "b")
    with Store(tmp_path / "b") as store:
        store.put_scores([Score("planted", "pair-a", "en@bits", "c", 99.0)])
    assert merged(tmp_path / "a", tmp_path / "b")[0]["scores"] == 0


def test_a_store_of_version_2_is_merged_and_left_as_it_is(tmp_path: Path) -> None:
    old = old_store(tmp_path / "old").read_bytes()
    added, conflicts = merged(tmp_path / "new", tmp_path / "old")
    assert [c for c in conflicts if "elsewhere.png" in c] == []
    assert added["entries"] == 2
    assert added["fused"] == 6  # but for the one whose path is none of a fused picture
    assert (tmp_path / "old/results.db").read_bytes() == old


def failing(folder: Path, image: str) -> Path:
    with Store(folder) as store:
        store.set_failures("d", "test", {Case("k", image): "no memory"}, {"k"})
    return folder


def test_a_failure_is_forgotten_where_the_other_has_the_picture(tmp_path: Path) -> None:
    failing(make(tmp_path / "a", idents="a"), "b")
    merged(tmp_path / "a", make(tmp_path / "b"))
    assert everything(tmp_path / "a")["failures"] == []
    assert merged(tmp_path / "b", failing(make(tmp_path / "c", idents="a"), "b"))[1] == []
    assert everything(tmp_path / "b")["failures"] == []


def test_a_failure_stays_where_the_picture_is_of_another_pair(tmp_path: Path) -> None:
    """Such a picture is in no table, so the reason why there is none must be."""
    failing(make(tmp_path / "a", idents="a"), "b")
    change(tmp_path / "a", "INSERT INTO pairs VALUES('d', 'test', 'b', 'the one that failed')")
    merged(tmp_path / "a", make(tmp_path / "b"))
    assert [row[3:] for row in everything(tmp_path / "a")["failures"]] == [("b", "no memory")]

    make(tmp_path / "c")
    change(tmp_path / "c", "UPDATE fused SET pair='an earlier one' WHERE id='b'")
    merged(tmp_path / "c", failing(make(tmp_path / "d", idents="a"), "b"))
    assert [row[3:] for row in everything(tmp_path / "c")["failures"]] == [("b", "no memory")]


def test_nothing_of_ours_is_lost(tmp_path: Path) -> None:
    with Store(make(tmp_path / "a")) as store:
        store.set_failures("d", "test", {Case("k", "z"): "no memory"}, {"k"})
        store.put_task("k", "d", "test", task_result())
    with Store(make(tmp_path / "b", seed=3)) as store:
        store.set_failures("d", "test", {Case("k", "z"): "another reason", Case("k", "a"): "late"}, {"k"})
    change(tmp_path / "b", "UPDATE pairs SET hash='other' WHERE id='b'")
    change_scores(tmp_path / "b", lambda _: 0.5)
    before = everything(tmp_path / "a")
    _, conflicts = merged(tmp_path / "a", tmp_path / "b")
    assert {name: rows for name, rows in everything(tmp_path / "a").items() if rows != before[name]} == {}
    text = "\n".join(conflicts)
    assert "source pair d test b: other" in text
    assert "fused images of gff on d test: 2 pictures differ" in text
    assert "failure k d test z: another reason, kept no memory" in text
    with pytest.raises(FusionbenchError, match="cannot be merged into itself"):
        merged(tmp_path / "a", tmp_path / "a")


def test_huge_and_strange_numbers(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", key="other", info=entry(id="new"))
    change(tmp_path / "b", f"UPDATE entries SET seq={2**63 - 1}")
    merged(tmp_path / "a", tmp_path / "b")
    with Store(tmp_path / "a") as store:
        store.put_entry("later", entry(id="later"))
        assert len(store.entries("released")) == 3
    facts = json.loads(everything(tmp_path / "b")["entries"][0][4])  # type: ignore[arg-type]
    assert facts["id"] == "new"
