"""Qcb: perceptual metric of Chen and Blum."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from .filters import separable


def _sensitivity(x: Tensor, grid: str) -> Tensor:
    """Difference of Gaussians over the half spectrum of the images, ``[H, W//2+1]``."""
    h, w = x.shape[-2:]

    def axis(n: int) -> Tensor:
        frequencies: Tensor
        if grid == "linspace":  # whole cycles only, and the zero frequency beside its place
            frequencies = torch.linspace(-(n // 30), n // 30, n, dtype=x.dtype, device=x.device)
            frequencies = torch.fft.ifftshift(frequencies)
        else:
            frequencies = torch.fft.fftfreq(n, dtype=x.dtype, device=x.device)
            frequencies = frequencies * (n / 30 if grid == "fftfreq" else n / 15)
        return frequencies

    r2 = axis(h)[:, None] ** 2 + axis(w) ** 2
    s = torch.exp(r2 / -(15.387**2)) - 0.7622 * torch.exp(r2 / -(1.3456**2))
    if grid == "linspace":  # the real part of the filtered image sees the even part of the filter
        s = (s + s.flip(-2, -1).roll((1, 1), (-2, -1))) / 2
    return s[:, : w // 2 + 1]


def _masked_contrast(p: Planes, grid: str, csf: Tensor) -> Tensor:
    """Contrast after the contrast sensitivity function, masked: ``|C|^3 / (C^2 + 1e-4)``, ``[B,H,W]``."""

    def compute() -> Tensor:
        if grid == "freqspace":
            spectrum = p.spectrum()
        else:
            low, high = p.x.amin((-2, -1), keepdim=True), p.x.amax((-2, -1), keepdim=True)
            x = (p.x - low) / (high - low)  # rounded halves to even, as numpy does
            spectrum = torch.fft.rfft2(x if grid == "fftfreq" else torch.round(x * 255))
        x = torch.fft.irfft2(spectrum * csf, s=p.x.shape[-2:])
        border = "replicate" if grid == "linspace" else "constant"
        x = nnf.pad(x[:, None], (15, 15, 15, 15), mode=border)[:, 0]
        t = torch.arange(-15, 16, dtype=x.dtype, device=x.device)
        fine, coarse = (separable(x, torch.exp(-(t * t) / (2 * s * s)) / (math.sqrt(2 * math.pi) * s)) for s in (2, 4))
        c = fine.div_(coarse + 1e-10 if grid == "fftfreq" else coarse).sub_(1).abs_()
        c2 = c * c
        return c.mul_(c2).div_(c2.add_(1e-4))

    return p.once(("qcb", grid), compute)


@per_image
def qcb(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, grid: str = "freqspace") -> Tensor:
    """Compute Qcb, the metric of Chen and Blum after a model of human vision.

    Each image is rescaled to 0..255 and rounded, filtered with the contrast sensitivity function
    ``exp(-(r/15.387)^2) - .7622 exp(-(r/1.3456)^2)``, its local contrast ``C = |G2*x / G4*x - 1|`` masked to
    ``C' = C^3 / (C^2 + 1e-4)``. Then ``Qcb = mean((Ca'^2 Qaf + Cb'^2 Qbf) / (Ca'^2 + Cb'^2))`` with
    ``Qaf = min(Ca', Cf') / max(Ca', Cf')``.

    Args:
        fused: ``[B,1,H,W]``, ``[B,H,W]`` or `Planes`, grey levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, of the same shape.
        vis: visible source, of the same shape.
        grid: frequencies of the filter: ``freqspace`` as in MATLAB; ``fftfreq`` (IVIF_ZOO: half of them, images
            rescaled to 0..1 and not rounded) and ``linspace`` (bfliu7: shifted, borders replicated) are wrong.

    Returns:
        ``[B]`` in 0..1, higher is better; NaN where an image has no contrast at all.

    Raises:
        ValueError: for another `grid`, or shapes that differ.

    Source: Y. Chen, R. S. Blum, "A new automated quality assessment algorithm for image fusion",
    Image and Vision Computing 27 (10), 2009, 1421-1432; constants of the program of Liu et al. 2012.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> qcb(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.7929], dtype=torch.float64)
    """
    if grid not in ("freqspace", "fftfreq", "linspace"):
        raise ValueError(f"grid is freqspace, fftfreq or linspace, got {grid!r}")
    planes = aligned(fused, ir, vis)
    csf = planes[1].once(("qcb csf", grid), lambda: _sensitivity(planes[1].x, grid))
    f, a, b = (_masked_contrast(p, grid, csf) for p in planes)
    weight_a, weight_b = a * a, b * b
    q = torch.minimum(a, f).div_(torch.maximum(a, f)).mul_(weight_a)
    q.addcmul_(weight_b, torch.minimum(b, f).div_(torch.maximum(b, f)))
    return q.div_(weight_a.add_(weight_b).add_(1e-10 if grid == "fftfreq" else 0)).mean((-2, -1)).clamp(0, 1)


class QCB(MeanOverImages):
    """Mean :func:`qcb` over the images seen."""

    function = staticmethod(qcb)
