"""The results store: crash-safe, two writers, clear lines when the disk says no."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.results.provenance import collect, commit, session
from fusionbench.results.records import Board, EntryInfo, PlanInfo, TaskResult
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import Score, Store
from tests.conftest import REPO


def entry(rule: str = "released", **facts: object) -> EntryInfo:
    """An entry `gff`, with these facts changed."""
    usual = {"id": "gff", "method": "gff", "title": "GFF", "version": "1", "code": "c", "options": {}, "weights": None}
    return EntryInfo(**{**usual, "output_rule": rule, "output": None, "source_only": False, **facts})


def board(**facts: object) -> Board:
    """A board of three pairs, with these facts changed."""
    usual = {"dataset": "d", "title": "D", "split": "test", "split_sha256": "s", "split_source": "", "expected": 3}
    usual |= {"protocol": "p", "own_metrics": (), "colour": "grey", "output": "released", "metrics": ()}
    return Board(**{**usual, **facts})


def task_result(seed: int = 0, **facts: object) -> TaskResult:
    """A result of one network, with these facts changed."""
    usual = {"task": "t", "network": "n", "protocol": "frozen", "recipe": "full", "seed": seed, "code": "c"}
    usual |= {"pictures": "p", "trained_on": "visible", "test_split": "test", "command": "eval", "images": 2}
    usual |= {"classes": ("car",), "scores": {"all": {"ap": 0.5}}, "per_class": {"all": {"car": 0.5}}}
    return TaskResult(**{**usual, "facts": {"all": {"objects": {"car": 3}}}, **facts})


def test_scores_come_back_with_their_bits(tmp_path: Path) -> None:
    values = [0.1 + 0.2, math.nan, -1e-300, 1e300]
    with Store(tmp_path) as store:
        store.put_scores([Score("i", str(n), "m", "c", v) for n, v in enumerate(values)])
    with Store(tmp_path) as store:
        found = store.scores({"m": "c"})
    assert [found["i", str(n), "m"] for n in (0, 2, 3)] == [values[0], values[2], values[3]]
    assert math.isnan(found["i", "1", "m"])


def test_the_latest_entry_of_an_id_counts(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for key in ("old", "new"):
            store.put_entry(key, entry())
        assert list(store.entries("released")) == ["new"]
        store.put_entry("old", entry())
        store.put_entry("other", entry("clip-round"))
        assert list(store.entries("released")) == ["old"]


def test_a_failed_transaction_leaves_what_was_there(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put_scores([Score("i", "p", "m", "c", 1.0)])
        with pytest.raises(ZeroDivisionError), store.transaction() as db:  # noqa: PT012
            db.execute("DELETE FROM scores")
            1 / 0
        assert store.scores({"m": "c"}) == {("i", "p", "m"): 1.0}


def _write(folder: Path, who: int, count: int) -> None:
    with Store(folder) as store:
        for n in range(count):
            store.put_scores([Score(f"{who}", f"{n}", "m", "c", float(who))])


def test_two_writers_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(tmp_path, who, 150)) for who in (1, 2)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert [w.exitcode for w in workers] == [0, 0]
    with Store(tmp_path) as store:
        assert len(store.scores({"m": "c"})) == 300


def test_no_store_there(tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="no results here; run `fusionbench eval"):
        Store(tmp_path, create=False)


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "results.db").write_text("these are my notes, not a database at all\n" * 50)
    with pytest.raises(FusionbenchError, match="damaged or no results store"):
        Store(tmp_path)


def test_a_store_of_another_version(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "results.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(FusionbenchError, match="another version of fusionbench"):
        Store(tmp_path)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    plan = PlanInfo(entries=(entry(),), sources=(), skipped=("x",), device="cpu", jobs=2)
    run = collect(session("fusionbench eval", "2026-01-01T00:00:00Z"), 1.25, plan, 3, 4)
    with Store(tmp_path) as store:
        store.put_board(board(), [("a", "pair")], ["a"])
        store.put_task("k", "d", "test", task_result())
        store.put_run(run)
    with Store(tmp_path, create=False) as store:
        assert store.boards() == [board()]
        assert store.tasks("d", "test") == [("k", task_result())]
        assert store.runs() == [run]
        assert store.task("k", "d", "test", task_result()) == task_result()
        assert store.task("k", "d", "test", task_result(code="other")) is None


def test_undefined_task_scores_are_null(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put_task("k", "d", "test", task_result(scores={"all": {"ap": math.nan}}))
        assert store.tasks("d", "test") == [("k", task_result(scores={"all": {"ap": None}}))]


def test_a_store_of_before_typed_records(tmp_path: Path) -> None:
    """What the JSON columns held then: plain dicts with these keys, the colour rule spelt gray."""
    Store(tmp_path).close()
    facts = board().plain() | {"colour": "gray", "origin": {}}
    with closing(sqlite3.connect(tmp_path / "results.db")) as db, db:
        db.execute("INSERT INTO boards VALUES('d', 'test', 'released', ?)", (json.dumps(facts),))
    with Store(tmp_path, create=False) as store:
        assert store.boards() == [board()]


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "results.db")) as db, db:
        db.execute("INSERT INTO boards VALUES('d', 'test', 'released', '{}')")
    with Store(tmp_path, create=False) as store, pytest.raises(FusionbenchError) as error:
        store.boards()
    assert str(error.value).startswith(f"{tmp_path / 'results.db'}: is damaged")
    assert "\n" not in str(error.value)


def test_the_commit_of_the_checkout() -> None:
    if not (REPO / ".git").exists():
        pytest.skip("no checkout")
    assert len((commit() or "").removesuffix("+changes")) == 40


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written; choose a writable directory with out="),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_storage_errors_say_what_to_do(error: Exception, message: str) -> None:
    assert message in str(storage_error(Path("r.db"), error))


def test_a_path_does_not_decide_what_is_wrong(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "No such file", "full/No space/readonly"), ValueError("full locked")):
        assert "disk is full" not in str(storage_error(tmp_path / "full", error))
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "results.db").write_text("no database " * 500)
    with pytest.raises(FusionbenchError, match="damaged or no results store"):
        Store(folder)
