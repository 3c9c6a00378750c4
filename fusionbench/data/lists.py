"""Split lists as people have them: a name a line, or columns of a table, and what of it is on disk."""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from fusionbench.errors import DataError
from fusionbench.pixels.names import SUFFIXES, nfc
from fusionbench.runtime.files import decoded, read_regular

MAX_BYTES = 64 << 20  # of a list
SHOWN = 3  # names in a message
LONGEST = 80  # characters of a name in a message, and what is compared of it
HEADERS = {"id", "ids", "name", "names", "image", "images", "image_id", "img", "file", "files", "filename", "filenames"}
HEADERS |= {"file_name", "path", "stem", "ir", "infrared", "vis", "vi", "visible", "rgb"}
_WORD = re.compile(r"\S+")
_BOX = re.compile(r"-?[\d.]+(,-?[\d.]+){3,}")
_PICTURE = re.compile(r"\.(?:png|jpe?g|bmp|tiff?|webp)(?=\s)", re.IGNORECASE)
_COMMENT = re.compile(r"\s#\s")
_SIGNED = re.compile(r"(\S+)\s+(?:-1|0|1)")


def read_list(path: Path) -> tuple[str, ...]:
    """Ids of a split list.

    One image a line, in UTF-8 or UTF-16: a name with or without suffix, or a path, whose folders do not matter. Blank
    lines and comments (``#``) are skipped, as are boxes behind the name. Of columns (separated by commas, semicolons or
    tabs, or by blanks behind a suffix) the one that a header calls ``name``, ``file``, ``image``... counts, else the
    first with a picture's suffix, else the first.

    Raises:
        DataError: when the file is missing, names nothing, or names an image twice.
    """
    try:
        lines = decoded(read_regular(path, "the split list", MAX_BYTES)).splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot read the split list: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: cannot read the split list: not a text file") from None
    rows = [(number, cells) for number, line in enumerate(lines, 1) if (cells := _cells(line))]
    column = _column(rows[0][1]) if len(rows) > 1 else None
    ids: dict[str, int] = {}
    for number, cells in _unsigned(rows if column is None else rows[1:]):
        stem = nfc(_stem(_chosen(cells, column).replace("\\", "/").rsplit("/", 1)[-1]))
        if stem in ids and len(cells) == 1:
            raise DataError(f"{path}: line {number}: {shortened(stem)} is listed twice (first on line {ids[stem]})")
        if stem:
            ids.setdefault(stem, number)  # tables have a line for each object of an image
    if not ids:
        raise DataError(f"{path}: the split list names no image")
    return tuple(ids)


def _cells(line: str) -> list[str]:
    """The columns of a line, none for a comment."""
    line = line.strip()
    if line.startswith("#"):
        return []
    line = _without_boxes(_COMMENT.split(line, maxsplit=1)[0])
    if match := _PICTURE.search(line):
        return [line[: match.end()].strip("\"'"), line[match.end() :].strip()]
    mark = next((mark for mark in "\t;," if mark in line), "")
    cells = line.split(mark) if mark else [line]
    if mark and '"' in line:
        with suppress(csv.Error):  # longer than any name
            cells = next(csv.reader([line], delimiter=mark))
    cells = [cell.strip().strip("\"'") for cell in cells]
    return cells if any(cells) else []


def _without_boxes(line: str) -> str:
    """A line without the boxes at its end, each of them four numbers or more behind white space."""
    words = list(_WORD.finditer(line))
    while words and words[-1].start() and _BOX.fullmatch(words[-1].group()):
        words.pop()
    return line[: words[-1].end()].strip() if words else ""


def _column(cells: list[str]) -> int | None:
    """Which column holds the names, where this is a header."""
    return next((i for i, cell in enumerate(cells) if cell.lower() in HEADERS), None)


def _unsigned(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Without the 1, 0 or -1 behind each name that lists of one class in PASCAL VOC have."""
    found = [_SIGNED.fullmatch(cells[0]) if len(cells) == 1 else None for _, cells in rows]
    names = [match[1] for match in found if match]
    signed = len(names) == len(rows) == len(set(names)) and any(cells[0].endswith("-1") for _, cells in rows)
    return [(number, [name]) for (number, _), name in zip(rows, names, strict=True)] if signed else rows


def _chosen(cells: list[str], column: int | None) -> str:
    if column is not None:
        return cells[column] if column < len(cells) else ""
    return next((c for c in cells if c.lower().endswith(SUFFIXES)), next(filter(None, cells), ""))


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in (*SUFFIXES, ".xml", ".txt") else name


# ---------------------------------------------------------------- what of it is there


def folded(name: str) -> str:
    """A name in which case and the ways to write an accent do not matter."""
    return unicodedata.normalize("NFC", name).casefold()


def found(listed: Sequence[str], here: Collection[str]) -> dict[str, str]:
    """The listed names that are there, in order, each with the name there; case matters where it tells two apart."""
    exact = {name for name in listed if name in here}
    if len(exact) == len(listed):
        return {name: name for name in listed}
    by_fold: dict[str, list[str]] = {}
    for name in here:
        if name not in exact:
            by_fold.setdefault(folded(name), []).append(name)
    pairs: dict[str, str] = {}
    for name in listed:
        if name in exact:
            pairs[name] = name
        elif len(others := by_fold.get(folded(name), [])) == 1:
            pairs[name] = others.pop()
    return pairs


def unmatched(listed: Sequence[str], absent: Sequence[str], here: Collection[str], where: Path) -> str:
    """One clause that counts the listed names that are not there and shows the first ones with what is nearest."""
    names = {shortened(name): name for name in sorted(here)}
    shown = []
    for name in absent[:SHOWN]:
        near = difflib.get_close_matches(shortened(name), names, n=1, cutoff=0.4)
        shown.append(f"{shortened(name)} (nearest: {near[0]})" if near else shortened(name))
    every = len(absent) == len(listed)
    count = f"none of the {len(listed)}" if every else f"{len(absent)} of the {len(listed)}"
    verb = "is in" if every else "is not in" if len(absent) == 1 else "are not in"
    more = ", ..." if len(absent) > SHOWN else ""
    there = "" if not names or "(nearest" in "".join(shown) else f"; there are {', '.join(list(names)[:SHOWN])}, ..."
    return f"{count} listed names {verb} {where}: {', '.join(shown)}{more}{there}"


def shortened(name: str) -> str:
    """A name for a message."""
    return name if len(name) <= LONGEST else name[: LONGEST - 3] + "..."
