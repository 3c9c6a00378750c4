from __future__ import annotations

from _images import levels

from fusionbench.metrics import ei


def test_ramp():
    x = levels([[0, 1, 2, 3]] * 4)
    assert ei(x, x, x) == 6  # 4, 8, 8, 4
    assert ei(x, x, x, border="zero") > 6
