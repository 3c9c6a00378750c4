from __future__ import annotations

import math

import pytest
from _images import levels

from fusionbench.metrics import ce


def test_histograms():
    x, f = levels([[0, 0, 1, 1]]), levels([[0, 1, 1, 1]])
    expected = 0.5 * math.log2(2) + 0.5 * math.log2(2 / 3)
    assert ce(f, x, x).item() == pytest.approx(expected)
    assert ce(f, x, x, aggregate="sum").item() == pytest.approx(2 * expected)
    assert ce(f, f, f) == 0


def test_levels_only_one_image_has_do_not_count():
    assert ce(levels([[5, 5]]), levels([[7, 7]]), levels([[9, 9]])) == 0
