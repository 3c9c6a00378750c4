"""PSNR: peak signal to noise ratio of the fused image against its sources."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def psnr(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, form: str = "pooled") -> Tensor:
    """Peak signal to noise ratio in dB, ``10 log10(255^2 / e)`` with e the mean of the two mean squared errors.

    From 0 up, infinite where the three images are the same; higher is better.
    Jagalingam and Hegde, Aquatic Procedia 4, 2015, section 2.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        form: ``pooled``: as above. ``mean-db``: the mean of the two ratios in dB. ``brightest``: the brightest level
            of the fused image in place of 255. ``unit``: the errors of levels 0..1 against 255^2, 48.13 dB too high.
            ``vifb``: e is the mean of ``||F - X||_2 / (HW)``.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `form`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> psnr(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([9.9332], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    ea, eb = f.squared_error(a), f.squared_error(b)
    peak, error = 255.0**2, (ea + eb) / 2
    if form == "mean-db":
        return (10 * torch.log10(peak / ea) + 10 * torch.log10(peak / eb)) / 2
    if form == "vifb":
        error = (ea.sqrt() + eb.sqrt()) / (2 * math.sqrt(f.x[0].numel()))
    elif form == "unit":
        error = error / peak
    elif form == "brightest":
        return 10 * torch.log10(f.x.amax((-2, -1)).square() / error)
    elif form != "pooled":
        raise ValueError(f"form is pooled, mean-db, brightest, unit or vifb, got {form!r}")
    return 10 * torch.log10(peak / error)


class PSNR(MeanOverImages):
    """Mean of :func:`psnr` over images."""

    function = staticmethod(psnr)
