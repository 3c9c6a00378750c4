"""Loss terms of the recipes: pure functions of images ``[B,1,H,W]`` to a scalar, each as its authors' code computes it.

`tests/methods/test_losses.py` compares every one with the value of the authors' function on fixed tensors
(``benchmarks/authors_losses.py``).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Border = Literal["valid", "zeros", "reflect"]
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of multi-scale SSIM, Wang et al. 2003
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))

# ---------------------------------------------------------------- gradients


def sobel_pair(x: Tensor) -> Tensor:
    """Horizontal and vertical (upwards) Sobel response ``[B,2,H,W]``, the border padded with zeros."""
    kernel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device)
    return F.conv2d(x, torch.stack((kernel, -kernel.T))[:, None], padding=1)


def sobel(x: Tensor) -> Tensor:
    """Sum of the sizes of both Sobel responses, ``[B,1,H,W]`` (SeAFusion, CDDFuse, SwinFusion)."""
    return sobel_pair(x).abs().sum(1, keepdim=True)


def spatial_gradient(x: Tensor) -> Tensor:
    """Both Sobel responses divided by 8, the edge repeated (kornia's ``SpatialGradient``), ``[B,2,H,W]``."""
    kernel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device) / 8
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), torch.stack((kernel, kernel.T))[:, None])


def intensity_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance to the larger source at each pixel (SeAFusion equation 4)."""
    return F.l1_loss(fused, torch.maximum(ir, vis))


def gradient_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance of the Sobel response to the larger one of the sources (SeAFusion equation 5)."""
    return F.l1_loss(sobel(fused), torch.maximum(sobel(ir), sobel(vis)))


def gradient_of_means(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """DATFuse's gradient term as released: signed responses are averaged over the batch, then compared."""
    of_fused, *of_sources = (2 * sobel_pair(x).mean() for x in (fused, ir, vis))
    return (of_fused - torch.maximum(*of_sources)).abs()


def gradient_l1(image: Tensor, target: Tensor) -> Tensor:
    """L1 distance of spatial gradients (DIDFuse, CDDFuse, EMMA)."""
    return F.l1_loss(spatial_gradient(image), spatial_gradient(target))


def frequency(x: Tensor, radius: int = 5) -> Tensor:
    """Squared steps to the left and the upper neighbour, summed over a window (YDTR); beyond the border is zero."""
    left, above = (x - F.pad(x, side)[..., : x.shape[-2], : x.shape[-1]] for side in ((1, 0), (0, 0, 1, 0)))
    window = torch.ones(1, 1, 2 * radius + 1, 2 * radius + 1, dtype=x.dtype, device=x.device)
    return F.conv2d(left**2 + above**2, window, padding=radius)


def frequency_norm(fused: Tensor, source: Tensor) -> Tensor:
    """Euclidean norm, over the whole batch, of the difference of both spatial frequencies (YDTR)."""
    norm: Tensor = (frequency(fused) - frequency(source)).norm()  # its slope at zero is zero
    return norm


# ---------------------------------------------------------------- structural similarity


def guessed_range(x: Tensor) -> Tensor:
    """The range of values that the released SSIM takes an image for: to 255 or to 1, from 0 or from -1; a scalar."""
    x = x.detach()
    return 1 + 254 * (x.max() > 128).to(x.dtype) + (x.min() < -0.5).to(x.dtype)


def ssim_maps(a: Tensor, b: Tensor, span: Tensor | float, border: Border) -> tuple[Tensor, Tensor]:
    """SSIM at each pixel, and its contrast and structure part; a Gaussian window of 11x11, smaller in small images.

    Args:
        a: ``[B,1,H,W]``.
        b: likewise.
        span: of the values.
        border: ``valid`` leaves out pixels whose window leaves the image, the others pad.
    """
    size = min(11, *a.shape[-2:])
    taps = torch.exp(-((torch.arange(size, dtype=a.dtype, device=a.device) - size // 2) ** 2) / 4.5)
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


def dssim(a: Tensor, b: Tensor) -> Tensor:
    """Half of 1 - SSIM, which is cut to [0,1] at each pixel; mirrored at the border (kornia 0.2; DIDFuse, CDDFuse)."""
    return (1 - ssim_maps(a, b, 1.0, "reflect")[0]).clamp(0, 1).mean() / 2


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM as DenseFuse and RFN-Nest train with it: both parts brought from [-1,1] to [0,1] first."""
    whole, parts = a.new_zeros(()), []
    for _ in SCALES:
        similarity, structure = ssim_maps(a, b, guessed_range(a), "valid")
        whole = (similarity.mean() + 1) / 2
        parts.append((structure.mean() + 1) / 2)
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    product = whole.new_ones(())
    for part, weight in zip(parts[:-1], SCALES[:-1], strict=True):
        product = product * part**weight * whole ** SCALES[-1]  # as released: the last scale counts four times
    return product


# ---------------------------------------------------------------- decomposition


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Mean over batch and channels of the correlation of features ``[B,C,H,W]`` (CDDFuse)."""
    a, b = (x.flatten(2) - x.flatten(2).mean(-1, keepdim=True) for x in (a, b))
    sizes = a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt()
    return ((a * b).sum(-1) / (torch.finfo(torch.float32).eps + sizes)).clamp(-1, 1).mean()


def decomposition(base: tuple[Tensor, Tensor], detail: tuple[Tensor, Tensor]) -> Tensor:
    """Details apart, bases together (CDDFuse equation 8); each a pair of features of infrared and visible."""
    return correlation(*detail) ** 2 / (1.01 + correlation(*base))
