from __future__ import annotations

import pytest
from _images import noise

from fusionbench.metrics import vif


def test_copy_is_one_and_contrast_more():
    x = noise(0, 48, 56)
    assert vif(x, x, x).item() == pytest.approx(1)
    assert vif(x.double() * 1.5, x, x) > 1
    assert vif(x.double() * 0.5, x, x) < 1


def test_sum_is_twice_the_mean():
    f, a, b = (noise(i, 48, 56) for i in range(3))
    assert vif(f, a, b, aggregate="sum") == 2 * vif(f, a, b)


def test_sources_are_the_reference():
    f, a = noise(0, 48, 56), noise(1, 48, 56) // 2
    assert vif(f, a, a) != vif(a, f, f)


def test_saturation_and_the_other_kernel_change_the_value():
    f, a, b = (noise(i, 48, 56) for i in range(3))
    assert (
        len({vif(f, a, b, **o).item() for o in ({}, {"saturate": True}, {"kernel": "ivif_zoo"}, {"unit": True})}) == 4
    )


def test_flat_source_has_no_value():
    x = noise(0, 48, 56)
    assert vif(x, x * 0, x).isnan()
