from __future__ import annotations

import pytest
from _images import noise

from fusionbench.metrics import cc


def test_signs():
    x = noise(0, 9, 7).double()
    assert cc(x / 2, x, x).item() == pytest.approx(1)
    assert cc(255 - x, x, x).item() == pytest.approx(-1)
    assert cc(255 - x, x, x, aggregate="sum").item() == pytest.approx(-2)
    assert cc(x, 255 - x, x).item() == pytest.approx(0, abs=1e-12)


def test_flat_image_has_no_value():
    x = noise(0, 9, 7).double()
    assert cc(x * 0 + 0.1, x, x, levels=255).isnan()
