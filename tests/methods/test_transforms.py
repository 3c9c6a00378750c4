"""Transforms of the classical methods: they come back, and are those of the implementations they are named after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusionbench.methods import dtcwt, nsct
from fusionbench.methods.nsct_sr import NSCTSR
from fusionbench.methods.selection import stronger
from fusionbench.methods.sparse import Dictionary, pursued

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


def first(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("halvings", [(0,), (2,), (2, 3, 3, 4), (5, 1)], ids=str)
def test_contourlets_come_back(size: tuple[int, int], halvings: tuple[int, ...]) -> None:
    x = noise(*size)
    assert (nsct.fused(x, 1 - x, halvings, first, first) - x).abs().max() < 1e-12


def fan(rows: NDArray[np.float64], columns: NDArray[np.float64], high: int, sign: int = 1) -> NDArray[np.float64]:
    """Response of a fan filter, by frequency: McClellan's transform of (1,2,1)/4 or (-1,-2,6,-2,-1)/4."""
    u = sign * (np.cos(rows) - np.cos(columns)) / 2
    return (2 - u - u**2 if high else (1 + u) / 2) / np.sqrt(2)


def response(band: int, halvings: int, size: int) -> NDArray[np.float64]:
    """Of a band of the directional filters, as the product of the fans on the way to it.

    A filter whose taps a matrix moves answers at a frequency as the filter does at the transposed matrix times that.
    The matrices: the quincunx one, then 3.18 of Do's thesis on parallelograms, fans that a shear turned.
    """
    w = np.stack(np.meshgrid(*2 * [2 * np.pi * np.arange(size) / size], indexing="ij"))  # rows, columns
    bits = [band >> (halvings - 1 - depth) & 1 for depth in range(halvings)]
    total = fan(*w, bits[0])
    if halvings > 1:
        total = total * fan(w[0] - w[1], w[0] + w[1], bits[1])
    for depth in range(2, halvings):
        k = band >> (halvings - depth)
        half, scale = 2 ** (depth - 1), 2 ** (depth - 2)
        s = 2 * (k % half // 2) - scale + 1
        r, c = w if k < half else w[::-1]
        r, c = 2 * r, 2 * (scale * c - s * r)  # of a tap one row down, and of one a column to the right
        sheared = (r, c + r) if k % 2 else (c - r, r)
        total = total * fan(*sheared, bits[depth])
    return total


@pytest.mark.parametrize("halvings", [1, 2, 3, 4, 5])
def test_bands_are_products_of_fans(halvings: int) -> None:
    point = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    point[..., 0, 0] = 1
    bands: list[NDArray[np.float64]] = []

    def note(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        bands.append(a[0, 0].numpy())
        return a

    nsct.directional(point, point, halvings, note)
    assert len(bands) == 2**halvings
    for number, band in enumerate(bands):
        assert np.abs(np.fft.fft2(band) - response(number, halvings, 32)).max() < 1e-12, number


def plain_pursuit(x: NDArray[np.float64], atoms: NDArray[np.float64], error: float) -> NDArray[np.float64]:
    """The code of one signal, by least squares anew for each atom."""
    code, chosen, rest = np.zeros(atoms.shape[1]), [], x
    while np.linalg.norm(rest) > error and len(chosen) < len(x):
        best = int(np.abs(atoms.T @ rest).argmax())
        if best in chosen:
            break
        chosen.append(best)
        code[:] = 0
        code[chosen] = np.linalg.lstsq(atoms[:, chosen], x, rcond=None)[0]
        rest = x - atoms @ code
    return code


def test_pursuit_is_that_by_least_squares() -> None:
    g = torch.Generator().manual_seed(3)
    atoms = torch.randn(16, 40, generator=g, dtype=torch.float64)
    atoms = atoms / atoms.norm(dim=0)
    signals = torch.randn(9, 16, generator=g, dtype=torch.float64) * torch.logspace(-2, 2, 9)[:, None]
    signals[4] = 0
    for error in (0.0, 0.1, 3.0):
        parts, sums = pursued(signals, atoms, error)
        for signal, part, total in zip(signals.numpy(), parts.numpy(), sums.tolist(), strict=True):
            code = plain_pursuit(signal, atoms.numpy(), error)
            assert abs(np.abs(code).sum() - total) < 1e-8 * max(1, total)
            assert np.abs(atoms.numpy() @ code - part).max() < 1e-8
            assert np.linalg.norm(signal - part) <= max(error, 1e-6)


def test_the_richer_patch_is_taken_with_its_mean() -> None:
    method, flat = NSCTSR(), torch.full((1, 1, 24, 30), 40.0, dtype=torch.float64)
    rich = 255 * noise(24, 30)[:1]
    for a, b in ((flat, rich), (rich, flat)):
        assert (method.base(a, b) - rich).abs().max() < 0.1
    left = torch.where(torch.arange(30) < 15, rich, flat)
    fused = method.base(left, left.flip(-1))
    wanted = torch.where(torch.arange(30) < 15, left, left.flip(-1))
    away = [*range(8), *range(22, 30)]  # from where patches overlap that were taken from either
    assert (fused - wanted)[..., away].abs().max() < 0.1


def test_what_no_patch_covers_is_averaged() -> None:
    a, b = 255 * noise(7, 40)[:1], 255 * noise(7, 40)[1:]
    assert torch.equal(NSCTSR().base(a, b), (a + b) / 2)
    a, b = 255 * noise(9, 8)[:1], 255 * noise(9, 8)[1:]
    fused = NSCTSR().base(a, b)
    assert torch.equal(fused[..., 8, :], (a + b)[..., 8, :] / 2)
    assert not torch.equal(fused[..., 0, :], (a + b)[..., 0, :] / 2)


def test_equal_images_of_a_batch_have_one_code() -> None:
    grey, colours = 255 * noise(16, 18)[:1], 255 * torch.cat([noise(16, 18), noise(18, 16).mT])[:3]
    method = NSCTSR()
    apart = torch.cat([method.base(grey, one[None]) for one in colours])
    assert torch.equal(method.base(grey.expand(3, -1, -1, -1), colours), apart)


def test_dictionary() -> None:
    atoms = Dictionary()()
    assert atoms.shape == (64, 256)
    assert (atoms.norm(dim=0) - 1).abs().max() < 1e-12
    assert torch.linalg.matrix_rank(atoms) == 64
    with pytest.raises(ValueError, match="zero throughout"):
        NSCTSR().convert({"D": torch.zeros(64, 256, dtype=torch.float64)})
    with pytest.raises(ValueError, match="the network needs"):
        NSCTSR().convert({"D": torch.ones(64, 128, dtype=torch.float64)})
