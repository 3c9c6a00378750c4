"""Luma and chroma: BT.601 grey levels, and the YCbCr formulas that released fusion codes use.

The formulas differ in the third digit, which moves 8-bit colours by a level, so each is kept under a name:

``opencv``
    ``cvtColor`` on float images (ReFusion, CDDFuse, TDFusion): Y = .299R + .587G + .114B, Cr = .713(R-Y) + .5,
    Cb = .564(B-Y) + .5; back with 1.403, .714, .344, 1.773.
``seafusion``
    The matrices of SeAFusion and PSFusion: the same figures as OpenCV's, kept apart because it is theirs to change.
``jpeg``
    The rounded JFIF matrix with offset 128/255 (IDF-TDDT, CLDyN): Cb = -.1687R - .3313G + .5B + 128/255,
    Cr = .5R - .4187G - .0813B + 128/255; back with 1.402, .34414, .71414, 1.772.
``opencv8``
    ``cvtColor`` on 8-bit images (TarDAL, SAGE): ``opencv``'s figures as integers over 2^14, luma and chroma rounded to
    levels, neutral chroma 128/255.

Everything takes tensors whose third dimension from the end is the channel, red first.
"""

from __future__ import annotations

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114
VARIANTS = ("opencv", "seafusion", "jpeg", "opencv8")
_OPENCV = (1.403, 0.714, 0.344, 1.773, 0.5)  # Cr to R, Cr to G, Cb to G, Cb to B, offset
_SHIFT = 1 << 14  # OpenCV's integers are fractions of it
_INVERSE = {
    "opencv": _OPENCV,
    "seafusion": _OPENCV,
    "jpeg": (1.402, 0.71414, 0.34414, 1.772, 128 / 255),
    "opencv8": (22987 / _SHIFT, 11698 / _SHIFT, 5636 / _SHIFT, 29049 / _SHIFT, 128 / 255),
}


def _known(variant: str) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"no YCbCr variant {variant!r}; there are: {', '.join(VARIANTS)}")


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luma of floating-point colours, unrounded and in their own unit: ``[...,3,H,W]`` to ``[...,1,H,W]``."""
    red, green, blue = rgb.chunk(3, dim=-3)
    return RED * red + GREEN * green + BLUE * blue


def luma_u8(rgb: Tensor) -> Tensor:
    """Grey levels of decoded 8-bit colours, the way the metrics' reference values had them made.

    Args:
        rgb: uint8 ``[...,3,H,W]``.

    Returns:
        uint8 ``[...,1,H,W]``, equal to OpenCV's float32 ``BGR2GRAY`` rounded half to even for all 2^24 colours.
        Reading a colour file as grey (``imread(path, 0)``) is another thing: it is off by one in half the pixels.

    Raises:
        ValueError: for another type.
    """
    if rgb.dtype != torch.uint8:
        raise ValueError(f"luma_u8 takes 8-bit levels, not {rgb.dtype}; use luma for floating-point colours")
    # OpenCV takes green, then adds blue and red with fused multiply-add. A float32 weight times a byte is exact in
    # float64, so rounding there to float32 after each step gives the same bits.
    red, green, blue = rgb.double().chunk(3, dim=-3)
    r, g, b = (float(w) for w in torch.tensor([RED, GREEN, BLUE]))
    y = (g * green).float()
    y = (b * blue + y.double()).float()
    y = (r * red + y.double()).float()
    return y.round_().to(torch.uint8)


def grey(rgb: Tensor) -> Tensor:
    """Colours in [0,1] as the grey 8-bit picture that most released programs feed, in steps of 1/255.

    Floating point ``[...,3,H,W]`` to ``[...,1,H,W]`` of the same type; see :func:`luma_u8`.
    """
    levels = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
    return luma_u8(levels).to(rgb.dtype) / 255


def to_ycbcr(rgb: Tensor, variant: str) -> tuple[Tensor, Tensor]:
    """Split colours in [0,1] into luma and chroma.

    Args:
        rgb: floating point ``[...,3,H,W]``.
        variant: one of :data:`VARIANTS`.

    Returns:
        luma ``[...,1,H,W]`` and chroma ``[...,2,H,W]`` (Cb, Cr), both in [0,1]; neutral chroma is 0.5 (``jpeg`` and
        ``opencv8``: 128/255).

    Raises:
        ValueError: unknown variant.
    """
    _known(variant)
    if variant == "opencv8":
        return _to_ycbcr8(rgb)
    y = luma(rgb)
    red, green, blue = rgb.chunk(3, dim=-3)
    if variant == "jpeg":
        cb = -0.1687 * red - 0.3313 * green + 0.5 * blue + 128 / 255
        cr = 0.5 * red - 0.4187 * green - 0.0813 * blue + 128 / 255
    else:
        cb = (blue - y) * 0.564 + 0.5
        cr = (red - y) * 0.713 + 0.5
    return y, torch.cat((cb, cr), dim=-3)


def _to_ycbcr8(rgb: Tensor) -> tuple[Tensor, Tensor]:
    red, green, blue = (rgb.clamp(0, 1).double() * 255).round().chunk(3, dim=-3)
    y = _descaled(4899 * red + 9617 * green + 1868 * blue)
    chroma = (_descaled((blue - y) * 9241 + 128 * _SHIFT), _descaled((red - y) * 11682 + 128 * _SHIFT))
    return (y / 255).to(rgb.dtype), (torch.cat(chroma, dim=-3) / 255).to(rgb.dtype)


def _descaled(x: Tensor) -> Tensor:
    return ((x + _SHIFT // 2) / _SHIFT).floor().clamp(0, 255)


def to_rgb(y: Tensor, chroma: Tensor, variant: str) -> Tensor:
    """Colours ``[...,3,H,W]`` of luma and chroma as :func:`to_ycbcr` gives them; not clipped to [0,1].

    Raises:
        ValueError: unknown variant.
    """
    _known(variant)
    cr_red, cr_green, cb_green, cb_blue, offset = _INVERSE[variant]
    cb, cr = (chroma - offset).chunk(2, dim=-3)
    return torch.cat((y + cr_red * cr, y - cr_green * cr - cb_green * cb, y + cb_blue * cb), dim=-3)


def recombine(fused: Tensor, vis: Tensor, variant: str) -> Tensor:
    """The fused luma ``[...,1,H,W]`` with the chroma of the visible colours ``[...,3,H,W]``; not clipped.

    Raises:
        ValueError: unknown variant.
    """
    return to_rgb(fused, to_ycbcr(vis, variant)[1], variant)
