from __future__ import annotations

import pytest
from _images import noise

from fusionbench.metrics import ssim

WINDOWS = ["uniform7", "gauss11", "gauss11-replicate"]


@pytest.mark.parametrize("window", WINDOWS)
def test_copy_is_one(window):
    x = noise(0, 20, 15)
    assert ssim(x, x, x, window=window).item() == pytest.approx(1)
    assert ssim(x, x, x, window=window, aggregate="sum").item() == pytest.approx(2)
    assert ssim(255 - x, x, x, window=window) < 0


@pytest.mark.parametrize("window", WINDOWS)
def test_flat_images_compare_by_luminance(window):
    x = noise(0, 20, 15) * 0
    c1 = (0.01 * 255) ** 2
    expected = (2 * 10 * 20 + c1) / (10**2 + 20**2 + c1)
    assert ssim(x + 10, x + 20, x + 20, window=window).item() == pytest.approx(expected)


def test_one_window():
    f, a = noise(0, 7, 7), noise(1, 7, 7)
    x, y = f.double().flatten(), a.double().flatten()
    c1, c2 = 0.01**2, 0.03**2
    sxy = ((x - x.mean()) * (y - y.mean())).sum() / 48
    value = (2 * x.mean() * y.mean() + c1) * (2 * sxy + c2)
    value /= (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)
    assert ssim(f, a, a, data_range=1).item() == pytest.approx(value.item())
