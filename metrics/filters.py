"""Separable windows over batches of grey images, written as products with banded matrices.

A product with a banded matrix needs no unfolded copy of the image, runs at the speed of the matrix library in
float64 as in float32 and on every device, and is exact for integer kernels on integer images. Accelerators get one
product per axis, processors tiles that fit their cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._device import wide

_BLOCK = 24  # outputs per product on a processor; larger wastes work on the zeros of the band
_WHOLE = 768  # on others, where a product more costs more than these zeros; a bound for very large images


def gaussian(n: int, sigma: float, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return the `n` taps of a centred Gaussian, normalised to sum 1 (the 1-D factor of MATLAB's ``fspecial``)."""
    t = torch.arange(n, dtype=dtype, device=device) - (n - 1) / 2
    k = torch.exp(-(t * t) / (2 * sigma * sigma))
    return k / k.sum()


def _band(kernel: Tensor, outputs: int, stride: int) -> Tensor:
    """``[outputs, (outputs-1)*stride + taps]``: row i holds the kernel from column ``i*stride`` on."""
    width = (outputs - 1) * stride + kernel.numel()
    row = torch.cat([kernel, kernel.new_zeros(width + stride - kernel.numel())])
    return row.repeat(outputs)[: outputs * width].view(outputs, width)


def _split(x: Tensor, outputs: int) -> tuple[int, int, int]:
    """Outputs of a full product, number of these, outputs of the last one."""
    block = _WHOLE if wide(x) else _BLOCK
    return (block, *divmod(outputs, block))


def _rows(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Filter along the last axis, valid part only."""
    b, h, w = x.shape
    n = max(0, (w - kernel.numel()) // stride + 1)
    flat, out = x.reshape(b * h, w), x.new_empty(b * h, n)
    block, full, rest = _split(x, n)
    if full:
        band = _band(kernel, block, stride).T
        pieces = flat.unfold(1, band.shape[0], block * stride)[:, :full].unbind(1)
        for piece, into in zip(pieces, torch.unflatten(out[:, : n - rest], 1, (full, block)).unbind(1), strict=True):
            torch.mm(piece, band, out=into)
    if rest:
        band = _band(kernel, rest, stride).T
        torch.mm(flat[:, (n - rest) * stride :][:, : band.shape[0]], band, out=out[:, n - rest :])
    return out.view(b, h, n)


def _columns(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Filter along the second axis, valid part only."""
    b, h, w = x.shape
    n = max(0, (h - kernel.numel()) // stride + 1)
    block, full, rest = _split(x, n)
    if not full and wide(x):  # one product, not copied into place
        band = _band(kernel, n, stride)
        return torch.bmm(band.expand(b, -1, -1), x[:, : band.shape[1]]) if n else x.new_empty(b, n, w)
    out = x.new_empty(b, n, w)
    if full:
        band = _band(kernel, block, stride)
        pieces = x.unfold(1, band.shape[1], block * stride)[:, :full].mT  # [b,full,taps,w], nothing is copied
        into = torch.unflatten(out[:, : n - rest], 1, (full, block))
        for piece, part in zip(pieces.unbind(), into.unbind(), strict=True):
            torch.bmm(band.expand(full, -1, -1), piece, out=part)
    if rest:
        band = _band(kernel, rest, stride)
        rows = slice((n - rest) * stride, (n - rest) * stride + band.shape[1])
        out[:, n - rest :] = torch.bmm(band.expand(b, -1, -1), x[:, rows])
    return out


def _extend(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Continue the image over its border along one axis."""
    if mode == "zero":
        return F.pad(x, (0, 0) * (x.ndim - 1 - axis) + (before, after))
    n = x.shape[axis]
    i = torch.arange(-before, n + after, device=x.device)
    if mode == "replicate":
        i = i.clamp(0, n - 1)
    elif mode == "symmetric":  # c b a | a b c
        i = (i % (2 * n)).clamp(max=2 * n - 1)
        i = torch.minimum(i, 2 * n - 1 - i)
    elif mode == "reflect":  # c b | a b c
        period = max(2 * (n - 1), 1)
        i = i % period
        i = torch.minimum(i, period - i).clamp(0, n - 1)
    else:
        raise ValueError(f"mode is valid, zero, replicate, reflect or symmetric, got {mode!r}")
    return x.index_select(axis, i)


def separable(
    x: Tensor, kernel: Tensor, mode: str = "valid", *, vertical: Tensor | None = None, stride: int = 1
) -> Tensor:
    """Correlate every image with ``outer(vertical, kernel)``.

    Args:
        x: ``[N,H,W]``.
        kernel: taps along the rows, ``[K]``; also used down the columns unless `vertical` is given.
        mode: ``valid`` (output H-K+1), or how the image goes on over its border for an output of its own size:
            ``zero``, ``replicate``, ``symmetric`` (the edge pixel repeated), ``reflect`` (not repeated).
            An even kernel has its one tap more after the centre.
        vertical: taps down the columns, if they differ.
        stride: keep every `stride`-th output, from the first.

    Returns:
        ``[N,H',W']``; empty where the valid part is.
    """
    down = kernel if vertical is None else vertical
    if mode != "valid":
        x = _extend(x, 1, (down.numel() - 1) // 2, down.numel() // 2, mode)
        x = _extend(x, 2, (kernel.numel() - 1) // 2, kernel.numel() // 2, mode)
    return _rows(_columns(x, down.to(x), stride), kernel.to(x), stride)


def _run(x: Tensor, n: int, axis: int) -> Tensor:
    """Sum of `n` neighbours along an axis, valid part, in about ``2 log2 n`` additions of whole images."""
    size = x.shape[axis] - n + 1
    if size <= 0:
        return x.narrow(axis, 0, 0)
    parts, start, width, run = [], 0, 1, x
    while width <= n:  # run holds sums of `width` neighbours; the bits of n say which of them make up the window
        if n & width:
            parts.append(run.narrow(axis, start, size))
            start += width
        half = run.shape[axis] - width
        if 2 * width <= n:
            run = run.narrow(axis, 0, half) + run.narrow(axis, width, half)
        width *= 2
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def box(x: Tensor, n: int) -> Tensor:
    """Mean over every full ``n x n`` window of ``[N,H,W]``; the sums are exact for integer images."""
    return _run(_run(x, n, 1), n, 2) / (n * n)


def sobel(x: Tensor, border: str = "zero") -> tuple[Tensor, Tensor]:
    """Horizontal (right less left) and vertical (below less above) 3 x 3 Sobel responses of ``[N,H,W]``.

    Exact for integer images. On other levels, whether responses that should cancel do so is left to the order of
    summation; this one is that of SciPy's ``convolve2d``. `border`: ``zero``, ``replicate`` or ``reflect``.
    """
    p = F.pad(x[:, None], (1, 1, 1, 1), mode="constant" if border == "zero" else border)[:, 0]
    h, w = x.shape[-2:]
    (a, b, c), (d, _, e), (g, k, i) = ([p[:, r : r + h, s : s + w] for s in range(3)] for r in range(3))
    across = (i - g).add_(e, alpha=2).sub_(d, alpha=2).add_(c).sub_(a)
    down = torch.add(i, k, alpha=2).add_(g).sub_(c).sub_(b, alpha=2).sub_(a)
    return across, down
