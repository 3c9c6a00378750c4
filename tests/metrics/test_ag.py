from __future__ import annotations

import pytest
from _images import levels

from fusionbench.metrics import ag


def test_ramp():
    x = levels([[0, 3, 6, 9]] * 5)
    assert ag(x, x, x, divisor="pixels").item() == pytest.approx(3 * 0.5**0.5)
    assert ag(x, x, x).item() == pytest.approx(3 * 0.5**0.5 * 20 / 12)


def test_central_differences_inside():
    x = levels([[0, 0, 4], [0, 0, 4]])  # dx: 0, 2, 4
    assert ag(x, x, x, divisor="pixels").item() == pytest.approx(2 * 0.5**0.5)
