from __future__ import annotations

import pytest
import torch
from _images import noise
from torch import Tensor

from fusionbench.metrics import Planes, qe, qs, qw


def uqi_by_loops(f: Tensor, a: Tensor, b: Tensor) -> tuple[float, float]:
    """Qs and Qw of Piella and Heijmans with Wang and Bovik's index, window by window."""
    values, weights = [], []
    for i in range(f.shape[-2] - 7):
        for j in range(f.shape[-1] - 7):
            y, *sources = (v[0, 0, i : i + 8, j : j + 8].double() for v in (f, a, b))
            v = [x.var(correction=0).item() for x in sources]
            q = []
            for x in sources:
                mx, my = x.mean().item(), y.mean().item()
                spread = (x.var(correction=0) + y.var(correction=0)).item()
                structure = 2 * ((x - mx) * (y - my)).mean().item() / spread if spread else 1
                q.append(structure * (2 * mx * my / (mx * mx + my * my) if mx or my else 1))
            share = v[0] / sum(v) if sum(v) else 0.5
            values.append(share * q[0] + (1 - share) * q[1])
            weights.append(max(v))
    return sum(values) / len(values), sum(w * q for w, q in zip(weights, values, strict=True)) / sum(weights)


def test_the_papers_form_against_loops():
    f, a, b = (noise(i, 17, 21) for i in range(3))
    for x in (f, a, b):
        x[..., :9, :9] = 0  # flat in all
    a[..., 9:, :9] = 80
    want = uqi_by_loops(f, a, b)
    assert qs(f, a, b, index="uqi").item() == pytest.approx(want[0], rel=1e-10)
    assert qw(f, a, b, index="uqi").item() == pytest.approx(want[1], rel=1e-10)


@pytest.mark.parametrize("index", ["ssim", "uqi"])
def test_identities(index):
    f, a, b = (noise(i, 24, 30) for i in range(3))
    for metric in (qs, qw, qe):
        assert metric(a, a, a, index=index).item() == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(metric(f, a, b, index=index), metric(f, b, a, index=index))
    # a flat source has no say: one source alone
    torch.testing.assert_close(qs(f, a, b * 0, index=index), qs(f, a, a, index=index))
    # nothing of the edges, all of the images
    assert qe(f, a, b, index=index, alpha=0) == qw(f, a, b, index=index)
    assert qw(f, a * 0, b * 0, index=index).isnan()
    with pytest.raises(ValueError, match="index"):
        qs(f, a, b, index="other")


def test_edges_are_prewitt_magnitudes():
    f, a, b = (noise(i, 24, 30) for i in range(3))
    k = torch.tensor([[1.0, 0, -1]] * 3, dtype=torch.float64)

    def edges(x: Tensor) -> Tensor:
        dx, dy = (torch.nn.functional.conv2d(x.double(), m[None, None], padding=1) for m in (k, k.T))
        return (dx**2 + dy**2).sqrt()

    torch.testing.assert_close(qe(f, a, b), qw(f, a, b) * qw(*(Planes(edges(x)) for x in (f, a, b))))
