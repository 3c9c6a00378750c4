from __future__ import annotations

import pytest
from _images import levels

from fusionbench.metrics import sd


def test_forms():
    x = levels([[0, 2]])
    assert sd(x, x, x) == 1
    assert sd(x, x, x, form="sample").item() == pytest.approx(2**0.5)


def test_uint8_saturates():
    x = levels([[0, 0, 0, 100]])  # mean 25: differences 0, 0, 0, 75; squares 0, 0, 0, 255
    assert sd(x, x, x, form="uint8").item() == pytest.approx((255 / 4) ** 0.5)
