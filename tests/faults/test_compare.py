"""A comparison names the winner of the statistic that it tests; task columns know which end is better."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.records import TaskFacts
from fusionbench.report.analysis import compare
from fusionbench.report.formats import as_text
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn
from tests.harness.test_store import board, entry


def table(a: np.ndarray, b: np.ndarray, name: str = "en@bits") -> Table:
    m = metric(name)
    rows = tuple(Row(entry(id=i), {m.id: v.astype(float)}) for i, v in (("A", a), ("B", b)))
    return Table(board(metrics=(m.id,)), tuple(str(n) for n in range(len(a))), (m,), rows)


def outlier(count: int, size: float) -> np.ndarray:
    """A is a little larger on all images but one, where B is much larger: ranks favour A, the mean B."""
    d = np.linspace(0.1, 0.2, count)
    d[-1] = -size
    return d


@pytest.mark.parametrize("name", ["en@bits", "qcv@liu2012"])
@pytest.mark.parametrize("count", [12, 40, 300])
def test_the_winner_is_that_of_the_test(name: str, count: int) -> None:
    base = np.random.default_rng(0).normal(5, 1, count)
    d = outlier(count, 1000.0)
    (difference,) = compare(table(base + d, base, name), "A", "B").differences
    assert difference.mean < 0 < difference.effect
    assert difference.p < 0.05
    assert difference.better == ("A" if metric(name).up else "B")
    (swapped,) = compare(table(base, base + d, name), "A", "B").differences
    assert swapped.better == {"A": "B", "B": "A"}[difference.better]
    assert swapped.effect == -difference.effect


@pytest.mark.parametrize("seed", range(5))
def test_verdict_and_effect_never_disagree(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(40):
        a, b = random.standard_t(1, (2, 30))
        (d,) = compare(table(a + random.normal(0, 1), b), "A", "B").differences
        assert d.better in ("", "A" if d.effect > 0 else "B")
        assert bool(d.better) == (d.p < 0.05)


def test_no_difference_has_no_winner() -> None:
    values = np.arange(20.0)
    (d,) = compare(table(values, values), "A", "B").differences
    assert (d.better, d.effect) == ("", 0.0)
    (d,) = compare(table(values, np.where(np.arange(20) % 2, values + 1, values - 1)), "A", "B").differences
    assert d.better == ""


def test_task_columns_have_a_direction() -> None:
    values = {"A": (0.1,), "B": (0.2,)}
    up = TaskColumn("t/n/frozen/full/f", "F", values, "note")
    down = replace(up, id="t/n/frozen/full/mae", title="MAE", up=False)
    assert up.places({"A", "B"}) == {"B": 1, "A": 2}
    assert down.places({"A", "B"}) == {"A": 1, "B": 2}
    both = replace(table(np.arange(3.0), np.arange(3.0)), tasks=(up, down))
    assert "F ↑ | MAE ↓" in as_text(both, "md")
    assert r"MAE $\downarrow$" in as_text(both, "latex")
    heads = msgspec.to_builtins(both.published())["tasks"]
    assert [h.get("direction") for h in heads] == [None, "down"]


def test_a_card_names_the_columns_where_less_is_better() -> None:
    facts = {"name": "t", "kind": "task", "title": "T", "summary": "S", "object": "T", "networks": ["n"]}
    facts |= {"needs": "mask", "columns": [["f", "F"], ["mae", "MAE"]], "licence": "x", "version": "1"}
    assert msgspec.convert({**facts, "lower": ["mae"]}, TaskFacts, strict=False).lower == ("mae",)
    with pytest.raises(msgspec.ValidationError, match="none of the columns"):
        msgspec.convert({**facts, "lower": ["mse"]}, TaskFacts)
