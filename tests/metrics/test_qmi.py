from __future__ import annotations

import pytest
from _images import noise

from fusionbench.metrics import qmi


def test_copies_share_everything():
    x = noise(0, 20, 30)
    assert qmi(x, x, x).item() == pytest.approx(2)


def test_contrast_does_not_matter():
    f, a, b = (noise(i, 20, 30).double() for i in range(3))
    assert qmi(f, a, b) == qmi(f / 2 + 7, a, b)


def test_one_level_everywhere_has_no_value():
    x = noise(0, 4, 4) * 0 + 3
    assert qmi(x, x, x).isnan()
