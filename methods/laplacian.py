"""Laplacian pyramid fusion.

Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Trans. Communications 31(4), 1983; fusing the
levels by the larger magnitude is the usual rule since Burt's later work. Five-tap kernel (1,4,6,4,1)/16, mirrored
borders without repeating the edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _blur(x: Tensor) -> Tensor:
    taps = x.new_tensor(TAPS)
    x = F.conv2d(F.pad(x, (2, 2, 0, 0), mode="reflect"), taps.view(1, 1, 1, 5))
    return F.conv2d(F.pad(x, (0, 0, 2, 2), mode="reflect"), taps.view(1, 1, 5, 1))


def reduce(x: Tensor) -> Tensor:
    """Blur and keep every second row and column; ``[B,1,H,W]``, sides of 3 or more."""
    return _blur(x)[..., ::2, ::2]


def expand(x: Tensor, size: Sequence[int]) -> Tensor:
    """Back to ``size``: zeros between the samples, blurred, times four."""
    y = x.new_zeros(*x.shape[:-2], *size)
    y[..., ::2, ::2] = x
    return 4 * _blur(y)


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """At most ``levels`` detail images, finest first, and the base; stops before a side falls below 4 pixels."""
    parts: list[Tensor] = []
    while len(parts) < levels and min(x.shape[-2:]) >= 8:
        small = reduce(x)
        parts.append(x - expand(small, x.shape[-2:]))
        x = small
    return [*parts, x]


class Laplacian(Method):
    """Details of the larger magnitude (infrared where equal), bases averaged."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__(levels=levels)
        if levels < 1:
            raise ValueError(f"laplacian: levels is {levels}; it must be 1 or more")
        self.levels = levels

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        *first, base1 = pyramid(ir, self.levels)
        *second, base2 = pyramid(luma(vis), self.levels)
        x = (base1 + base2) / 2
        for a, b in zip(reversed(first), reversed(second), strict=True):
            x = expand(x, a.shape[-2:]) + torch.where(a.abs() >= b.abs(), a, b)
        return x
