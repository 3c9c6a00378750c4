"""QNCIE: nonlinear correlation information entropy of Wang, Shen and Jin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def qncie(
    fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, correlation: str = "nonlinear"
) -> Tensor:
    """Information entropy of the correlation of the three images, ``1 + sum_i (r_i / 3) log_256(r_i / 3)``.

    r are the eigenvalues of their 3 x 3 correlation matrix; two images correlate by
    ``NCC(X, Y) = (H(X) + H(Y) - H(X, Y)) / 8``, entropies in bits of the 256-level histograms after each image was
    min-max rescaled to 0..255 and rounded.

    ``1 - log_256(3)`` = .8019 (unrelated) to 1; higher is better.
    Wang, Shen and Jin in Stathaki (ed.), Image Fusion: Algorithms and Applications, 2008, chapter 19.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        correlation: ``nonlinear``, or ``linear``: Pearson's r, which IVIF_ZOO has in its place. NaN where an
            eigenvalue is then 0 (the fused image is a copy) or an image is flat.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `correlation`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> qncie(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.8803], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if correlation not in ("nonlinear", "linear"):
        raise ValueError(f"correlation is nonlinear or linear, got {correlation!r}")
    x, y, z = ((_linear if correlation == "linear" else _nonlinear)(p, q) for p, q in ((b, a), (f, a), (f, b)))
    share = eigenvalues(x, y, z) / 3
    if correlation == "linear":
        share = share.masked_fill(share < 1e-9, torch.nan)
    value = 1 + torch.xlogy(share, share.clamp(min=1e-300)).sum(-1) / math.log(256)
    return value.clamp(1 - math.log(3, 256), 1)


def _nonlinear(p: Planes, q: Planes) -> Tensor:
    return p.mutual_information(q, "stretched") / math.log(256)


def _linear(p: Planes, q: Planes) -> Tensor:
    (x, xx), (y, yy) = p.centred(), q.centred()
    return (x * y).sum(-1) / (xx * yy).sqrt()


def eigenvalues(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Of ``[[1,x,y],[x,1,z],[y,z,1]]``, in closed form (a solver would wait for the device), ``[B,3]``."""
    p = ((x * x + y * y + z * z) / 3).sqrt()
    angle = torch.acos((x * y * z / p**3).clamp(-1, 1)) / 3
    turns = torch.arange(3, dtype=p.dtype, device=p.device) * (2 * math.pi / 3)
    return torch.where(p[:, None] == 0, 1.0, 1 + 2 * p[:, None] * torch.cos(angle[:, None] + turns))


class QNCIE(MeanOverImages):
    """Mean of :func:`qncie` over images."""

    function = staticmethod(qncie)
