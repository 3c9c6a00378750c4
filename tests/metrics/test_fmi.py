from __future__ import annotations

import math

import pytest
import torch
from _images import noise

from fusionbench.metrics import Planes, fmi
from fusionbench.metrics.fmi import dct


def by_loops(x: list[float], y: list[float]) -> float:
    """2 I / (H + H) of one window, straight from Haghighat's definition: both Frechet bounds, 81 cells."""
    if x == y:
        return 1.0
    n = len(x)

    def distribution(v):
        low, high = min(v), max(v)
        v = [1.0 if low == high else (t - low) / (high - low) for t in v]
        return [t / sum(v) for t in v]

    p, q = distribution(x), distribution(y)
    up, low = [[0.0] * (n + 1) for _ in range(n + 1)], [[0.0] * (n + 1) for _ in range(n + 1)]
    for i in range(1, n + 1):
        for j in range(1, n + 1):
            up[i][j] = min(sum(p[:i]), sum(q[:j]))
            low[i][j] = max(sum(p[:i]) + sum(q[:j]) - 1, 0)
    a, b = [t - 1 / n for t in p], [t - 1 / n for t in q]
    size = math.sqrt(sum(s * s for s in a) * sum(t * t for t in b))
    c = sum(s * t for s, t in zip(a, b, strict=True)) / size if size > 1e-12 else 0.0
    bound = up if c >= 0 else low
    ex, ey = (sum(i * t for i, t in enumerate(v, 1)) for v in (p, q))
    vx, vy = (sum(i * i * t for i, t in enumerate(v, 1)) - e * e for v, e in ((p, ex), (q, ey)))
    cells = [(i, j) for i in range(1, n + 1) for j in range(1, n + 1)]
    covariance = sum(bound[i][j] - sum(p[:i]) * sum(q[:j]) for i, j in cells)
    phi = 0.0 if c == 0 or vx <= 0 or vy <= 0 else c / (covariance / math.sqrt(vx * vy))

    def entropy(v):
        return -sum(t * math.log2(abs(t)) for t in v if abs(t) > 1e-15)

    joint = entropy(
        phi * (bound[i][j] - bound[i - 1][j] - bound[i][j - 1] + bound[i - 1][j - 1]) + (1 - phi) * p[i - 1] * q[j - 1]
        for i, j in cells
    )
    total = entropy(p) + entropy(q)
    return 2 * (total - joint) / total if total else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_against_loops_over_windows(seed):
    images = [noise(3 * seed + i, 9, 11) for i in range(3)]
    images[1][..., :4, :4] = 7  # flat windows: in one image, in both, on one level and on two
    images[0][..., :4, 2:6] = 7 if seed else 9
    f, a, b = ([x[0, 0, i : i + 3, j : j + 3].T.flatten().tolist() for i in range(7) for j in range(9)] for x in images)
    want = sum(by_loops(x, y) + by_loops(x, z) for x, y, z in zip(f, a, b, strict=True)) / (2 * len(f))
    assert fmi(*images, feature="pixel").item() == pytest.approx(want, rel=1e-10)


def test_features():
    images = [noise(i, 8, 10) for i in range(3)]
    columns = [torch.gradient(x.double(), dim=-1)[0] for x in images]
    assert fmi(*images, feature="gradient") == fmi(*map(Planes, columns), feature="pixel")  # a gradient is no picture
    k = torch.arange(10, dtype=torch.float64)
    basis = torch.cos(math.pi / 20 * (2 * k + 1) * k[:, None])
    impulse = torch.eye(10, dtype=torch.float64)[:, None, :]  # the DCT of impulses is the basis, to a scale per row
    scale = torch.full((10,), math.sqrt(1 / 5), dtype=torch.float64)
    scale[0] = math.sqrt(1 / 10)
    torch.testing.assert_close(dct(impulse)[:, 0], (basis * scale[:, None]).T)
    with pytest.raises(ValueError, match="feature"):
        fmi(*images, feature="edge")


def test_copies_and_tiles():
    a, b = noise(0, 90, 70), noise(1, 90, 70)
    assert fmi(a, a, a).item() == 1
    whole = fmi(a, b, b, feature="pixel").item()  # tiles of rows do not show: windows of both halves are all there are
    parts = [fmi(a[..., s, :], b[..., s, :], b[..., s, :], feature="pixel").item() for s in (slice(46), slice(44, 90))]
    assert whole == pytest.approx(sum(parts) / 2, rel=1e-12)
