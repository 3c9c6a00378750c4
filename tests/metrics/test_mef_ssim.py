from __future__ import annotations

import numpy as np
import pytest
from _images import noise

from fusionbench.metrics import mef_ssim


def scale_by_loops(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """One scale of Ma's definition, window by window on the patches themselves."""
    t = np.arange(-5, 6)
    g = np.exp(-(t[:, None] ** 2 + t**2) / 4.5)
    g, eps, values = g / g.sum(), np.finfo(float).eps, []
    for i in range(f.shape[0] - 10):
        for j in range(f.shape[1] - 10):
            y, *x = (v[i : i + 11, j : j + 11] for v in (f, a, b))
            x = [v - v.mean() for v in x]
            size = [np.linalg.norm(v) for v in x]
            r = min((np.linalg.norm(x[0] + x[1]) + eps) / (sum(size) + eps), 1 - eps)
            p, d = min(np.tan(np.pi / 2 * r), 10), [s + 0.001 for s in size]
            w = [(s / 11) ** p + eps for s in d]
            patch = sum(wk / sum(w) * xk / dk for wk, xk, dk in zip(w, x, d, strict=True))
            if np.linalg.norm(patch) > 0:
                patch *= max(d) / np.linalg.norm(patch)
            u, v = patch - (g * patch).sum(), y - (g * y).sum()
            c = (0.03 * 255) ** 2
            values.append((2 * (g * u * v).sum() + c) / ((g * u * u).sum() + (g * v * v).sum() + c))
    return float(np.mean(values))


@pytest.mark.parametrize("size", [(44, 47), (45, 44)])
def test_against_loops_over_windows(size):
    images = [noise(i, *size) for i in range(3)]
    images[1][..., :20, :20] = 0  # flat in one source and in both
    images[2][..., :15, :15] = 200
    images[0] = (images[0].double() * 0.2 + images[1] * 0.4 + images[2] * 0.4).round().byte()
    x, want = [v[0, 0].double().numpy() for v in images], 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        want *= scale_by_loops(*x) ** (weight / 0.6305)
        x = [np.pad(v, [(0, s % 2) for s in v.shape], mode="edge") for v in x]
        x = [(v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]) / 4 for v in x]
    assert mef_ssim(*images).item() == pytest.approx(want, rel=1e-9)


def test_copy_of_both_sources():
    a = noise(0, 50, 60)
    assert mef_ssim(a, a, a).item() == pytest.approx(1, abs=1e-4)  # |r| = |x| + .001
