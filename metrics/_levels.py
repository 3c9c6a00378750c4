"""What users hand to metrics: arrays, single images, levels 0..1; brought to batches of levels 0..255, or refused."""

from __future__ import annotations

import math
from typing import Protocol, cast

import torch
from torch import Tensor

FEW = 4  # channels that a picture may have
ROUNDING = 1e-3  # of a level: what float32 leaves beyond an end of the range


class Array(Protocol):
    """What numpy and others hold numbers in."""

    def __array__(self) -> object:
        """As an array of numpy."""
        ...


class _Kind(Protocol):
    kind: str
    itemsize: int


class _Numbers(Protocol):
    dtype: _Kind

    def astype(self, dtype: str) -> _Numbers: ...


def batch(x: object, levels: float | None = None) -> Tensor:
    """A batch of grey images with levels 0..255.

    Args:
        x: tensor or array, ``[B,1,H,W]``, ``[B,H,W]``, or ``[H,W]`` for one image. Integers are levels 0..255.
        levels: the white level of images in a float type: 1 or 255. None: 255, but a batch that never exceeds 1 and
            has values between 0 and 1 is refused, as it looks like levels 0..1. Whole values of 0 and 1 alone are taken
            for the two darkest levels of 0..255: so look pictures that are nearly black, and no others.

    Returns:
        The images, times 255 where `levels` is 1 and they are in a float type.

    Raises:
        TypeError: no tensor or array of numbers.
        ValueError: another shape, levels outside the range, or levels that look like 0..1.
    """
    x = _tensor(x)
    if x.ndim == 2:
        x = x[None]
    _check_shape(x)
    if levels not in (None, 1, 255):
        raise ValueError(f"levels is the white level of float images, 1 or 255, got {levels!r}")
    if x.dtype == torch.uint8 or not x.numel():
        return x
    low, high = _ends(x)
    if not x.is_floating_point():
        if low < 0 or high > 255:
            raise ValueError(f"levels are 0..255, got integers of {low:g} to {high:g}; scale the images first")
        return x
    top = 255 if levels is None else levels
    slack = min(0.5, max(ROUNDING, 255 * torch.finfo(x.dtype).eps)) * top / 255
    if low < -slack or high > top + slack:
        raise ValueError(_outside(low, high, levels))
    if levels is None and high <= 1 + ROUNDING and not bool(((x == 0) | (x == 1) | ~x.isfinite()).all()):
        raise ValueError(
            f"levels are 0..255, and these never exceed 1 ({low:.3g} to {high:.3g}): for images of 0..1 pass "
            "levels=1.0, which scales them; for images that are so dark on 0..255 pass levels=255"
        )
    return x.detach() * 255 if top == 1 else x


def _tensor(x: object) -> Tensor:
    """Anything that holds numbers as a tensor."""
    if not isinstance(x, Tensor):
        if isinstance(x, (str, bytes)) or hasattr(x, "__fspath__"):
            raise TypeError(
                f"metrics take images, not paths, got {str(x)!r}: read the file first, for example with "
                "fusionbench.images.grey(fusionbench.images.read_image(path))"
            )
        if not hasattr(x, "__array__"):
            what = "; numpy.asarray makes an array of it" if hasattr(x, "__array_interface__") else ""
            raise TypeError(f"metrics take tensors or arrays of grey levels, got {type(x).__name__}{what}")
        x = _from_array(cast(_Numbers, x.__array__()))
    if x.dtype == torch.bool or x.is_complex() or x.is_sparse or x.is_quantized:
        raise TypeError(f"metrics take grey levels 0..255, got a {'sparse ' * x.is_sparse}tensor of {x.dtype}")
    return x


def _from_array(x: _Numbers) -> Tensor:
    """A tensor of an array's numbers, a copy: torch knows neither all types, nor other byte orders and strides."""
    kind = x.dtype.kind
    if kind not in "uif":
        raise TypeError(f"metrics take grey levels 0..255, got an array of {x.dtype}")
    size = x.dtype.itemsize
    floating = kind == "f"
    return torch.tensor(x.astype(f"f{min(size, 8)}" if floating else "u1" if (kind, size) == ("u", 1) else "i8"))


def _check_shape(x: Tensor) -> None:
    """Refuse what is no batch of grey images, colour pictures above all."""
    shape = list(x.shape)
    last = x.ndim in (3, 4) and shape[-1] in (1, 3, 4) and min(shape[-3:-1]) > FEW
    first = x.ndim == 4 and shape[1] in (2, 3, 4)
    if (x.ndim == 4 and shape[1] == 1) or (x.ndim == 3 and not last):
        return
    hint = ""
    if last or first:
        where = "last" if last else "first"
        hint = f"; channels {where}: pass one channel or the luma (fusionbench.colour.luma for [B,3,H,W])"
    raise ValueError(f"grey images are [B,1,H,W], [B,H,W] or [H,W], got {shape}{hint}")


def _ends(x: Tensor) -> tuple[float, float]:
    """Smallest and largest finite value; 0 and 0 where there is none."""
    low, high = (float(v) for v in torch.aminmax(x.detach()))
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    x = x.detach()[x.detach().isfinite()]
    return (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)


def _outside(low: float, high: float, levels: float | None) -> str:
    """Why these levels are refused, and what they may be."""
    if levels == 1:
        return f"levels=1.0 means images of 0..1, got {low:.4g} to {high:.4g}; clip or scale them first"
    text = f"levels are 0..255, got {low:.4g} to {high:.4g}; "
    if low < 0 and low >= -1.1 and high <= 1.1:
        return text + "images of -1..1 are brought to 0..1 as (x + 1) / 2, clipped, and passed with levels=1.0"
    return text + "clip or scale the images first"
