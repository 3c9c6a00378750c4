from __future__ import annotations

import math

import pytest
from _images import levels

from fusionbench.metrics import psnr


def test_forms():
    x = levels([[10, 20], [30, 50]])
    a, b = x + 2, x - 4
    for form, expected in {
        "pooled": 10 * math.log10(255**2 / 10),
        "unit": 10 * math.log10(255**2 / 10) + 20 * math.log10(255),
        "brightest": 10 * math.log10(50**2 / 10),
        "mean-db": 5 * math.log10(255**2 / 4) + 5 * math.log10(255**2 / 16),
        "vifb": 10 * math.log10(255**2 / 1.5),
    }.items():
        assert psnr(x, a, b, form=form).item() == pytest.approx(expected)


def test_no_error_is_infinite():
    x = levels([[1, 2]])
    assert psnr(x, x, x) == math.inf
