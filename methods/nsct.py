"""Nonsubsampled contourlet transform (NSCT).

Da Cunha, Zhou, Do, "The Nonsubsampled Contourlet Transform: Theory, Design, and Applications", IEEE Transactions on
Image Processing 15(10), 2006. A pyramid without decimation takes an image apart by scale, and a tree of fan filters
each scale by direction. Filters and the choice of bands are those of the toolbox of Liu, Liu, Wang, "A general
framework for image fusion based on multi-scale transform and sparse representation", Information Fusion 24, 2015 (there
`pyrexc` and `vk`): bands by area-based maximum with a consistency check, approximations averaged.

All filters are polynomials of a short one, the paper's mapping: of the pyramid 2b - 1, where b is the binomial
(1,2,1)/4 of rows and columns, of the fans the mean along one line minus that along another. Powers are taken by
filtering again. At the border the pyramid mirrors, edge included, and the fans wrap around.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import separable
from fusionbench.methods.selection import stronger

K = 1 - 2**0.5
ROOT = 2**-0.5
MOST = 5  # halvings of a band by direction: 32 bands
Place = tuple[int, int]  # rows down, columns to the right
Choice = Callable[[Tensor, Tensor], Tensor]


def _mapped(x: Tensor, level: int) -> Tensor:
    """The mapping of the pyramid, its taps ``2**level`` apart."""
    taps = x.new_zeros(2 * 2**level + 1)
    taps[:: 2**level] = x.new_tensor((0.25, 0.5, 0.25))
    return 2 * separable(x, taps) - x


def _analysed(x: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Approximation and detail of one level of the pyramid."""
    once = _mapped(x, level)
    even = ROOT * x + K / 2 * _mapped(once, level)
    return even + once / 2, even - once / 2


def _synthesised(low: Tensor, high: Tensor, level: int) -> Tensor:
    """The inverse of :func:`_analysed`."""
    even, odd = low + high, low - high
    odd = _mapped(odd, level)
    twice = _mapped(even, level)
    cubic = _mapped(_mapped(K / 2 * odd, level), level)
    return ROOT * (even - 2 * K * odd) + K / 2 * _mapped(twice, level) - K * cubic


def _fan(x: Tensor, along: Place, across: Place) -> Tensor:
    """The mapping of a fan: the mean of two neighbours along a line minus that of two across, halved."""

    def two(place: Place) -> Tensor:
        return x.roll(place, (-2, -1)) + x.roll((-place[0], -place[1]), (-2, -1))

    return (two(along) - two(across)) / 4


def _lines(depth: int, band: int) -> tuple[Place, Place]:
    """Along and across of the fan that halves a band, which ``depth`` others made.

    The first two fans are the plain one and that turned by 45 degrees; later ones are parallelograms, by the sampling
    matrices of Do, "Directional Multiresolution Image Representations", thesis, EPFL 2001, equation 3.18.
    """
    if depth == 0:
        return (1, 0), (0, 1)
    if depth == 1:
        return (1, -1), (1, 1)
    half, scale = 2 ** (depth - 1), 2 ** (depth - 2)
    skew = 2 * (band % half // 2) - scale + 1
    odd = band % 2
    lines = ((1, 0), (1, 1)) if odd else ((-1, 1), (1, 0))
    if band < half:
        along, across = ((2 * (row - skew * column), 2 * scale * column) for row, column in lines)
    else:  # the same with rows and columns exchanged
        along, across = ((2 * scale * row, 2 * (column - skew * row)) for column, row in lines)
    return along, across


def directional(a: Tensor, b: Tensor, halvings: int, choice: Choice, depth: int = 0, band: int = 0) -> Tensor:
    """Take two details apart by direction, choose in each of ``2**halvings`` bands, and put the chosen ones together.

    One band is held at a time, so that memory does not grow with their number.
    """
    if depth == halvings:
        return choice(a, b)
    lines = _lines(depth, band)
    pair = [(x, _fan(x, *lines)) for x in (a, b)]
    low = [ROOT / 2 * (x + u) for x, u in pair]
    high = [ROOT * (2 * x - u - _fan(u, *lines)) for x, u in pair]
    del pair
    low_chosen = directional(low[0], low[1], halvings, choice, depth + 1, 2 * band)
    del low
    high_chosen = directional(high[0], high[1], halvings, choice, depth + 1, 2 * band + 1)
    once = _fan(low_chosen, *lines)
    whole = ROOT * (2 * low_chosen + once - _fan(once, *lines))
    return whole + ROOT / 2 * (high_chosen - _fan(high_chosen, *lines))


def fused(a: Tensor, b: Tensor, halvings: tuple[int, ...], base: Choice, choice: Choice) -> Tensor:
    """Fuse ``[B,1,H,W]`` level by level.

    Args:
        a: one image.
        b: the other.
        halvings: of each level, coarse to fine.
        base: what becomes of the approximations.
        choice: what becomes of two bands.
    """
    details = []
    for level, number in enumerate(reversed(halvings)):
        (a, a_detail), (b, b_detail) = (_analysed(x, level) for x in (a, b))
        details.append(directional(a_detail, b_detail, number, choice))
    x = base(a, b)
    for level in range(len(details) - 1, -1, -1):
        x = _synthesised(x, details.pop(), level)
    return x


def read_halvings(name: str, text: str) -> tuple[int, ...]:
    """A digit a level.

    Raises:
        ValueError: other things than digits, or too many or too large ones.
    """
    if not 1 <= len(text) <= 6 or not all(c in "012345"[: MOST + 1] for c in text):
        raise ValueError(f"{name}: directions is a digit of 0 to {MOST} a level, up to six of them; got {text!r}")
    return tuple(int(c) for c in text)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


class NSCT(Method):
    """Directional bands by activity, approximations averaged."""

    def __init__(self, directions: str = "2334") -> None:
        super().__init__(directions=directions)
        self.halvings = read_halvings("nsct", directions)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        return fused(ir.double(), luma(vis).double(), self.halvings, _mean, stronger).to(ir.dtype)
