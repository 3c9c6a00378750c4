"""Packed scores: what goes in comes out with its bits, whichever pictures lack which metrics."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from fusionbench.results import packed
from fusionbench.results.store import Score, Store


@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_table_is_what_was_written(tmp_path: Path, seed: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    codes = {f"m{n}@v": f"c{n % 3}" for n in range(7)}
    scores = [
        Score(f"image{i}", f"pair{i % 5}", metric, code, float(random.normal() if random.random() > 0.1 else math.nan))
        for i in range(20)
        for metric, code in codes.items()
        if random.random() >= missing
    ]
    scores = [scores[n] for n in random.permutation(len(scores))]
    written = {(s.image, s.pair, s.metric): s.value for s in scores}
    with Store(tmp_path) as store:
        for some in (scores[:31], scores[31:], [Score("image0", "pair0", "m0@v", "old", 5.0)]):
            store.put_scores(some)
        wanted = {m: codes[m] for m in list(codes)[::-2]} | {"m0@v": "code of tomorrow", "absent@v": "c"}
        table, found = store.score_table(wanted), store.scores(wanted)
        every = {row[:3]: row.value for row in store.score_rows() if row.code != "old"}
    for name, column in ((m, n) for n, m in enumerate(wanted)):
        for picture, row in table.rows.items():
            value = written.get((*picture, name)) if codes.get(name) == wanted[name] else None
            assert table.present[row, column] == (value is not None)
            np.testing.assert_equal(table.values[row, column], math.nan if value is None else value)
            np.testing.assert_equal(found.get((*picture, name)), value)
    np.testing.assert_equal(every, {k: None if math.isnan(v) else v for k, v in written.items()})


def test_a_later_score_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.put_scores(
            [Score("i", "p", "m", "c", 1.0), Score("i", "p", "n", "c", 2.0), Score("i", "p", "m", "c", 3.0)]
        )
        store.put_scores([Score("i", "p", "n", "c", math.nan)])
        assert [tuple(row) for row in store.score_rows()] == [
            ("i", "p", "m", "c", 3.0, 0),
            ("i", "p", "n", "c", None, 0),
        ]


@pytest.mark.parametrize("blob", [b"x", b"\0" * 11, b"\xff" * 20, packed.pack({3: (1.0, 0)})])
@pytest.mark.parametrize("beside", [True, False])
def test_damage_is_damage(blob: bytes, beside: bool) -> None:
    rows = [("i", "p", packed.pack({1: (1.0, 0)})), ("j", "p", blob)] if beside else [("j", "p", blob)]
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        packed.read(rows, [1, 2], [1])
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        list(packed.every(rows, {1: ("m", "c"), 2: ("n", "c")}))


def test_nothing_is_an_empty_table() -> None:
    table = packed.read([], [], [None, None])
    assert (table.values.shape, dict(table.rows)) == ((0, 2), {})
    assert packed.read([("i", "p", b"")], [1], [1]).present.tolist() == [[False]]
