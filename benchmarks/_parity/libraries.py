"""What libraries compute, next to our numbers."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGES = ("tno_05_F_SeAFusion", "synth_odd_F_max")  # small: torchmetrics is slow
NOT_INSTALLED = {"piq": "needs torchvision", "pyiqa": "needs torchvision, and pins other versions of what we use"}


@dataclass(frozen=True)
class Library:
    """A library's function of the fused image and the two sources, next to one of our numbers.

    `tolerance`: None where the two are known to differ, for the reason that `call` ends with.
    """

    number: str
    package: str
    call: str
    compute: Callable[..., float]
    tolerance: float | None = 1e-9

    def run(self, *images: np.ndarray) -> float | None:
        """The library's value, None where it is not installed."""
        try:
            importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None
        return float(self.compute(*images))


Pairwise = Callable[..., Any]


def both(one: Pairwise, **options: object) -> Callable[..., float]:
    """Sum of a score of the fused image against each source."""
    return lambda f, a, b: float(one(a, f, **options)) + float(one(b, f, **options))


def half(one: Pairwise, **options: object) -> Callable[..., float]:
    """Mean of a score of the fused image against each source."""
    return lambda f, a, b: both(one, **options)(f, a, b) / 2


def skimage(module: str, name: str) -> Pairwise:
    return lambda *a, **k: getattr(importlib.import_module(f"skimage.{module}"), name)(*a, **k)


def torchmetrics(name: str) -> Pairwise:
    def score(x: np.ndarray, y: np.ndarray, **options: object) -> float:
        import torch
        import torchmetrics.functional as functional

        shape = (-1,) if name == "pearson_corrcoef" else (1, 1, *x.shape)
        source, fused = (torch.from_numpy(z).reshape(shape) for z in (x, y))
        value = (getattr(functional.image, name, None) or getattr(functional, name))(fused, source, **options)
        return float(value[1][..., 5:-5, 5:-5].mean() if isinstance(value, tuple) else value)

    return score


def pytorch_msssim(name: str) -> Pairwise:
    def score(x: np.ndarray, y: np.ndarray) -> float:
        import pytorch_msssim
        import torch

        source, fused = (torch.from_numpy(z)[None, None] for z in (x, y))
        return float(getattr(pytorch_msssim, name)(fused, source, data_range=255.0))

    return score


def sobel(mode: str) -> Callable[..., float]:
    def score(f: np.ndarray, *sources: np.ndarray) -> float:
        from scipy import ndimage

        return float(np.hypot(ndimage.sobel(f, 0, mode=mode), ndimage.sobel(f, 1, mode=mode)).mean())

    return score


def divergence(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.special import rel_entr

    p, q = (np.bincount(z.astype(np.int64).ravel(), minlength=256) / z.size for z in (x, y))
    seen = (p > 0) & (q > 0)
    return float(rel_entr(p[seen], q[seen]).sum() / np.log(2))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(x.ravel(), y.ravel()).statistic)


SKIMAGE, TM, PM = "scikit-image", "torchmetrics", "pytorch-msssim"
GAUSS: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
SSIM, SSIM_SK, SSIM_TM = (
    skimage("metrics", "structural_similarity"),
    "metrics.structural_similarity",
    "structural_similarity_index_measure",
)
GAUSS_SK = f"{SSIM_SK}, Gaussian, population covariance"
MS_SSIM_TM = "multiscale_structural_similarity_index_measure"
MSE, PSNR = skimage("metrics", "mean_squared_error"), skimage("metrics", "peak_signal_noise_ratio")
PCC, ENTROPY = skimage("measure", "pearson_corr_coeff"), skimage("measure", "shannon_entropy")
RMSE_TM = "mean_squared_error, squared=False"
BORDER = "mirrors the border and averages over all of it"

LIBRARIES = [
    Library("cc@mean", "scipy", "stats.pearsonr", half(pearson)),
    Library("cc@mean", SKIMAGE, "measure.pearson_corr_coeff", half(lambda x, y: PCC(x, y)[0])),
    Library("cc@mean", TM, "pearson_corrcoef", half(torchmetrics("pearson_corrcoef"))),
    Library("cc@sum", "scipy", "stats.pearsonr", both(pearson)),
    Library("ce@mean", "scipy", "special.rel_entr over levels both have", half(divergence)),
    Library("ce@sum", "scipy", "special.rel_entr over levels both have", both(divergence)),
    Library("ei@ivif_zoo", "scipy", "ndimage.sobel, mode constant", sobel("constant")),
    Library("ei@vifb", "scipy", "ndimage.sobel, mode nearest", sobel("nearest")),
    Library("en@bits", SKIMAGE, "measure.shannon_entropy", lambda f, a, b: ENTROPY(f)),
    Library("ms_ssim@wang", PM, "ms_ssim; its taps are float32", half(pytorch_msssim("ms_ssim")), 5e-6),
    Library(
        "ms_ssim@wang",
        TM,
        f"{MS_SSIM_TM}; {BORDER}, and drops the last row of an odd size",
        half(torchmetrics(MS_SSIM_TM), data_range=255.0),
        None,
    ),
    Library("mse@mean", SKIMAGE, "metrics.mean_squared_error", half(MSE)),
    Library("mse@mean", TM, "mean_squared_error", half(torchmetrics("mean_squared_error"))),
    Library("psnr@mean-db", SKIMAGE, "metrics.peak_signal_noise_ratio", half(PSNR, data_range=255)),
    Library(
        "psnr@mean-db",
        TM,
        "peak_signal_noise_ratio; its peak is float32",
        half(torchmetrics("peak_signal_noise_ratio"), data_range=255.0),
        1e-7,
    ),
    Library("rmse@mean", SKIMAGE, "sqrt of metrics.mean_squared_error", half(lambda x, y: MSE(x, y) ** 0.5)),
    Library("rmse@mean", TM, RMSE_TM, half(torchmetrics("mean_squared_error"), squared=False)),
    Library("rmse@pooled", SKIMAGE, "sqrt of the mean of two", lambda *images: half(MSE)(*images) ** 0.5),
    Library(
        "scd@sum", "scipy", "stats.pearsonr of the differences", lambda f, a, b: pearson(f - b, a) + pearson(f - a, b)
    ),
    Library("sd@population", "numpy", "std", lambda f, a, b: f.std()),
    Library("sd@sample", "numpy", "std, ddof=1", lambda f, a, b: f.std(ddof=1)),
    Library("ssim@cddfuse", SKIMAGE, SSIM_SK, both(SSIM, data_range=2)),
    Library("ssim@ivif_zoo", SKIMAGE, f"{GAUSS_SK}, data_range=1", both(SSIM, data_range=1, **GAUSS)),
    Library("ssim@sum", SKIMAGE, SSIM_SK, both(SSIM, data_range=255)),
    Library("ssim@tdfusion", SKIMAGE, SSIM_SK, half(SSIM, data_range=255)),
    Library("ssim@vifb", SKIMAGE, GAUSS_SK, both(SSIM, data_range=255, **GAUSS)),
    Library("ssim@wang", SKIMAGE, GAUSS_SK, half(SSIM, data_range=255, **GAUSS)),
    Library("ssim@wang", PM, "ssim; its taps are float32", half(pytorch_msssim("ssim")), 5e-6),
    Library(
        "ssim@wang",
        TM,
        f"{SSIM_TM}, full windows of its map",
        half(torchmetrics(SSIM_TM), data_range=255.0, return_full_image=True),
    ),
    Library("ssim@wang", TM, f"{SSIM_TM}; {BORDER}", half(torchmetrics(SSIM_TM), data_range=255.0), None),
    Library("vif@tdfusion", TM, "visual_information_fidelity", half(torchmetrics("visual_information_fidelity"))),
]
