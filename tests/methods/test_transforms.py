"""Transforms of the classical methods: they come back, and are those of the implementations they are named after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusionbench.methods import dtcwt
from fusionbench.methods._selection import stronger

AUTHORS = Path(__file__).parent / "authors"
SIZES = [(32, 48), (37, 51), (18, 30), (5, 9), (4, 4), (2, 3), (1, 1)]


def noise(*size: int) -> torch.Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_complex_wavelets_come_back(size: tuple[int, int], levels: int) -> None:
    x = noise(*size)
    back = dtcwt.compose(*dtcwt.decompose(x, levels))
    assert (back[..., : size[0], : size[1]] - x).abs().max() < 1e-12


@pytest.mark.parametrize(("case", "levels"), [("even", 3), ("odd", 2)])
def test_complex_wavelets_are_those_of_dtcwt(case: str, levels: int) -> None:
    """``benchmarks/dtcwt_values.py`` keeps what the package gives."""
    theirs = np.load(AUTHORS / "dtcwt.npz")

    def held(name: str) -> torch.Tensor:
        array = theirs[f"{case}_{name}"]
        return torch.from_numpy(array if array.ndim == 2 else array.transpose(2, 0, 1))[None]

    low, bands = dtcwt.decompose(held("image")[None], levels)
    assert (low[0] - held("low")).abs().max() < 1e-12
    assert len(bands) == levels
    for level, band in enumerate(bands):
        assert (band - held(f"band{level}")).abs().max() < 1e-12
        assert band.abs().max() > 0.1
    some = [band * (torch.arange(6).view(6, 1, 1) % 2) for band in bands]
    assert (dtcwt.compose(low, some)[0] - held("some")).abs().max() < 1e-12


def plain_choice(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel by pixel: the larger magnitude around each place of a mirrored frame, and a vote of these."""
    height, width = a.shape
    frames = [np.abs(np.pad(x, 1, mode="reflect")) for x in (a, b)]
    first = np.zeros((height + 2, width + 2))
    for y in range(height + 2):
        for x in range(width + 2):
            around = [frame[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() for frame in frames]
            first[y, x] = around[0] > around[1]
    votes = np.array([[first[y : y + 3, x : x + 3].sum() for x in range(width)] for y in range(height)])
    return np.where(votes >= 5, a, b)


@pytest.mark.parametrize("size", [(7, 9), (3, 12)], ids=str)
def test_the_stronger_surroundings_win(size: tuple[int, int]) -> None:
    g = torch.Generator().manual_seed(2)
    a, b = (torch.randn(1, 1, *size, generator=g, dtype=torch.float64) for _ in range(2))
    wanted = plain_choice(a[0, 0].numpy(), b[0, 0].numpy())
    assert np.array_equal(stronger(a, b)[0, 0].numpy(), wanted)
    assert 0 < (wanted == a[0, 0].numpy()).mean() < 1
