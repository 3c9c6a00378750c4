from __future__ import annotations

import pytest
import torch
from _images import noise

from fusionbench.metrics import Planes, ms_ssim, ssim
from fusionbench.metrics.ms_ssim import half


def test_copies_and_order():
    a, b = noise(0, 161, 165), noise(1, 161, 165)
    assert ms_ssim(a, a, a).item() == pytest.approx(1, abs=1e-12)
    one = ms_ssim(a, a, b)
    torch.testing.assert_close(one, ms_ssim(a, b, a))
    torch.testing.assert_close(2 * one, ms_ssim(a, a, b, aggregate="sum"))
    assert one > ms_ssim(a, b, b)
    assert ssim(a, a, b, window="gauss11").shape == one.shape


def test_borders_matter_for_odd_sizes_only():
    f, a, b = (noise(i, 176, 192) for i in range(3))
    assert ms_ssim(f, a, b) == ms_ssim(f, a, b, border="symmetric")
    f, a, b = (x[..., :-1] for x in (f, a, b))
    assert ms_ssim(f, a, b) != ms_ssim(f, a, b, border="symmetric")
    with pytest.raises(ValueError, match="border"):
        ms_ssim(f, a, b, border="other")


def test_halving():
    x = Planes(torch.arange(1.0, 16).view(1, 3, 5))
    assert half(x, "symmetric").x.tolist() == [[[4, 6, 7.5], [11.5, 13.5, 15]]]
    assert half(x, "zero").x.tolist() == [[[0.25, 1.25, 2.25], [4.25, 10, 12]]]
