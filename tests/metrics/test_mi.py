from __future__ import annotations

import math

import pytest
from _images import levels

from fusionbench.metrics import mi


def test_copies_and_independence():
    x = levels([[0, 0, 1, 1]])
    assert mi(x, x, x) == 2
    assert mi(x, x, x, aggregate="mean") == 1
    assert mi(x, x, x, units="nats").item() == pytest.approx(2 * math.log(2))
    assert mi(levels([[0, 1, 0, 1]]), x, x) == 0


def test_saturated_levels_raise_the_joint_histogram_only():
    x = levels([[254, 255]])
    assert mi(x, x, x) == 2
    assert mi(x, x, x, histogram="saturated") == 4  # H(X) + H(F) - 0


def test_stretching_merges_levels():
    x = levels([[0, 1, 1000]]).clamp(max=255)
    y = levels([[0, 0.5, 255]])
    assert mi(x, x, x, histogram="stretched") == mi(x, x, x)
    assert mi(y, y, y) < mi(x, x, x)
