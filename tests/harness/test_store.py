"""The results store: crash-safe, two writers, clear lines when the disk says no."""

from __future__ import annotations

import math
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.results.store import Score, Store, storage_error


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
            store.put_entry(key, "gff", {"id": "gff", "output_rule": "released"})
        assert list(store.entries("released")) == ["new"]
        store.put_entry("old", "gff", {"id": "gff", "output_rule": "released"})
        store.put_entry("other", "gff", {"id": "gff", "output_rule": "clip-round"})
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("database or disk is full", "the disk is full"),
        ("attempt to write a readonly database", "cannot be written"),
        ("[Errno 28] No space left on device", "the disk is full"),
    ],
)
def test_storage_errors_say_what_to_do(text: str, message: str) -> None:
    assert message in str(storage_error(Path("r.db"), sqlite3.OperationalError(text)))
