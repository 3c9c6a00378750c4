from __future__ import annotations

import math

import pytest
import torch
from _images import noise

from fusionbench.metrics import Planes, qncie
from fusionbench.metrics.qncie import eigenvalues


def test_eigenvalues():
    x, y, z = torch.tensor([[0.3, 0.5, -0.2], [0, 0, 0], [1, 1, 1], [0.7, 0, 0]], dtype=torch.float64).T
    one = torch.ones_like(x)
    matrix = torch.stack([one, x, y, x, one, z, y, z, one], -1).view(-1, 3, 3)
    torch.testing.assert_close(eigenvalues(x, y, z).sort().values, torch.linalg.eigvalsh(matrix), rtol=1e-12, atol=1e-7)


def test_bounds_and_mutual_information():
    a, flat = noise(0, 30, 30), torch.full((1, 1, 30, 30), 5, dtype=torch.uint8)
    assert qncie(flat, flat, a).item() == pytest.approx(1 - math.log(3, 256), abs=1e-12)
    a = (torch.arange(900) % 256).view(1, 1, 30, 30).to(torch.uint8)
    c = Planes(a).entropy("stretched").item() / math.log(256)  # equal images share their entropy
    r = torch.tensor([1 + 2 * c, 1 - c, 1 - c], dtype=torch.float64) / 3
    assert qncie(a, a, a).item() == pytest.approx(1 + torch.xlogy(r, r).sum().item() / math.log(256), abs=1e-12)


def test_linear_correlation_of_a_copy_is_undefined():
    a, b = noise(0, 30, 30), noise(1, 30, 30)
    assert qncie(a, a, b, correlation="linear").isnan()
    assert not qncie(a, a, b).isnan()
    with pytest.raises(ValueError, match="correlation"):
        qncie(a, a, b, correlation="other")
