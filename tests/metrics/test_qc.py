from __future__ import annotations

import _oracles
import pytest
import torch
from _images import noise
from torch import Tensor

from fusionbench.metrics import qc, qy

C = 2e-16
DEFINITIONS = {
    "released": "Qc(Cvejic, two-pass variance, lambda=0.5 where undefined)",
    "paper": "Qc(Cvejic, paper: weight clipped to [0,1], two-pass)",
}


def moments(f: Tensor, a: Tensor, b: Tensor):
    """Means and covariances of every 7x7 Gaussian window, from the windows themselves."""
    t = torch.exp(-(torch.arange(-3, 4, dtype=torch.float64) ** 2) / 4.5)
    g = torch.outer(t, t).flatten() / t.sum() ** 2
    windows = [x[0, 0].double().unfold(0, 7, 1).unfold(1, 7, 1).flatten(2) for x in (f, a, b)]
    means = [(w * g).sum(-1) for w in windows]
    rest = [w - m[..., None] for w, m in zip(windows, means, strict=True)]
    return means, [[(x * y * g).sum(-1) for x in rest] for y in rest]


def index(m, s, i: int, j: int) -> Tensor:
    up = (2 * m[i] * m[j] + C) * (2 * s[i][j] + C)
    return up / ((m[i] ** 2 + m[j] ** 2 + C) * (s[i][i] + s[j][j] + C))


def test_against_the_windows_themselves():
    images = [noise(i, 20, 26) for i in range(3)]
    m, s = moments(*images)
    q, r = index(m, s, 0, 1), index(m, s, 0, 2)
    share = s[0][1] / (s[0][1] + s[0][2])
    cut = share.clamp(0, 1)
    mixed = cut * q + (1 - cut) * r
    assert qc(*images, clip="paper").item() == pytest.approx(mixed.mean().item(), rel=1e-10)
    assert qc(*images).item() == pytest.approx(torch.where(share == cut, mixed, cut).mean().item(), rel=1e-10)
    part = s[1][1] / (s[1][1] + s[2][2])
    weighted = torch.where(index(m, s, 1, 2) >= 0.75, part * q + (1 - part) * r, torch.maximum(q, r))
    assert qy(*images).item() == pytest.approx(weighted.mean().item(), rel=1e-10)


def test_flat_windows_have_no_noise():
    a, b = noise(0, 20, 26), noise(1, 20, 26)
    for level in (0, 3, 200, 255):
        flat = torch.full_like(a, level)
        assert qc(b, flat, b).item() == pytest.approx(1, abs=1e-12)  # s = 0 everywhere, and not below
        assert qc(flat, flat, flat).item() == pytest.approx(1, abs=1e-12)
        assert qy(flat, flat, flat).item() == pytest.approx(1, abs=1e-12)
    # both covariances 0: half of each, (1 + 2 xy / (x^2 + y^2)) / 2
    ten, twenty = torch.full_like(a, 10), torch.full_like(a, 20)
    assert qc(ten, ten, twenty).item() == pytest.approx((1 + 0.8) / 2, abs=1e-12)


@pytest.mark.real
@pytest.mark.parametrize("clip", DEFINITIONS)
def test_definition_without_black_windows(shared, clip):
    for image, value in _oracles.values(shared)[DEFINITIONS[clip], "definition, float64"].items():
        if not image.startswith("vifb_fight"):  # there, exact zeros are noise in the reference: the card's tolerance
            assert qc(*_oracles.golden(shared, image), clip=clip).item() == pytest.approx(value, rel=1e-12), image


@pytest.mark.real
def test_one_pass_qy(shared):
    for image, value in _oracles.values(shared)["Qy(Yang)", "definition, float64"].items():
        got = qy(*_oracles.golden(shared, image)).item()  # defined also where the one-pass form is NaN
        assert 0 < got < 1 if value != value else got == pytest.approx(value, rel=3e-5), image


def test_options_are_checked():
    x = torch.zeros(1, 20, 20)
    with pytest.raises(ValueError, match="clip"):
        qc(x, x, x, clip="other")
    with pytest.raises(ValueError, match="window"):
        qy(x, x, x, window="other")
