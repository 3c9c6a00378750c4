from __future__ import annotations

from _images import levels

from fusionbench.metrics import mse


def test_mean_of_the_two():
    x = levels([[10, 20]])
    assert mse(x, x + 2, x - 4) == (4 + 16) / 2
    assert mse(x, x + 2, x - 4, unit=True) == 10 / 255**2
