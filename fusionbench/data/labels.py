"""Labels on disk: masks, boxes (YOLO text and VOC XML) and saliency maps."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from fusionbench.errors import DataError
from fusionbench.pixels.images import atomic, open_image, save_image
from fusionbench.runtime.files import read_regular

MAX_BYTES = 16 << 20  # of a file of boxes


@dataclass(frozen=True, eq=False)
class Boxes:
    """The objects of one image.

    Attributes:
        xyxy: float64 ``[N,4]``, left, top, right, bottom in pixels.
        labels: int64 ``[N]``, index into the dataset's box classes.
        difficult: bool ``[N]``, or None where the format has no such flag.
    """

    xyxy: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def of(rows: Sequence[Sequence[float]], labels: Sequence[int], difficult: Sequence[bool] | None = None) -> Boxes:
        """From lists, which may be empty."""
        flags = None if difficult is None else np.array(difficult, bool)
        return Boxes(np.array(rows, np.float64).reshape(-1, 4), np.array(labels, np.int64), flags)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- masks


def read_mask(path: Path, count: int, palette: Sequence[Sequence[int]] = (), ignore: int | None = None) -> np.ndarray:
    """Read a segmentation mask: grey ids, palette indices, or colours of the dataset's palette.

    Args:
        path: the image file.
        count: number of classes; ids run from 0.
        palette: RGB of each class, for colour-coded files.
        ignore: the id that stands for "do not score", allowed besides the classes.

    Returns:
        uint8 ``[H,W]`` ids.

    Raises:
        DataError: an unreadable file, an id outside the class list, or a colour outside the palette.
    """
    image = open_image(path)
    array: np.ndarray
    if image.mode == "P":
        array = _indices(image, palette)
    elif image.mode in ("L", "1", "LA"):
        array = np.array(image if image.mode == "L" else image.convert("L"))
    else:
        rgb = np.array(image.convert("RGB"))
        plain = (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all()
        array = rgb[..., 0].copy() if plain else _from_colours(path, rgb, palette)
    used = np.bincount(array.ravel(), minlength=256)
    bad = [i for i in np.flatnonzero(used).tolist() if i >= count and i != ignore]
    if bad:
        also = "" if ignore is None else f" and {ignore} (ignored)"
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise DataError(
            f"{path}: label id {shown} ({int(used[bad].sum())} pixels) is outside the class list; "
            f"allowed are 0 to {count - 1}{also}"
        )
    return array


def _indices(image: Image.Image, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Indices are ids, unless every colour in use is a class colour standing at another index."""
    array = np.array(image)
    flat = image.getpalette("RGB") or []
    own = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
    ids = {tuple(colour): i for i, colour in enumerate(palette)}
    used = np.unique(array).tolist()
    if ids and all(i < len(own) and own[i] in ids for i in used):
        id_of = np.zeros(256, np.uint8)
        id_of[used] = [ids[own[i]] for i in used]
        array = id_of[array]
    return array


def _from_colours(path: Path, rgb: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    if not palette:
        raise DataError(f"{path}: a colour-coded mask, but the dataset has no palette; use the mask of grey ids")
    packed = (rgb.astype(np.int32) << np.array([16, 8, 0], np.int32)).sum(-1, dtype=np.int32)
    colours = np.array([(r << 16) | (g << 8) | b for r, g, b in palette], np.int32)
    order = np.argsort(colours)
    nearest = np.minimum(np.searchsorted(colours[order], packed), len(order) - 1)
    ids: np.ndarray = order[nearest].astype(np.uint8)
    wrong = colours[ids] != packed
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: colour {tuple(rgb[y, x].tolist())} at x={x}, y={y} ({int(wrong.sum())} pixels in all) is no "
            f"class colour of the palette; use the mask of grey ids"
        )
    return ids


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write ids as a single-channel PNG."""
    save_image(path, Image.fromarray(np.asarray(mask, np.uint8)))


def read_saliency(path: Path) -> np.ndarray:
    """Read a saliency ground truth: uint8 ``[H,W]``, 255 where the file is above 128, else 0."""
    truth: np.ndarray = np.where(np.array(open_image(path).convert("L")) > 128, np.uint8(255), np.uint8(0))
    return truth


# ---------------------------------------------------------------- YOLO text


def read_yolo(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Boxes:
    """Read ``class cx cy w h`` lines, normalised to the image; an empty file means no objects.

    Args:
        path: the text file; a missing final newline and repeated blanks are fine.
        size: width and height of the image.
        classes: the dataset's box classes.

    Raises:
        DataError: a malformed line or a class id outside the list.
    """
    rows, labels = [], []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not (fields := line.split()):
            continue
        where = f"{path}: line {number}"
        try:
            label, (cx, cy, w, h) = float(fields[0]), map(float, fields[1:5])
        except ValueError:
            raise DataError(f"{where} is not 'class cx cy w h': {line.strip()[:80]!r}") from None
        if not 0 <= label < len(classes) or label != int(label):
            raise DataError(
                f"{where}: label id {fields[0]} is outside the class list; allowed are {_numbered(classes)}"
            )
        x, y = cx * size[0], cy * size[1]
        w, h = w * size[0], h * size[1]
        rows.append(_box((x - w / 2, y - h / 2, x + w / 2, y + h / 2), where))
        labels.append(int(label))
    return Boxes.of(rows, labels)


def write_yolo(path: Path, boxes: Boxes, size: tuple[int, int]) -> None:
    """Write boxes as YOLO text, with every digit of the float64 values."""
    lines = []
    for (x1, y1, x2, y2), label in zip(boxes.xyxy.tolist(), boxes.labels.tolist(), strict=True):
        values = ((x1 + x2) / 2 / size[0], (y1 + y2) / 2 / size[1], (x2 - x1) / size[0], (y2 - y1) / size[1])
        lines.append(f"{label} {' '.join(map(repr, values))}\n")
    _write_text(path, "".join(lines))


# ---------------------------------------------------------------- VOC XML


class _NoDoctype(ET.TreeBuilder):
    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type, which annotations never do; refused")


def read_voc(path: Path, classes: Sequence[str], aliases: Mapping[str, str] | None = None) -> Boxes:
    """Read a Pascal VOC annotation; classes are mapped by name, in any case.

    Args:
        path: the XML file.
        classes: the dataset's box classes.
        aliases: other spellings in circulation, to a class.

    Raises:
        DataError: broken XML, a class name not in the list, or a box without an area.
    """
    index = {name.lower(): i for i, name in enumerate(classes)}
    index.update({other.lower(): index[name.lower()] for other, name in (aliases or {}).items()})
    try:
        root = ET.fromstring(read_regular(path, "the labels", MAX_BYTES), ET.XMLParser(target=_NoDoctype()))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not a readable VOC annotation: {error}") from None
    rows, labels, difficult = [], [], []
    for number, item in enumerate(root.iter("object"), 1):
        where = f"{path}: object {number}"
        name = (item.findtext("name") or "").strip()
        if name.lower() not in index:
            raise DataError(f"{where}: label {name!r} is outside the class list; allowed are {_numbered(classes)}")
        box = item.find("bndbox")
        try:
            corners = [float((box.findtext(k) if box is not None else None) or "") for k in _CORNERS]
        except ValueError:
            raise DataError(f"{where} ({name}) has no bndbox with four numbers") from None
        rows.append(_box(corners, where))
        labels.append(index[name.lower()])
        difficult.append((item.findtext("difficult") or "0").strip() == "1")
    return Boxes.of(rows, labels, difficult)


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_voc(path: Path, boxes: Boxes, size: tuple[int, int], classes: Sequence[str], filename: str) -> None:
    """Write boxes as a Pascal VOC annotation."""
    lines = [
        "<annotation>",
        f"  <filename>{escape(filename)}</filename>",
        f"  <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>",
    ]
    flags = boxes.difficult if boxes.difficult is not None else np.zeros(len(boxes), bool)
    for corners, label, hard in zip(boxes.xyxy.tolist(), boxes.labels.tolist(), flags.tolist(), strict=True):
        numbers = "".join(
            f"<{k}>{int(v) if v == int(v) else repr(v)}</{k}>" for k, v in zip(_CORNERS, corners, strict=True)
        )
        lines += [
            "  <object>",
            f"    <name>{escape(classes[label])}</name>",
            f"    <difficult>{int(hard)}</difficult>",
            f"    <bndbox>{numbers}</bndbox>",
            "  </object>",
        ]
    _write_text(path, "\n".join([*lines, "</annotation>", ""]))


def _text(path: Path) -> str:
    try:
        return read_regular(path, "the labels", MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None


def _numbered(classes: Sequence[str]) -> str:
    return ", ".join(f"{i} {name}" for i, name in enumerate(classes))


def _box(corners: Sequence[float], where: str) -> tuple[float, ...]:
    x1, y1, x2, y2 = corners
    if not all(map(math.isfinite, corners)) or x2 <= x1 or y2 <= y1:
        raise DataError(f"{where}: box {x1:g}, {y1:g}, {x2:g}, {y2:g} has no area; correct or remove it")
    return tuple(corners)
