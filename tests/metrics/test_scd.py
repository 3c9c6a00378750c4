from __future__ import annotations

import pytest
import torch
from _images import noise

from fusionbench.metrics import Planes, scd


def test_sum_of_the_sources_keeps_both():
    a, b = noise(0, 9, 7).double(), noise(1, 9, 7).double()
    assert scd(Planes(a + b), a, b).item() == pytest.approx(2)


def test_copies_have_no_value():
    a, b = noise(0, 9, 7), noise(1, 9, 7)
    assert scd(a, a, b).isnan()
    assert scd(b, a, b).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_is_not_correlation(dtype):
    a, b = noise(0, 99, 70).to(dtype) / 3, noise(1, 99, 70).to(dtype)
    assert scd(b - 0.1, a, b).isnan()  # a constant difference, but for rounding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("contrast", [1e-2, 1e-3])
def test_small_differences_beyond_rounding_count(dtype, contrast):
    a, b = noise(0, 99, 70).to(dtype), noise(1, 99, 70).to(dtype)
    value = scd(b - 9 + contrast * a, a, b)
    assert value.isfinite()
    exact = scd(b.double() - 9 + contrast * a.double(), a.double(), b.double())
    assert value.item() == pytest.approx(exact.item(), abs=20 * torch.finfo(dtype).eps * 255 / contrast / 99 + 1e-9)
