"""Boxes on disk: YOLO text and VOC XML."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from fusionbench.errors import DataError
from fusionbench.pixels.images import atomic
from fusionbench.runtime.files import decoded, read_regular

MAX_BYTES = 16 << 20  # of a file of boxes
SHARE = 1.5  # a larger number in a YOLO file is a pixel; annotators leave the image by less
INSIDE = 0.5  # share of a box that must lie in the image


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


# ---------------------------------------------------------------- YOLO text


def read_yolo(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Boxes:
    """Read ``class cx cy w h`` lines, as shares of the image; an empty file means no objects.

    Lines of more numbers, ``class x1 y1 x2 y2 x3 y3 ...``, are polygons, which become the boxes around them.

    Args:
        path: the text file, UTF-8 or UTF-16; a missing final newline and repeated blanks are fine.
        size: width and height of the image.
        classes: the dataset's box classes.

    Raises:
        DataError: a malformed line, a class id outside the list, pixels in the place of shares, or a box without an
            area or with less than half of it in the image.
    """
    rows, labels = [], []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not (fields := line.split()):
            continue
        where = f"{path}: line {number}"
        try:
            label, *values = map(float, fields)
        except ValueError:
            values = []
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            shown = line.strip()[:80]
            more = ", nor a polygon of three points or more" if len(values) > 4 else ""
            raise DataError(f"{where} is not 'class cx cy w h'{more}: {shown!r}")
        if not 0 <= label < len(classes) or label != int(label):
            raise DataError(
                f"{where}: label id {fields[0]} is outside the class list; allowed are {_numbered(classes)}"
            )
        if max(values) > SHARE:
            raise DataError(
                f"{where}: {max(values):g} is no share of the image; are these pixels? "
                f"Divide x and widths by {size[0]}, y and heights by {size[1]}"
            )
        rows.append(_checked(_corners(values, size), where, size))
        labels.append(int(label))
    return Boxes.of(rows, labels)


def _corners(values: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    """Left, top, right, bottom in pixels of shares ``cx cy w h``, or of a polygon's points."""
    if len(values) > 4:
        xs, ys = values[::2], values[1::2]
        if not all(map(math.isfinite, values)):
            return (math.nan,) * 4
        return min(xs) * size[0], min(ys) * size[1], max(xs) * size[0], max(ys) * size[1]
    cx, cy, w, h = values
    x, y = cx * size[0], cy * size[1]
    w, h = w * size[0], h * size[1]
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


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


def read_voc(
    path: Path,
    classes: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    size: tuple[int, int] | None = None,
) -> Boxes:
    """Read a Pascal VOC annotation; classes are mapped by name, in any case.

    Args:
        path: the XML file.
        classes: the dataset's box classes.
        aliases: other spellings in circulation, to a class.
        size: width and height of the image, which the file's ``<size>`` (if it states one) and boxes must fit.

    Raises:
        DataError: broken XML, a class name not in the list, another size, shares in the place of pixels, or a box
            without an area or with less than half of it in the image.
    """
    index = {name.lower(): i for i, name in enumerate(classes)}
    index.update({other.lower(): index[name.lower()] for other, name in (aliases or {}).items()})
    root = _xml(path)
    _check_size(path, root, size)
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
        rows.append(_checked(corners, where, size))
        labels.append(index[name.lower()])
        difficult.append((item.findtext("difficult") or "0").strip() == "1")
    if rows and max(map(max, rows)) <= 1:
        raise DataError(f"{path}: its boxes are shares of the image; a VOC annotation has pixels: multiply by its size")
    return Boxes.of(rows, labels, difficult)


def _xml(path: Path) -> ET.Element:
    try:
        return ET.fromstring(read_regular(path, "the labels", MAX_BYTES), ET.XMLParser(target=_NoDoctype()))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not a readable VOC annotation: {error}") from None


def _check_size(path: Path, root: ET.Element, size: tuple[int, int] | None) -> None:
    """Compare the annotation's ``<size>`` with the image; annotators that do not know it write 0 or nothing."""
    try:
        width, height = (float(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    except ValueError:
        return
    if size is not None and width > 0 and height > 0 and (width, height) != size:
        raise DataError(
            f"{path}: made for an image of {width:g}x{height:g}, but its image is {size[0]}x{size[1]}; "
            "scale the boxes and <size> with the image, or use the image they were drawn on"
        )


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
        return decoded(read_regular(path, "the labels", MAX_BYTES))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None


def _numbered(classes: Sequence[str]) -> str:
    return ", ".join(f"{i} {name}" for i, name in enumerate(classes))


def _checked(corners: Sequence[float], where: str, size: tuple[int, int] | None) -> tuple[float, ...]:
    x1, y1, x2, y2 = corners
    if not all(map(math.isfinite, corners)) or x2 <= x1 or y2 <= y1:
        raise DataError(f"{where}: box {x1:g}, {y1:g}, {x2:g}, {y2:g} has no area; correct or remove it")
    if size is not None:
        within = max(min(x2, size[0]) - max(x1, 0), 0) * max(min(y2, size[1]) - max(y1, 0), 0)
        if within < INSIDE * (x2 - x1) * (y2 - y1):
            raise DataError(
                f"{where}: box {x1:g}, {y1:g}, {x2:g}, {y2:g} lies outside the {size[0]}x{size[1]} image, or most "
                "of it; correct or remove it"
            )
    return tuple(corners)
