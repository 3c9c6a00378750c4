from __future__ import annotations

import math

import _oracles
import pytest
import torch
from _images import noise

from fusionbench.metrics import nabf


def by_loops(f, a, b) -> float:
    """Kumar's definition pixel by pixel."""

    def edges(x):
        x = torch.nn.functional.pad(x.double(), (1, 1, 1, 1), mode="reflect")[0, 0]
        k = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).double() / 8
        at = [(i, j) for i in range(x.shape[0] - 2) for j in range(x.shape[1] - 2)]
        return [
            ((x[i : i + 3, j : j + 3] * k).sum().item(), (x[i : i + 3, j : j + 3] * k.T).sum().item()) for i, j in at
        ]

    def angle(v, h):
        return 0 if v == h == 0 else math.atan(v / h) if h else math.copysign(math.pi / 2, v)

    up = down = 0.0
    for pf, *sources in zip(edges(f), edges(a), edges(b), strict=True):
        gf, new, lost = math.hypot(*pf), True, 0.0
        for p in sources:
            g = math.hypot(*p)
            ratio = min(g, gf) / max(g, gf) if g and gf else 0
            turn = abs(abs(angle(*p) - angle(*pf)) - math.pi / 2) * 2 / math.pi
            q = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turn - 0.5)))
            weight = g**1.5 if g >= 2 else 0.001
            lost, down, new = lost + (1 - math.sqrt(q)) * weight, down + weight, new and gf > g
        up += lost * new
    return up / down


def test_against_loops_over_pixels():
    f, a, b = (noise(i, 13, 17) for i in range(3))
    a[..., :5] = 9
    f[..., :3, :] = 0
    assert nabf(f, a, b).item() == pytest.approx(by_loops(f, a, b), rel=1e-10)
    assert nabf(f, a, b, program="tang").item() == pytest.approx(by_loops(a, b, f), rel=1e-10)


def test_a_copy_adds_nothing():
    a, b = noise(0, 13, 17), noise(1, 13, 17)
    assert nabf(a, a, b) == nabf(b * 0, a, b) == 0
    assert nabf(a, a * 0, a * 0, program="ivif_zoo").isnan()
    with pytest.raises(ValueError, match="program"):
        nabf(a, a, b, program="other")


@pytest.mark.real
def test_wrong_values_in_print(shared):
    """Linfeng-Tang's kit scores the infrared image as if fused, which hides what SeAFusion adds."""
    planes = _oracles.golden(shared, "tno_05_F_SeAFusion")
    assert nabf(*planes).item() == pytest.approx(0.07395464829, rel=1e-9)
    assert nabf(*planes, program="tang").item() == pytest.approx(0.002640859726, rel=1e-9)
