"""Dual-tree complex wavelet transform (DTCWT).

Lewis, O'Callaghan, Nikolov, Bull, Canagarajah, "Pixel- and region-based image fusion with complex wavelets",
Information Fusion 8(2), 2007. Two trees of wavelets, the second half a sample beside the first, make six complex bands
a level (Kingsbury, "Complex wavelets for shift invariant analysis and filtering of signals", Applied and Computational
Harmonic Analysis 10(3), 2001). Filters and the choice of bands are those of the toolbox of Liu, Liu, Wang, Information
Fusion 24, 2015: LeGall's 5 and 3 taps on the first level, Kingsbury's six-tap quarter shift beyond, bands by area-based
maximum with a consistency check, approximations averaged.

Both trees lie in one array, sample by sample: beyond the first level a filter takes every second sample. Images are
mirrored, edge included.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import padded
from fusionbench.methods.selection import stronger

FIRST = {  # low and high
    "analysis": ((-0.125, 0.25, 0.75, 0.25, -0.125), (-0.25, 0.5, -0.25)),
    "synthesis": ((0.25, 0.5, 0.25), (-0.125, -0.25, 0.75, -0.25, -0.125)),
}
SHIFTED = (
    0.03516383657149474,
    0.0,
    -0.08832942445107285,
    0.23389032060723564,
    0.7602723690661257,
    0.5875182977235605,
    0.0,
    -0.11430183714424873,
    0.0,
    0.0,
)
BEFORE = 8  # how far the first of a filter's ten taps, two samples apart, lies before its output
MORE = 4  # outputs beyond either end that reach into the image
PAIRS = ((0, 5), (2, 3), (1, 4))  # bands of high rows, of high columns and of both
Along = Callable[[Tensor, bool], Tensor]


def _taps(high: bool, like: Tensor) -> tuple[Tensor, Tensor]:
    """``[1,1,1,10]`` of the first and of the second tree; each is the other reversed."""
    first = like.new_tensor(SHIFTED)
    if high:
        sign = torch.ones_like(first)
        sign[1::2] = -1
        first = first.flip(0) * sign
    return first.view(1, 1, 1, -1), first.flip(0).view(1, 1, 1, -1)


def _odd(side: str) -> Along:
    """The first level's filter along rows of ``[B,1,H,W]``, without decimation."""

    def along(x: Tensor, high: bool) -> Tensor:
        taps = x.new_tensor(FIRST[side][high])
        radius = len(taps) // 2
        return F.conv2d(padded(x, (0, 0), (radius, radius)), taps.view(1, 1, 1, -1))

    return along


def _halved(x: Tensor, high: bool) -> Tensor:
    """A further level's filters along rows of ``[B,1,H,W]``, W a multiple of 4: ``[B,1,H,W/2]``."""
    x = padded(x, (0, 0), (BEFORE, BEFORE))
    first, second = _taps(high, x)
    a = F.conv2d(x, first, stride=(1, 4), dilation=(1, 2))
    b = F.conv2d(x[..., 1:], second, stride=(1, 4), dilation=(1, 2))
    return torch.stack((b, a) if high else (a, b), -1).flatten(-2)


def _doubled(y: Tensor, high: bool) -> Tensor:
    """The inverse of :func:`_halved`, to be added up over both bands."""
    size = 2 * y.shape[-1]
    y = padded(y, (0, 0), (MORE, MORE))
    a, b = y[..., high::2], y[..., not high :: 2]
    first, second = _taps(high, y)
    start = 2 * MORE + BEFORE
    whole = F.conv_transpose2d(a, first, stride=(1, 4), dilation=(1, 2)).narrow(-1, start, size)
    return whole + F.conv_transpose2d(b, second, stride=(1, 4), dilation=(1, 2)).narrow(-1, start - 1, size)


def _to_bands(quads: Tensor) -> tuple[Tensor, Tensor]:
    """``[B,1,2H,2W]``: two complex bands ``[B,1,H,W]``, of opposite slopes."""
    a, b, c, d = (quads[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
    p, q = torch.complex(a, b), torch.complex(d, -c)
    return (p - q) / 2**0.5, (p + q) / 2**0.5


def _to_quads(z1: Tensor, z2: Tensor) -> Tensor:
    """The inverse of :func:`_to_bands`."""
    p, q = (z1 + z2) / 2**0.5, (z2 - z1) / 2**0.5
    rows = [torch.stack(pair, -1).flatten(-2) for pair in ((p.real, p.imag), (-q.imag, q.real))]
    return torch.stack(rows, -2).flatten(-3, -2)


def decompose(x: Tensor, levels: int) -> tuple[Tensor, list[Tensor]]:
    """Transform ``[B,1,H,W]``; an odd side is one pixel longer.

    Returns:
        the approximation, and of each level, finest first, complex bands ``[B,6,h,w]``, from 15 to 165 degrees.
    """
    x = padded(x, (0, x.shape[-2] % 2), (0, x.shape[-1] % 2))
    levels_bands: list[Tensor] = []
    for level in range(levels):
        along = _halved if level else _odd("analysis")
        if level:
            rows, columns = (int(side % 4 > 0) for side in x.shape[-2:])
            x = padded(x, (rows, rows), (columns, columns))
        low, high = (along(x.mT, which).mT for which in (False, True))
        bands = [low] * 6
        for (one, other), part in zip(PAIRS, ((high, False), (low, True), (high, True)), strict=True):
            bands[one], bands[other] = _to_bands(along(*part))
        levels_bands.append(torch.cat(bands, 1))
        x = along(low, False)
    return x, levels_bands


def compose(x: Tensor, levels_bands: list[Tensor]) -> Tensor:
    """The inverse of :func:`decompose`, of even sides."""
    for level in range(len(levels_bands) - 1, -1, -1):
        bands = levels_bands[level].split(1, 1)
        along = _doubled if level else _odd("synthesis")
        high, across, both = (_to_quads(bands[one], bands[other]) for one, other in PAIRS)
        low = along(x, False) + along(across, True)
        high = along(high, False) + along(both, True)
        x = (along(low.mT, False) + along(high.mT, True)).mT
        if level:  # without what was added to a side that is no multiple of 4
            height, width = (2 * side for side in levels_bands[level - 1].shape[-2:])
            top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
            x = x[..., top : top + height, left : left + width]
    return x


class DTCWT(Method):
    """Complex bands by activity, approximations averaged."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__(levels=levels)
        if levels < 1:
            raise ValueError(f"dtcwt: levels is {levels}; it must be 1 or more")
        self.levels = levels

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        height, width = ir.shape[-2:]
        levels = max(1, min(self.levels, min(height, width).bit_length() - 2))  # bands of 2 and more pixels
        base1, first = decompose(ir.double(), levels)
        base2, second = decompose(luma(vis).double(), levels)
        bands = [stronger(a, b) for a, b in zip(first, second, strict=True)]
        return compose((base1 + base2) / 2, bands)[..., :height, :width].to(ir.dtype)
