from __future__ import annotations

import pytest
from _images import levels

from fusionbench.metrics import sf


def test_divisors():
    x = levels([[0, 1], [0, 1]])
    assert sf(x, x, x) == 1
    assert sf(x, x, x, divisor="pixels").item() == pytest.approx(0.5**0.5)
    assert sf(x, x, x, unit=True).item() == pytest.approx(1 / 255)


def test_rows_and_columns_both_count():
    x = levels([[0, 3], [4, 7]])
    assert sf(x, x, x) == 5
