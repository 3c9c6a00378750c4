"""A comparison is about one parameter, the mean paired difference; columns know which end is better."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.records import TaskFacts
from fusionbench.report.analysis import Difference, compare
from fusionbench.report.formats import as_text
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn
from tests.conftest import fusionbench
from tests.harness.test_store import board, entry


def table(a: np.ndarray, b: np.ndarray, name: str = "en@bits") -> Table:
    m = metric(name)
    rows = tuple(Row(entry(id=i), {m.id: v.astype(float)}) for i, v in (("A", a), ("B", b)))
    return Table(board(metrics=(m.id,)), tuple(str(n) for n in range(len(a))), (m,), rows)


def check_agreement(d: Difference, up: bool, first: str, second: str) -> None:
    """Mean, interval, p, effect and winner tell of one parameter."""
    assert d.mean == pytest.approx(d.a - d.b, rel=1e-9, abs=1e-12)
    if d.mean:
        assert (d.effect > 0) == (d.mean > 0)
    if d.better:
        assert d.p < 0.05
        assert d.low <= d.mean <= d.high
        assert d.low > 0 or d.high < 0
        assert d.better == (first if (d.mean > 0) == up else second)
    elif not math.isnan(d.p):
        assert d.p >= 0.05 or d.low <= 0 <= d.high


@pytest.mark.parametrize("name", ["en@bits", "qcv@liu2012"])
@pytest.mark.parametrize("count", [12, 40, 300])
def test_one_large_difference_makes_nobody_better(name: str, count: int) -> None:
    """A is a little larger on all images but one, where B is much larger: the mean is B's, and nothing is certain."""
    d = np.linspace(0.1, 0.2, count)
    d[-1] = -1000.0
    base = np.random.default_rng(0).normal(5, 1, count)
    (difference,) = compare(table(base + d, base, name), "A", "B").differences
    assert difference.mean < 0
    assert difference.effect < 0
    assert difference.better == ""
    check_agreement(difference, metric(name).up, "A", "B")


def test_nobody_is_better_where_the_interval_has_zero() -> None:
    """The test of signs calls these differences, with a long tail of bad images, clear; their interval does not."""
    tail = -np.random.default_rng(0).exponential(1, 30)
    (difference,) = compare(table(tail - tail.mean() + 0.5, np.zeros(tail.size)), "A", "B").differences
    assert difference.p < 0.05
    assert difference.low < 0 < difference.high
    assert difference.better == ""


@pytest.mark.parametrize("name", ["en@bits", "qcv@liu2012"])
def test_the_winner_is_that_of_the_mean(name: str) -> None:
    random = np.random.default_rng(1)
    base = random.normal(5, 1, 100)
    more = base + random.normal(0.2, 0.3, 100)
    (difference,) = compare(table(more, base, name), "A", "B").differences
    assert difference.better == ("A" if metric(name).up else "B")
    (swapped,) = compare(table(base, more, name), "A", "B").differences
    assert swapped.better == difference.better.translate(str.maketrans("AB", "BA"))
    assert (swapped.mean, swapped.effect, swapped.p) == (-difference.mean, -difference.effect, difference.p)
    d = more - base
    assert difference.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert difference.p == pytest.approx(2 / 10_000)


@pytest.mark.parametrize("seed", range(5))
def test_all_columns_are_about_one_parameter(seed: int) -> None:
    random = np.random.default_rng(seed)
    winners = set()
    for number in range(30):
        count = int(random.integers(2, 40))
        heavy = random.standard_t(1, (2, count)) if number % 2 else random.normal(0, 1, (2, count))
        a, b = heavy[0] + random.normal(0, 2), heavy[1]
        (d,) = compare(table(a, b), "A", "B").differences
        check_agreement(d, True, "A", "B")
        winners.add(d.better)
    assert winners == {"", "A", "B"}


@pytest.mark.parametrize(("count", "p"), [(1, 1.0), (2, 0.5), (5, 2 / 32), (6, 2 / 64), (10, 2 / 1024)])
def test_few_images_are_tested_exactly(count: int, p: float) -> None:
    """With all differences on one side only all signs and none are as extreme."""
    values = np.arange(1.0, count + 1)
    (d,) = compare(table(2 * values, values), "A", "B").differences
    assert d.p == pytest.approx(p)
    assert d.better == ("A" if p < 0.05 else "")
    assert math.isnan(d.low) == (count == 1)


def test_no_difference_has_no_winner() -> None:
    values = np.arange(20.0)
    (d,) = compare(table(values, values), "A", "B").differences
    assert (d.better, d.effect) == ("", 0.0)
    assert math.isnan(d.p)
    (d,) = compare(table(values, np.where(np.arange(20) % 2, values + 1, values - 1)), "A", "B").differences
    assert d.better == ""
    (d,) = compare(table(values + 1, values), "A", "B").differences
    assert (d.better, d.effect) == ("A", math.inf)


def test_what_is_printed_names_the_parameter(tree: Path, tmp_path: Path) -> None:
    done = fusionbench("eval", "--methods=average,maximum", "--metrics=en,qcv", "--data-root", tree, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    done = fusionbench("compare", "average", "maximum", "--out", tmp_path)
    assert "average minus maximum, mean over images" in done.stdout
    assert "EN@bits ↑" in done.stdout
    assert "Qcv@liu2012 ↓" in done.stdout
    (facts,) = json.loads(fusionbench("compare", "average", "maximum", "--out", tmp_path, "--json").stdout)
    assert facts["parameter"] == "mean paired difference"
    assert {m["direction"] for m in facts["metrics"].values()} == {"up", "down"}


def test_task_columns_have_a_direction() -> None:
    values = {"A": (0.1,), "B": (0.2,)}
    up = TaskColumn("t/n/frozen/full/f", "F", values, "note")
    down = replace(up, id="t/n/frozen/full/mae", title="MAE", up=False)
    assert up.places({"A", "B"}) == {"B": 1, "A": 2}
    assert down.places({"A", "B"}) == {"A": 1, "B": 2}
    both = replace(table(np.arange(3.0), np.arange(3.0)), tasks=(up, down))
    assert "F ↑ | MAE ↓" in as_text(both, "md")
    assert r"MAE\,$\downarrow$" in as_text(both, "latex")
    heads = msgspec.to_builtins(both.published())["tasks"]
    assert [h.get("direction") for h in heads] == [None, "down"]


def test_a_card_names_the_columns_where_less_is_better() -> None:
    facts = {"name": "t", "kind": "task", "title": "T", "summary": "S", "object": "T", "networks": ["n"]}
    facts |= {"needs": "mask", "columns": [["f", "F"], ["mae", "MAE"]], "licence": "x", "version": "1"}
    assert msgspec.convert({**facts, "lower": ["mae"]}, TaskFacts, strict=False).lower == ("mae",)
    with pytest.raises(msgspec.ValidationError, match="none of the columns"):
        msgspec.convert({**facts, "lower": ["mse"]}, TaskFacts)
