from __future__ import annotations

import math

import pytest
import torch
from _images import levels, noise

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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
def test_infinite_for_copies_and_only_for_those(seed, dtype):
    a, b = (noise(2 * seed + i, 9 + seed, 7).to(dtype) for i in range(2))
    for form in ("pooled", "unit", "vifb"):
        assert psnr(a, a, a, form=form) == math.inf
        assert psnr(a, a, b, form=form).isfinite()
    for images in ((a, a, b), (a, b, a)):
        assert psnr(*images, form="mean-db") == math.inf
        assert psnr(*images, form="brightest").isfinite()
    assert psnr(a, b, b, form="mean-db").isfinite()
    assert psnr(a * 0, a, b, form="brightest") == -math.inf
    assert psnr(a * 0, a * 0, a * 0, form="brightest").isnan()
