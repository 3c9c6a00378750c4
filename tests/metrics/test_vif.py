from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from _images import noise
from scipy.signal import convolve2d

from fusionbench.metrics import vif
from fusionbench.plugins.cards import cards


def test_copy_is_one_and_contrast_more():
    x = noise(0, 48, 56)
    assert vif(x, x, x).item() == pytest.approx(1)
    assert vif(x.double(), x.double() / 1.5, x.double() / 1.5) > 1
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


def program(x, y):
    """VIF of y against x as sewar and the MATLAB program have it: direct sums over 2-D windows."""
    seen = there = 0.0
    for scale in range(4):
        n = (17, 9, 5, 3)[scale]
        t = np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * (n / 5) ** 2))
        window = np.outer(t, t) / t.sum() ** 2
        smooth = partial(convolve2d, in2=window, mode="valid")
        if scale:
            x, y = smooth(x)[::2, ::2], smooth(y)[::2, ::2]
        mx, my = smooth(x), smooth(y)
        sx, sy = np.maximum(smooth(x * x) - mx * mx, 0), np.maximum(smooth(y * y) - my * my, 0)
        sxy = smooth(x * y) - mx * my
        g = sxy / (sx + 1e-10)
        rest = sy - g * sxy
        flat_x, flat_y = sx < 1e-10, sy < 1e-10
        g[flat_x], rest[flat_x], sx[flat_x] = 0, sy[flat_x], 0
        g[flat_y], rest[flat_y] = 0, 0
        rest[g < 0] = sy[g < 0]
        g, rest = np.maximum(g, 0), np.maximum(rest, 1e-10)
        seen += np.log10(1 + g * g * sx / (rest + 2)).sum()
        there += np.log10(1 + sx / 2).sum()
    return seen / there


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.97, 0.995])
@pytest.mark.parametrize("level", [0, 3, 96, 255])
def test_mostly_flat_images_agree_with_the_program_as_the_card_claims(share, level):
    claims = [c for v in ("tdfusion", "cddfuse", "tang") for c in cards("metric")["vif"].facts.variants[v].oracles]
    (claimed,) = {c.rtol for c in claims}
    for seed, size in enumerate([(64, 90), (150, 101)]):
        f, a, b = (noise(3 * seed + i, *size).double() for i in range(3))
        keep = int(size[1] * (1 - share))
        for x in (a, b):
            x[..., keep + 3 :] = level
        f[..., keep + 20 :] = (a + b)[..., keep + 20 :] / 2
        direct = sum(program(x[0, 0].numpy(), f[0, 0].numpy()) for x in (a, b))
        assert vif(f, a, b, aggregate="sum").item() == pytest.approx(direct, rel=claimed)
        single = vif(f.float(), a.float(), b.float(), aggregate="sum")
        assert single.item() == pytest.approx(direct, rel=1e-6)
