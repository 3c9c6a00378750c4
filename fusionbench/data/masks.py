"""Masks and saliency maps on disk: ids, indices, colours or levels, read as their author meant them, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.errors import DataError
from fusionbench.pixels.images import MAX_BYTES, open_image, save_image
from fusionbench.runtime.files import check_regular

Colour = tuple[int, ...]

SALIENT = 128  # above it a pixel is salient, as PySODMetrics and the field's evaluators have it
TINT = 8  # difference of channels that a lossy codec may leave in grey


def read_mask(path: Path, count: int, palette: Sequence[Sequence[int]] = (), ignore: int | None = None) -> np.ndarray:
    """Read a segmentation mask: grey ids, palette indices, or colours of the dataset's palette.

    Levels of 1, 2 and 4 bits are ids as they stand in the file. Indices of a file with a palette are ids, unless its
    whole palette says that colours are meant (see :func:`_indices`). Colours are also taken in the other order of
    channels where no two classes can be confused by it. With two classes, 0 and 255 are read as 0 and 1 where 255 is
    not the id to ignore.

    Args:
        path: the image file.
        count: number of classes; ids run from 0.
        palette: RGB of each class, for colour-coded files.
        ignore: the id that stands for "do not score", allowed besides the classes.

    Returns:
        uint8 ``[H,W]`` ids.

    Raises:
        DataError: an unreadable file or one of a lossy format, an id outside the class list, a colour outside the
            palette, a palette that can be read in two ways, or nothing but 0 and the id to ignore.
    """
    bits, lossy = _stored(path)
    image = open_image(path)
    if lossy:
        raise DataError(f"{path}: {lossy}, which changes the ids at every edge; use masks saved as png from the start")
    array: np.ndarray
    if image.mode in ("P", "PA"):
        array = _indices(path, image.convert("P") if image.mode == "PA" else image, palette, ignore)
    elif image.mode in ("1", "L", "LA", "La"):
        array = _as_stored(image, bits)
    else:
        rgb = np.array(image.convert("RGB"))
        plain = (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all()
        array = _plain(path, rgb, count, palette, ignore) if plain else _from_colours(path, rgb, palette)
    used = np.bincount(array.ravel(), minlength=256)
    if count == 2 and (ignore is None or ignore < 2) and used[255] and not used[1:255].any():
        return (array > 0).astype(np.uint8)
    _check_ids(path, used, count, ignore)
    return array


def _check_ids(path: Path, used: np.ndarray, count: int, ignore: int | None) -> None:
    bad = [i for i in np.flatnonzero(used).tolist() if i >= count and i != ignore]
    if bad:
        also = "" if ignore is None else f" and {ignore} (ignored)"
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise DataError(
            f"{path}: label id {shown} ({int(used[bad].sum())} pixels) is outside the class list; "
            f"allowed are 0 to {count - 1}{also}"
        )
    if ignore is not None and ignore >= count and used[ignore] and not used[1:count].any():
        held = f"only 0 and {ignore}" if used[0] else f"only {ignore}"
        raise DataError(
            f"{path}: holds {held}, and {ignore} is not scored, so nothing in it would count; write the object's "
            f"class id in the place of {ignore}, or remove the file if it shows no class"
        )


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write ids as a single-channel PNG."""
    save_image(path, Image.fromarray(np.asarray(mask, np.uint8)))


# ---------------------------------------------------------------- what lies in a file


def _stored(path: Path) -> tuple[int, str]:
    """Bits of a grey level as stored, and what makes the format lossy, or ""; what cannot be read is told later.

    Raises:
        DataError: a mask of 16 bits.
    """
    try:
        check_regular(path, "the mask", MAX_BYTES)
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:
        return 8, ""
    bits, lossy = 8, ""
    if head.startswith(b"\x89PNG") and len(head) > 25:
        bits = head[24] if head[25] == 0 or head[24] == 16 else 8  # colour type 0: grey
    elif head.startswith(b"\xff\xd8"):
        lossy = "a jpg"
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP" and head[12:16] != b"VP8L":
        lossy = "a lossy webp"
    elif head[:2] in (b"II", b"MM"):
        bits, lossy = _stored_tiff(path)
    if bits == 16:
        raise DataError(f"{path}: a label of 16 bits; save it as 8-bit grey with the numbers unchanged, not scaled")
    return bits, lossy


def _stored_tiff(path: Path) -> tuple[int, str]:
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            tags = getattr(image, "tag_v2", {})
            bits = int(np.max(tags.get(258, 8)))
            return bits, "a tif with jpg compression" if tags.get(259, 1) in (6, 7) else ""
    except Exception:  # damage, which opening the picture names
        return 8, ""


def _as_stored(image: Image.Image, bits: int) -> np.ndarray:
    """Levels of a grey picture as they stand in the file; Pillow spreads 1, 2 and 4 bits over 0..255."""
    levels = np.array(image.convert("L") if image.mode != "L" else image)
    if image.mode == "1":
        bits = 1
    return levels // (255 // (2**bits - 1)) if bits < 8 else levels


# ---------------------------------------------------------------- colours


def _orders(palette: Sequence[Sequence[int]]) -> list[dict[Colour, int]]:
    """Class ids by colour; also with the channels reversed, where no colour then means another class.

    Lists of one dataset's colours are in print in both orders (OpenCV's is blue, green, red).
    """
    forward = {tuple(colour): i for i, colour in enumerate(palette)}
    backward = {colour[::-1]: i for colour, i in forward.items()}
    same = all(forward[colour] == backward[colour] for colour in forward.keys() & backward.keys())
    return [forward, backward] if same and forward != backward else [forward]


def _voc(index: int) -> Colour:
    """The colour of an index in PASCAL VOC's map, which labelme, CVAT and others write into every mask."""
    return tuple(sum((index >> (3 * j + c) & 1) << (7 - j) for j in range(3)) & 255 for c in range(3))


def _indices(path: Path, image: Image.Image, palette: Sequence[Sequence[int]], ignore: int | None) -> np.ndarray:
    """Ids of a file with a palette, judged by the whole of it.

    Indices are ids where the colours in use are no class colours or stand where the card has them, and where the
    palette is PASCAL VOC's. The colours are meant where the palette has nothing but class colours, or all of them.
    Anything else can be read in two ways and is refused.
    """
    array = np.array(image)
    flat = image.getpalette("RGB") or []
    own = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
    first = {colour: i for i, colour in reversed(list(enumerate(own)))}  # a colour that is there again says nothing
    used = np.unique(array).tolist()
    telling = {i: own[i] for i in range(len(own)) if first[own[i]] == i and (i in used or len(set(own[i])) > 1)}
    ids = max(_orders(palette), key=lambda ids: sum(c in ids for c in telling.values() if len(set(c)) > 1))
    seen = [i for i in used if not (i == ignore and telling.get(i) not in ids)]
    if all(ids.get(telling.get(i, ()), i) == i for i in seen):
        return array
    only = all(colour in ids for i, colour in telling.items() if i in seen or i not in used)
    voc = all(colour == _voc(i) for i, colour in telling.items() if i != ignore)
    if voc and not only:
        return array
    meant = all(telling.get(i) in ids for i in seen)
    if voc or not meant or not (only or set(ids) <= set(own)):
        raise DataError(
            f"{path}: its palette can be read in two ways, as ids by index and as the class colours of the dataset "
            "(of which it has some, at other places); save the mask as grey ids without a palette"
        )
    id_of = np.arange(256, dtype=np.uint8)
    id_of[seen] = [ids[telling[i]] for i in seen]
    ids_there: np.ndarray = id_of[array]
    return ids_there


def _plain(path: Path, rgb: np.ndarray, count: int, palette: Sequence[Sequence[int]], ignore: int | None) -> np.ndarray:
    """Ids of a picture of three equal channels: its levels, unless they are class colours of the palette."""
    levels = rgb[..., 0].copy()
    ids = {colour[0]: i for i, colour in reversed(list(enumerate(palette))) if len(set(colour)) == 1}
    used = np.unique(levels).tolist()
    if not all(level in ids for level in used) or all(ids[level] == level for level in used):
        return levels
    if all(level < count or level == ignore for level in used):
        raise DataError(
            f"{path}: its levels are ids and also class colours of the palette, which differ; save the mask as grey ids"
        )
    id_of = np.zeros(256, np.uint8)
    id_of[list(ids)] = list(ids.values())
    result: np.ndarray = id_of[levels]
    return result


def _from_colours(path: Path, rgb: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    if not palette:
        raise DataError(f"{path}: a colour-coded mask, but the dataset has no palette; use the mask of grey ids")
    tried = [_matched(rgb, ids) for ids in _orders(palette)]
    ids, wrong = min(tried, key=lambda match: int(match[1].sum()))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: colour {tuple(rgb[y, x].tolist())} at x={x}, y={y} ({int(wrong.sum())} pixels in all) is no "
            f"class colour of the palette; use the mask of grey ids"
        )
    return ids


def _matched(rgb: np.ndarray, ids: Mapping[Colour, int]) -> tuple[np.ndarray, np.ndarray]:
    """The id of each pixel, and where its colour has none."""
    packed = (rgb.astype(np.int32) << np.array([16, 8, 0], np.int32)).sum(-1, dtype=np.int32)
    colours = np.array([(r << 16) | (g << 8) | b for r, g, b in ids], np.int32)
    order = np.argsort(colours)
    place = order[np.minimum(np.searchsorted(colours[order], packed), len(order) - 1)]
    return np.array(list(ids.values()), np.uint8)[place], colours[place] != packed


# ---------------------------------------------------------------- saliency


def read_saliency(path: Path) -> np.ndarray:
    """Read a saliency ground truth: uint8 ``[H,W]``, 255 where the file is above 128, else 0.

    Maps of 0 and 1 are read as 0 and 255, and two colours of which one is black (or index 0) as object and background.

    Raises:
        DataError: an unreadable file, more colours, or a map that is not empty but nowhere above 128.
    """
    bits, _ = _stored(path)
    image = open_image(path)
    levels = _levels(path, image, bits)
    top = int(levels.max())
    if top == 1:
        levels = levels * np.uint8(255)
    elif 1 < top <= SALIENT:
        raise DataError(
            f"{path}: its largest value is {top}, so nothing is above {SALIENT}, where the salient begins; "
            "save the map as 0 and 255"
        )
    return np.where(levels > SALIENT, np.uint8(255), np.uint8(0))


def _levels(path: Path, image: Image.Image, bits: int) -> np.ndarray:
    """Grey levels of a map, those of a few bits spread over 0..255 unless they are 0 and 1."""
    if image.mode in ("1", "L", "LA", "La"):
        stored = _as_stored(image, bits)
        return stored if stored.max() <= 1 else np.array(image.convert("L"))
    rgb = np.array(image.convert("RGB"))
    if (rgb.max(-1).astype(int) - rgb.min(-1)).max() <= TINT:
        return np.array(image.convert("RGB").convert("L"))
    if image.mode == "P":
        array, black = np.array(image), 0
    else:
        array, black = rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32), 0
    counts = Counter(array.ravel().tolist()) if array.size else Counter[int]()
    if len(counts) == 1 or (len(counts) == 2 and black in counts):
        return np.where(array == black, np.uint8(0), np.uint8(255))
    raise DataError(f"{path}: {len(counts)} colours, where a saliency map has two levels; save the map as 0 and 255")
