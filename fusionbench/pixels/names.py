"""Which files are pictures, told by their names, and how those names are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

# Every role and command reads these, in any case. Where two files of a folder carry one name, the first of them counts.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_DIGITS = re.compile(r"(\d+)")


def nfc(name: str) -> str:
    """A name in the composed form of Unicode: file systems of Macs decompose, so that ``é`` is two characters there."""
    return unicodedata.normalize("NFC", name)


def hidden(name: str) -> bool:
    """Whether a file is none of the user's: ``.DS_Store``, and ``._NAME`` as archives from Macs have beside each."""
    return name.startswith(".")


def is_picture(path: Path, suffixes: Iterable[str] = SUFFIXES) -> bool:
    """Whether a file is meant as a picture (or as what else has such a suffix)."""
    return path.suffix.lower() in suffixes and not hidden(path.name)


def listing(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The files of a folder with these suffixes; of several with one stem the most wanted suffix comes last."""
    files = [path for path in folder.iterdir() if is_picture(path, suffixes)]
    return sorted(files, key=lambda path: (suffixes.index(path.suffix.lower()), path.name), reverse=True)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbered names by their numbers: 2 before 10."""
    parts = _DIGITS.split(nfc(name))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)
