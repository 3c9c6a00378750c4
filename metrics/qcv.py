"""Qcv: perceptual difference of the fused image from its sources, region by region."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from .filters import sobel

BLOCK = 16


@per_image
def qcv(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Chen and Varshney's metric: squared visible differences, weighted by how much there was to see.

    Every image is min-max rescaled to 0..255 and rounded by itself. In each 16 x 16 block b of source X the weight is
    ``w_X = sum |sobel(X)|^5`` and the difference ``D_X = mean (CSF * (X - F))^2`` with the contrast sensitivity
    ``2.6 (.0192 + .144 r) exp(-(.144 r)^1.1)`` (Mannos and Sakrison), r a quarter of the frequency in cycles per
    image. ``Qcv = sum_b (w_I D_I + w_V D_V) / sum_b (w_I + w_V)``. Blocks cut by the border are filled with zeros.

    From 0 up; lower is better. NaN where an image is flat (but for black ones) or no source has an edge.
    Chen and Varshney, Information Fusion 8(2), 2007, eqs. (3)-(13).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> qcv(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([72.8118], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    csf = a.once("qcv csf", lambda: _sensitivity(a.x))
    wa, wb = _weight(a), _weight(b)
    top = wa * _difference(f, a, csf) + wb * _difference(f, b, csf)
    return top.sum((-2, -1)) / (wa + wb).sum((-2, -1))


def _weight(p: Planes) -> Tensor:
    def compute() -> Tensor:
        sx, sy = sobel(p.stretched())
        power = sx.square().addcmul_(sy, sy)
        return _blocks(power.sqrt().mul_(power).mul_(power))

    return p.once("qcv weight", compute)


def _difference(f: Planes, source: Planes, csf: Tensor) -> Tensor:
    return _blocks((_perceived(source, csf) - _perceived(f, csf)).square_()) / BLOCK**2


def _blocks(x: Tensor) -> Tensor:
    """Sums over 16 x 16 blocks, ``[B, ceil(H/16), ceil(W/16)]``."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, -w % BLOCK, 0, -h % BLOCK))
    rows = torch.unflatten(x, 1, (-1, BLOCK)).sum(2)  # rows first: that runs along memory
    return torch.unflatten(rows, 2, (-1, BLOCK)).sum(-1)


def _sensitivity(x: Tensor) -> Tensor:
    """Contrast sensitivity over the half spectrum of the images, ``[H,W//2+1]``."""
    h, w = x.shape[-2:]
    v: Tensor = torch.fft.fftfreq(h, 1 / h, dtype=x.dtype, device=x.device) / 4
    u: Tensor = torch.fft.rfftfreq(w, 1 / w, dtype=x.dtype, device=x.device) / 4
    r: Tensor = 0.144 * torch.hypot(v[:, None], u[None])
    return 2.6 * (0.0192 + r) * torch.exp(-(r**1.1))


def _perceived(p: Planes, csf: Tensor) -> Tensor:
    """The rescaled image through the contrast sensitivity; linear, so differences may be taken afterwards."""

    def compute() -> Tensor:
        filtered: Tensor = torch.fft.irfft2(p.spectrum() * csf, s=p.x.shape[-2:])
        return filtered

    return p.once("qcv perceived", compute)


class QCV(MeanOverImages):
    """Mean of :func:`qcv` over images."""

    function = staticmethod(qcv)
