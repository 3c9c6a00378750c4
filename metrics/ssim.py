"""SSIM: structural similarity of the fused image to its sources."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages

WINDOWS = {"uniform7": 7, "gauss11": 11, "gauss11-replicate": 1}  # smallest image that has a window position


@per_image
def ssim(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    window: str = "uniform7",
    data_range: float = 255,
    aggregate: str = "mean",
) -> Tensor:
    """Structural similarity to each source, averaged over the window positions.

    ``((2 m_X m_F + C1)(2 s_XF + C2)) / ((m_X^2 + m_F^2 + C1)(s_X + s_F + C2))`` with local means m, variances and
    covariance s, ``C1 = (.01 L)^2``, ``C2 = (.03 L)^2``.

    -1 to 1 (the mean of two); higher is better. Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Processing
    13(4), 2004, eqs. (13)-(16).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``). NaN if smaller than the window.
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        window: ``uniform7``: 7 x 7 mean, sample covariance (n - 1), full windows (scikit-image's default).
            ``gauss11``: 11 x 11 Gaussian, sigma 1.5, full windows (Wang's program).
            ``gauss11-replicate``: the same at every pixel, the edge repeated beyond the border (MATLAB's ``ssim``).
        data_range: L, whatever the levels really span.
        aggregate: ``mean`` or ``sum`` of the two.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `window` or `aggregate`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> ssim(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5512], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if window not in WINDOWS:
        raise ValueError(f"window is one of {', '.join(WINDOWS)}, got {window!r}")
    if f.smaller(WINDOWS[window]):
        return f.undefined()
    return combined(_similarity(f, a, window, data_range), _similarity(f, b, window, data_range), aggregate, -1, 1)


def _similarity(f: Planes, source: Planes, window: str, data_range: float) -> Tensor:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    (mf, mff, sf), (mx, mxx, sx) = moments(f, window), moments(source, window)
    both = mf * mx
    covariance = f.window(window, source) - both
    if window == "uniform7":
        covariance *= 49 / 48
    luminance = both.mul_(2).add_(c1).div_((mff + mxx).add_(c1))
    structure = covariance.mul_(2).add_(c2).div_((sf + sx).add_(c2))
    return luminance.mul_(structure).mean((-2, -1))


def moments(p: Planes, window: str) -> tuple[Tensor, Tensor, Tensor]:
    """Local mean, its square, and local variance."""

    def compute() -> tuple[Tensor, Tensor, Tensor]:
        mean = p.window(window)
        square = mean.square()
        variance = p.window(window, p) - square
        return mean, square, variance.mul_(49 / 48) if window == "uniform7" else variance

    return p.once(("ssim moments", window), compute)


class SSIM(MeanOverImages):
    """Mean of :func:`ssim` over images."""

    function = staticmethod(ssim)
