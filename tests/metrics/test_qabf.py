from __future__ import annotations

import math

import pytest
from _images import noise

from fusionbench.metrics import qabf


def test_copy_of_both_sources():
    x = noise(0, 40, 50)
    turned = 0.9879 / (1 + math.exp(-4.4))
    assert qabf(x, x, x, equal="paper").item() == pytest.approx(0.9994 / (1 + math.exp(-7.5)) * turned)
    assert qabf(x, x, x).item() == pytest.approx(0.9994 * turned, rel=1e-6)  # strengths above 1 stand in for 1
    assert qabf(x, x, x, unit=True) < qabf(x, x, x)


def test_lost_edges():
    x = noise(0, 40, 50)
    assert qabf(x * 0, x, x) < 0.01
    assert qabf(x, x * 0, x * 0).isnan()


def test_direction_matters():
    x = noise(0, 40, 40)
    assert qabf(x.mT, x, x) < qabf(x, x, x) / 2
