from __future__ import annotations

import pytest
import torch
from _images import noise

from fusionbench.metrics import viff


def test_copy_has_all_the_information():
    a = noise(0, 48, 50)
    assert viff(a, a, a).item() == pytest.approx(1, rel=1e-6)
    assert viff(a * 0, a, a).item() == pytest.approx(0, abs=1e-4)


def test_window_of_lower_gain_is_taken():
    a, flat = noise(0, 48, 50), torch.zeros(1, 1, 48, 50, dtype=torch.uint8)
    # nothing passes from a flat source: it has the lower gain everywhere, and no information to lose
    assert viff(a, a, flat).item() == pytest.approx(1, rel=1e-6)
    assert viff(a, flat, a).item() == pytest.approx(1, rel=1e-6)
