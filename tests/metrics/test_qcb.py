from __future__ import annotations

import numpy as np
import pytest
from _images import noise
from scipy.signal import correlate2d

from fusionbench.metrics import qcb


def direct(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Chen and Blum as Liu et al. wrote it down: full spectra, 31 x 31 kernels."""
    h, w = f.shape
    v, u = (np.arange(-n + (n % 2), n, 2) / n * n / 30 for n in (h, w))  # MATLAB's freqspace
    r = np.hypot(v[:, None], u)
    csf = np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
    t = np.arange(-15, 16)
    g2, g4 = (np.exp(-(t[:, None] ** 2 + t**2) / (2 * s * s)) / (2 * np.pi * s * s) for s in (2, 4))
    masked = []
    for x in (f, a, b):
        x = np.floor((x - x.min()) / (x.max() - x.min()) * 255 + 0.5)
        x = np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(x)) * csf)).real
        c = abs(correlate2d(x, g2, "same") / correlate2d(x, g4, "same") - 1)
        masked.append(c**3 / (c**2 + 1e-4))
    f, a, b = masked
    q = [np.minimum(x, f) / np.maximum(x, f) for x in (a, b)]
    return float(((a * a * q[0] + b * b * q[1]) / (a * a + b * b)).mean())


@pytest.mark.parametrize("size", [(32, 44), (33, 45), (40, 31)])
def test_against_full_spectra_and_kernels(size):
    images = [noise(i, *size) for i in range(3)]
    assert qcb(*images).item() == pytest.approx(direct(*(x[0, 0].double().numpy() for x in images)), rel=1e-9)


def test_copies_and_wrong_grids():
    f, a, b = (noise(i, 60, 64) for i in range(3))
    for grid in ("freqspace", "linspace"):
        assert qcb(a, a, a, grid=grid).item() == pytest.approx(1, abs=1e-12)
    assert len({round(qcb(f, a, b, grid=g).item(), 4) for g in ("freqspace", "fftfreq", "linspace")}) == 3
    assert qcb(a * 0 + 9, a, b).isnan()
    with pytest.raises(ValueError, match="grid"):
        qcb(f, a, b, grid="other")
