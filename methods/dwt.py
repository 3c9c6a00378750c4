"""Discrete wavelet transform (DWT).

Li, Manjunath, Mitra, "Multisensor Image Fusion Using the Wavelet Transform", Graphical Models and Image Processing
57(3), 1995. Details are chosen by the largest magnitude in a window around each coefficient (area-based maximum),
the choice is made consistent by a majority vote in the same window, and approximations are averaged. Orthonormal
wavelets of Daubechies; images are mirrored up to a multiple of 2^levels and repeat beyond that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import padded

TAPS = {
    "haar": (0.7071067811865476, 0.7071067811865476),
    "db2": (0.48296291314453416, 0.8365163037378079, 0.22414386804201339, -0.12940952255126037),
}


def _filters(name: str, like: Tensor) -> Tensor:
    """The four two-dimensional filters ``[4,1,N,N]``: approximation, then details across, down and diagonal."""
    low = like.new_tensor(TAPS[name])
    sign = torch.ones_like(low)
    sign[1::2] = -1
    high = low.flip(0) * sign
    return torch.stack([torch.outer(a, b) for a, b in ((low, low), (low, high), (high, low), (high, high))])[:, None]


def decompose(x: Tensor, name: str) -> Tensor:
    """One level of ``[B,1,H,W]`` with even sides: ``[B,4,H/2,W/2]``, approximation first."""
    filters = _filters(name, x)
    more = filters.shape[-1] - 2
    return F.conv2d(padded(x, (0, more), (0, more), "wrap"), filters, stride=2)


def compose(parts: Tensor, name: str) -> Tensor:
    """The inverse of :func:`decompose`."""
    filters = _filters(name, parts)
    more = filters.shape[-1] - 2
    whole = F.conv_transpose2d(parts, filters, stride=2)
    for dim in (-1, -2):  # what hangs over the end belongs to the beginning
        size = whole.shape[dim] - more
        body = whole.narrow(dim, 0, size).clone()
        for start in range(size, size + more, size):
            rest = min(size, size + more - start)
            body.narrow(dim, 0, rest).add_(whole.narrow(dim, start, rest))
        whole = body
    return whole


def chosen(a: Tensor, b: Tensor, window: int) -> Tensor:
    """Of each coefficient ``[B,C,H,W]`` the one whose window holds the larger magnitude, after a majority vote."""
    radius = window // 2
    around = [F.max_pool2d(x.abs(), window, 1, radius) for x in (a, b)]
    first = (around[0] >= around[1]).to(a.dtype)
    share = F.avg_pool2d(first, window, 1, radius, count_include_pad=False)
    return torch.where((share > 0.5) | ((share == 0.5) & (first > 0)), a, b)


class DWT(Method):
    """Wavelet details by activity, approximations averaged."""

    def __init__(self, wavelet: str = "db2", levels: int = 4, window: int = 3) -> None:
        super().__init__(wavelet=wavelet, levels=levels, window=window)
        if wavelet not in TAPS:
            raise ValueError(f"dwt: no wavelet {wavelet!r}; there are: {', '.join(TAPS)}")
        if levels < 1 or window < 1 or window % 2 == 0:
            raise ValueError(f"dwt: needs levels >= 1 and an odd window; got {self.options}")
        self.wavelet, self.levels, self.window = wavelet, levels, window

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        height, width = ir.shape[-2:]
        levels = max(1, min(self.levels, min(height, width).bit_length() - 2))  # of 4 and more pixels
        rows, columns = (0, -height % 2**levels), (0, -width % 2**levels)
        x, y = padded(ir.double(), rows, columns), padded(luma(vis).double(), rows, columns)
        details = []
        for _ in range(levels):
            a, b = decompose(x, self.wavelet), decompose(y, self.wavelet)
            details.append(chosen(a[:, 1:], b[:, 1:], self.window))
            x, y = a[:, :1], b[:, :1]
        fused = (x + y) / 2
        for detail in reversed(details):
            fused = compose(torch.cat((fused, detail), 1), self.wavelet)
        return fused[..., :height, :width].to(ir.dtype)
