"""Reading and writing pictures, and the one conversion to grey that everything here uses."""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from fusionbench.errors import DataError
from fusionbench.pixels.names import SUFFIXES
from fusionbench.runtime.files import check_regular, short_name

Range = tuple[float, float]  # levels of a deep file that become 0 and 255
# What a file may be, told by its content. Pillow knows many more formats, and starts other programs for some.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 1 << 26  # 8192 x 8192
MAX_BYTES = 5 * MAX_PIXELS  # more than any such picture needs uncompressed
OPAQUE = "a picture with transparency has to be saved without"
FOURTH = f"colour and thermal in one file are read with rgbt4=True; {OPAQUE}"
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, struct.error, zlib.error, *_BOMB)

# BT.601 luma in float32, in the order of OpenCV's vectorised float conversion (two fused multiply-adds):
# fma(R, .299, fma(B, .114, G * .587)), then half to even. A product of a float32 weight and a byte is exact in
# float64, so rounding each step once to float32 is that arithmetic. It matters only at ties (about 1 pixel in 1000).
_RED, _GREEN, _BLUE = np.float64(np.float32(0.299)), np.float32(0.587), np.float64(np.float32(0.114))


def open_image(path: Path, deep: bool = False) -> Image.Image:
    """Open and decode an image file, turned as its EXIF orientation says: what every viewer shows.

    Args:
        path: the file.
        deep: whether grey of more than 8 bits is taken too.

    Raises:
        DataError: when the file is missing, empty, truncated, no image, too large, holds several pictures, or more than
            8 bits a channel.
    """
    try:
        check_regular(path, limit=MAX_BYTES)
        with open(path, "rb") as file:
            image = Image.open(file, formats=FORMATS)
            if not (deep and is_deep(image)) and (is_deep(image) or _raw_mode(image).find(";16") > 0):
                raise DataError(f"{path}: {_depth(image)}; only 8-bit images are read: convert it to 8 bits a channel")
            _check_pixels(path, image)
            if _several(image, file):
                raise DataError(f"{path}: an animation or a file of several pages; save the one picture that is meant")
            if is_deep(image) and getattr(image, "tag_v2", {}).get(_WHITE) == 0:  # Pillow turns 8 bits, not these
                raise DataError(f"{path}: a TIFF whose 0 is white; save it with 0 for black")
            image.load()
            return _upright(image)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        what = "the file is empty" if path.stat().st_size == 0 else "not a png, jpg, bmp, tif or webp image"
        raise DataError(f"{path}: {what}; fetch it again") from None
    except _BROKEN as error:
        raise DataError(f"{path}: unreadable or truncated image ({_line(error)}); fetch it again") from None


def is_deep(image: Image.Image) -> bool:
    """Whether an opened file is grey of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


_TAG = 0x0112  # of the orientation in EXIF
_WHITE = 0x0106  # of what a TIFF's 0 stands for
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. (Pillow turns TIFF by itself and takes the mark away; what is damaged is none.)"""
    value = 1
    try:
        if image.format == "TIFF":
            value = image.getexif().get(_TAG, 1)
        elif data := image.info.get("exif"):
            value = _from_exif(data)
        elif text := image.info.get("Raw profile type exif"):  # of PNG before EXIF had a place there
            value = _from_exif(bytes.fromhex("".join(text.split("\n")[3:])))
    except _BROKEN:
        return 1
    return value if value in _TURNS else 1


def _from_exif(data: bytes) -> int:
    """The orientation in a block of EXIF. (Pillow's reader prints warnings about blocks that are damaged elsewhere.)"""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", data, place)
        if (tag, kind) == (_TAG, 3):  # a number of 16 bits
            return int(value)
    return 1


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _check_pixels(path: str | Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{path}: {image.height}x{image.width} (height x width), over the limit of {MAX_PIXELS} pixels; "
            "cut or scale it"
        )


def _several(image: Image.Image, file: IO[bytes]) -> bool:
    """Whether there is more than one picture to choose from. (The first of an MPO, a kind of JPEG, is the picture.)"""
    if image.format != "TIFF":
        return image.format in ("PNG", "WEBP") and bool(getattr(image, "n_frames", 1) > 1)
    position = file.tell()
    file.seek(0)
    try:
        Image.open(file, formats=FORMATS).seek(1)  # another object, as this one is to be decoded at its first page
    except EOFError:
        return False
    finally:
        file.seek(position)
    return True


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _raw_mode(image: Image.Image) -> str:
    tile = getattr(image, "tile", None)
    args = tile[0][3] if tile else ""
    return args if isinstance(args, str) else str(args[0]) if isinstance(args, tuple) and args else ""


def _depth(image: Image.Image) -> str:
    colour = "grey" if image.mode[0] in "IF" else "colour"
    return f"32-bit floating-point {colour}" if image.mode == "F" else f"16-bit {colour}"


def read_image(path: str | Path, levels: Range | None = None) -> np.ndarray:
    """Read an image file as 8-bit levels.

    Args:
        path: png, jpg, bmp, tif or webp, told by content; turned as its EXIF says. Palettes are resolved; alpha that is
            the same everywhere is dropped (not blended).
        levels: of a grey file with more than 8 bits, what becomes 0 and 255; such files are refused without. Others are
            read as they are.

    Returns:
        uint8 ``[C,H,W]``, C = 1 for a grey file, else 3 (red, green, blue).

    Raises:
        DataError: one line with the path, what is wrong and what to do.
    """
    image = open_image(Path(path), deep=levels is not None)
    if levels is not None and is_deep(image):
        return scaled(path, np.asarray(image), levels)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "RGBX"):
        _check_last(path, image, f"{len(image.getbands())} channels, the last with", FOURTH)
    elif "transparency" in image.info:  # of a palette's colours, or a colour that stands for it
        whole = image.convert("RGBA")
        _check_last(path, whole, "transparency with", OPAQUE)
        image = whole if image.mode == "P" else image
    if image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    array = np.asarray(image)
    return array[None].copy() if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def scaled(path: str | Path, values: np.ndarray, levels: Range) -> np.ndarray:
    """Grey of more than 8 bits as 8-bit levels, ``[H,W]`` to uint8 ``[1,H,W]``: linear, rounded half to even, clipped.

    Raises:
        DataError: a level is not finite.
    """
    low, high = levels
    if not np.isfinite(values).all():
        raise DataError(f"{path}: some of its levels are not finite (NaN or infinity); replace them")
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    result: np.ndarray = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return result[None]


def deep_levels(path: str | Path) -> Range | None:
    """The least and the largest level of a grey file with more than 8 bits; None for every other file.

    Raises:
        DataError: as :func:`read_image`.
    """
    try:
        check_regular(path, limit=MAX_BYTES)
        with Image.open(path, formats=FORMATS) as image:
            if not is_deep(image):
                return None
    except _BROKEN:
        pass  # said better below
    values = np.asarray(open_image(Path(path), deep=True))
    return (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 0.0)


def _check_last(path: str | Path, image: Image.Image, what: str, remedy: str) -> None:
    """Refuse a last channel that says something: nobody but the user knows whether it is transparency or thermal."""
    low, high = image.getchannel(len(image.getbands()) - 1).getextrema()
    if low != high:
        raise DataError(f"{path}: {what} levels {low} to {high}: {remedy}")


def read_rgbt(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A file of four channels, colour and thermal, as MFNet has them.

    Returns:
        uint8 ``[1,H,W]``, the fourth channel, and uint8 ``[3,H,W]``, the colours.

    Raises:
        DataError: as :func:`read_image`, and for another number of channels.
    """
    image = open_image(Path(path))
    if image.mode not in ("RGBA", "RGBX"):
        channels = len(image.getbands())
        raise DataError(f"{path}: {channels} channels where rgbt4=True needs four, colour and thermal; leave it out")
    array = np.asarray(image).transpose(2, 0, 1)
    return array[3:].copy(), np.ascontiguousarray(array[:3])


def picture_digest(picture: np.ndarray) -> str:
    """SHA-256 of a picture's shape and pixels."""
    return hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height as the picture is shown, from the file's header, without decoding it.

    Raises:
        DataError: when it is no image.
    """
    try:
        check_regular(path, limit=MAX_BYTES)
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            _check_pixels(path, image)
            width, height = map(int, image.size)  # of a TIFF, Pillow has exchanged them
            if image.format == "TIFF":
                return width, height
            if image.format == "PNG" and "exif" not in image.info and _mentions_exif(file):
                image.load()  # EXIF may stand behind the pixels
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except _BROKEN as error:
        raise DataError(f"{path}: not a readable image ({_line(error)})") from None


def _mentions_exif(file: IO[bytes]) -> bool:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"eXIf") >= 0 or data.find(b"Raw profile type exif") >= 0


def write_image(path: str | Path, array: np.ndarray) -> None:
    """Write an image so that a reader never sees half a file.

    Args:
        path: the suffix chooses the format; all but jpg (quality 95) are lossless. The folder is made.
        array: uint8 ``[H,W]``, ``[1,H,W]`` or ``[3,H,W]``.

    Raises:
        DataError: for another shape or type, or an unknown suffix.
    """
    path = Path(path)
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[0] == 3)):
        raise DataError(f"{path}: cannot write {array.dtype} of shape {array.shape}; needs uint8 [H,W] or [1 or 3,H,W]")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: unknown image suffix {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    save_image(path, Image.fromarray(array if array.ndim == 2 else np.ascontiguousarray(array.transpose(1, 2, 0))))


# Suffix to Pillow's name of the format and how it is saved; any other suffix is PNG. Bytes of generated pairs are in
# hashes of published tables, so how a PNG is packed stays as it is.
_SAVED: dict[str, tuple[str, dict[str, int | str | bool]]] = {
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEG", {"quality": 95})),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF", {"compression": "tiff_lzw"})),
    ".bmp": ("BMP", {}),
    ".webp": ("WEBP", {"lossless": True}),
}


def save_image(path: Path, image: Image.Image) -> None:
    """Save a PIL image in one step: a temporary file in the same folder, then a rename."""
    kind, options = _SAVED.get(path.suffix.lower(), ("PNG", {"compress_level": 1}))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        image.save(file, kind, **options)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``: renamed onto it when the block ends well, removed when it fails."""
    temporary = path.with_name(f".{short_name(path.name)}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def grey(array: np.ndarray) -> np.ndarray:
    """Grey levels of an image as the metrics score them.

    Args:
        array: uint8 ``[1,H,W]`` or ``[3,H,W]`` (red, green, blue).

    Returns:
        uint8 ``[1,H,W]``: the channel itself where there is one, or all three are equal, else the BT.601 luma of
        the decoded colours, in float32 rounded half to even (what OpenCV's ``BGR2GRAY`` on float32 gives; the
        codec's own grey, ``imread(path, 0)``, differs in half the pixels and is never used).
    """
    if array.shape[0] == 1:
        return array
    red, green, blue = array
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return array[:1]
    luma: np.ndarray = (blue * _BLUE + green * _GREEN).astype(np.float32)
    luma = (red * _RED + luma).astype(np.float32)
    levels: np.ndarray = np.rint(luma, out=luma).astype(np.uint8)
    return levels[None]
