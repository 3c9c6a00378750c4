from __future__ import annotations

import pytest
from _images import noise

from fusionbench.metrics import qcv


def test_copy_differs_in_nothing_and_contrast_does_not_matter():
    a, b = noise(0, 37, 50).double(), noise(1, 37, 50).double()
    assert qcv(a, a, a).item() == pytest.approx(0, abs=1e-20)
    f = (a + b) / 4
    assert qcv(f, a, b).item() == pytest.approx(qcv(f * 2 - 9, a, b).item(), rel=0.02)  # rounded levels


def test_the_source_with_edges_decides():
    a = noise(0, 37, 50)
    assert qcv(a, a, a * 0).item() == pytest.approx(0, abs=1e-20)
    assert qcv(a * 0, a, a * 0) > 1


def test_flat_image_has_no_value():
    a = noise(0, 37, 50)
    assert qcv(a * 0 + 9, a, a).isnan()
    assert not qcv(a * 0, a, a).isnan()
