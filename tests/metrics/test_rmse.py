from __future__ import annotations

import pytest
from _images import levels

from fusionbench.metrics import rmse


def test_forms():
    x = levels([[10, 20], [30, 40]])
    assert rmse(x, x + 2, x - 4) == 3
    assert rmse(x, x + 2, x - 4, form="pooled").item() == pytest.approx(10**0.5)
    assert rmse(x, x + 2, x - 4, form="vifb") == 3 / 2
