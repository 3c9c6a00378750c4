"""Structural similarity, in the forms that recipes train with."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.gradients import sobel
from fusionbench.training.distributed import all_mean, gathered

Border = Literal["valid", "zeros", "reflect"]
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of multi-scale SSIM, Wang et al. 2003


def guessed_range(x: Tensor) -> Tensor:
    """The range of values that the released SSIM takes an image for: to 255 or to 1, from 0 or from -1; a scalar."""
    lowest, highest = (gathered(value.detach()) for value in (x.min(), x.max()))
    return 1 + 254 * (highest.max() > 128).to(x.dtype) + (lowest.min() < -0.5).to(x.dtype)


def ssim_maps(
    a: Tensor, b: Tensor, span: Tensor | float, border: Border, narrowing: bool = False
) -> tuple[Tensor, Tensor]:
    """SSIM at each pixel, and its contrast and structure part; a Gaussian window of 11x11, smaller in small images.

    Args:
        a: ``[B,1,H,W]``.
        b: likewise.
        span: of the values.
        border: ``valid`` leaves out pixels whose window leaves the image, the others pad.
        narrowing: a smaller window is also narrower.
    """
    size = min(11, *a.shape[-2:])
    variance = 4.5 * (size / 11) ** 2 if narrowing else 4.5
    taps = torch.exp(-((torch.arange(size, dtype=a.dtype, device=a.device) - size // 2) ** 2) / variance)
    taps = taps / taps.sum()
    window = (taps[:, None] * taps)[None, None]

    def mean(x: Tensor) -> Tensor:
        if border != "valid":
            mode = "constant" if border == "zeros" else "reflect"
            x = F.pad(x, [size // 2] * 4, mode=mode)
        return F.conv2d(x, window)

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    m, n = mean(a), mean(b)
    upper = 2 * (mean(a * b) - m * n) + c2
    structure = upper / ((mean(a * a) - m * m) + (mean(b * b) - n * n) + c2)
    return (2 * m * n + c1) / (m * m + n * n + c1) * structure, structure


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean SSIM as DenseFuse, DATFuse and YDTR have it: no padding, the range guessed from the first image."""
    return ssim_maps(a, b, guessed_range(a), "valid")[0].mean()


def ssim_padded(a: Tensor, b: Tensor) -> Tensor:
    """Mean SSIM of images in [0,1], padded with zeros (SwinFusion)."""
    return ssim_maps(a, b, 1.0, "zeros")[0].mean()


def ssim_by_gradient(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """:func:`ssim_padded` with both sources, each weighted by its share of the mean Sobel response (SwinFusion)."""
    slopes = all_mean([sobel(x).mean() for x in (ir, vis)])
    share = slopes[0] / (slopes[0] + slopes[1])
    return share * ssim_padded(ir, fused) + (1 - share) * ssim_padded(vis, fused)


def dssim(a: Tensor, b: Tensor) -> Tensor:
    """Half of 1 - SSIM, which is cut to [0,1] at each pixel; mirrored at the border (kornia 0.2; DIDFuse, CDDFuse)."""
    return (1 - ssim_maps(a, b, 1.0, "reflect")[0]).clamp(0, 1).mean() / 2


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM as DenseFuse and RFN-Nest train with it: both parts brought from [-1,1] to [0,1] first."""
    whole, parts = a.new_zeros(()), []
    for _ in SCALES:
        similarity, structure = ssim_maps(a, b, guessed_range(a), "valid")
        means = all_mean([similarity.mean(), structure.mean()])
        whole = (means[0] + 1) / 2
        parts.append((means[1] + 1) / 2)
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    product = whole.new_ones(())
    for part, weight in zip(parts[:-1], SCALES[:-1], strict=True):
        product = product * part**weight * whole ** SCALES[-1]  # as released: the last scale counts four times
    return product


def ms_ssim_padded(a: Tensor, b: Tensor, span: float = 255.0) -> Tensor:
    """Multi-scale SSIM padded with zeros (IRFS, whose images in [0,1] it takes for levels of 0..255: nearly 1)."""
    product = a.new_ones(())
    for number, weight in enumerate(SCALES, 1):
        similarity, structure = ssim_maps(a, b, span, "zeros", narrowing=True)
        (mean,) = all_mean([(similarity if number == len(SCALES) else structure).mean()])
        product = product * mean**weight
        if number < len(SCALES):
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return product
