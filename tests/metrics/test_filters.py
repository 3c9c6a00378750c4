"""Banded-matrix filtering against PyTorch's convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fusionbench.metrics.filters import box, gaussian, separable


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("taps", [1, 2, 3, 17])
@pytest.mark.parametrize("stride", [1, 2])
def test_valid(taps, stride):
    x, k, v = image(2, 70, 83), image(taps), image(5)
    expected = F.conv2d(x[:, None], torch.outer(v, k)[None, None], stride=stride)[:, 0]
    torch.testing.assert_close(separable(x, k, vertical=v, stride=stride), expected)


@pytest.mark.parametrize(("mode", "torch_mode"), [("zero", "constant"), ("replicate",) * 2, ("reflect",) * 2])
def test_borders(mode, torch_mode):
    x, k = image(2, 9, 12), image(5)
    padded = F.pad(x[:, None], (2, 2, 2, 2), mode=torch_mode)
    torch.testing.assert_close(separable(x, k, mode), F.conv2d(padded, torch.outer(k, k)[None, None])[:, 0])


def test_symmetric_border_and_kernels_longer_than_the_image():
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    left = torch.tensor([1.0, 0, 0, 0, 0])
    assert separable(x, left, "symmetric", vertical=torch.ones(1)).tolist() == [[[2, 1, 1]]]
    far = torch.zeros(21)
    far[0] = 1
    for mode in ("zero", "replicate", "reflect", "symmetric"):
        assert separable(x, far, mode).shape == x.shape
    assert separable(x, left).shape == (1, 0, 0)
    with pytest.raises(ValueError, match="mode"):
        separable(x, left, "wrap")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 13])
def test_box_sums_of_integers_are_exact(n):
    x = (image(2, 20, 31) * 255).round()
    assert torch.equal(box(x, n), F.avg_pool2d(x[:, None], n, 1, divisor_override=1)[:, 0] / n**2)
    assert box(x, 40).numel() == 0


def test_gaussian_is_normalised_and_centred():
    k = gaussian(11, 1.5, torch.float64, "cpu")
    assert k.sum() == pytest.approx(1)
    assert torch.equal(k, k.flip(0))
