"""What tables say of values that are missing or infinite."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.cards import cards
from fusionbench.report.board_scores import leave_out_undefined
from fusionbench.report.rows import Row
from tests.harness.test_store import entry


def rows(number: str, **values: list[float]) -> list[Row]:
    return [Row(entry(id=name), {number: np.array(v, float)}) for name, v in values.items()]


@pytest.mark.parametrize("number", ["psnr@pooled", "psnr@tang", "psnr@vifb"])
def test_infinite_ratios_are_called_infinite(number):
    m = metric(number)
    table = rows(number, a=[30, np.inf, 20], b=[10, 20, 30], c=[np.inf] * 3)
    nowhere, some = leave_out_undefined(m, table)
    assert nowhere.startswith(f"{m.title} of c is infinite or undefined on every image: the fused image equals both")
    assert "1 of 3 images are left out" in some
    assert "infinite or undefined there for some (a 1): the fused image equals both sources" in some
    assert [r.mean(number) for r in table[:2]] == [25, 20]


def test_reasons_are_those_of_the_variant():
    for number, reason in {
        "psnr@mean-db": "equals a source there",
        "psnr@cddfuse": "is black, so the peak is 0",
        "vif@cddfuse": "a source is constant there",
        "vif@ivif_zoo": "a source is black there",
        "nabf@ivif_zoo": "neither source has a strong edge",
        "nabf@kumar": "a single row or column",
    }.items():
        (note,) = leave_out_undefined(metric(number), rows(number, a=[1, np.nan], b=[2, 3]))
        assert "it is undefined there for some (a 1)" in note
        assert reason in note


def test_variants_say_what_differs():
    checked = 0
    for card in cards("metric").values():
        facts = card.facts
        for name, variant in facts.variants.items():
            number = metric(f"{card.name}@{name}")
            assert number.digits == facts.digits_of(name) == (variant.digits or facts.digits)
            assert facts.min_size_of(name) == (variant.min_size or facts.min_size)
            assert facts.undefined_of(name) == (variant.undefined or facts.undefined)
            checked += (variant.digits, variant.min_size, variant.undefined) != (None, None, None)
    assert checked > 10
    assert metric("mse@unit").digits > metric("mse@mean").digits
    assert metric("sf@unit").digits > metric("sf@mean").digits
