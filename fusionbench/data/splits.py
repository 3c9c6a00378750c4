"""Splits: named sets of ids, and the list files they come from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fusionbench.errors import DataError
from fusionbench.pixels.images import SUFFIXES

_BOXES_OF_A_LINE = re.compile(r"(\s+-?[\d.]+(,-?[\d.]+){4})+\s*$")


@dataclass(frozen=True)
class Split:
    """A named set of ids.

    Attributes:
        name: as users give it.
        ids: the ids in order, or None when the folder defines the split and no list is known.
        count: how many there should be, or None when nobody says.
        sha256: of the ids, one per line, or "" without a list.
        source: where the split comes from.
        folders: names of the split folders its files lie in, most likely one first.
    """

    name: str
    ids: tuple[str, ...] | None
    count: int | None
    sha256: str
    source: str
    folders: tuple[str, ...] = ()


def read_list(path: Path) -> tuple[str, ...]:
    """Ids of a split list: one image name per line, with or without suffix; boxes after the name are skipped.

    Raises:
        DataError: when the file is missing, names nothing, or names an image twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise DataError(f"{path}: cannot read the split list: {reason}") from None
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = _BOXES_OF_A_LINE.sub("", line).strip()
        if not name or name.startswith("#"):
            continue
        stem = _stem(name.replace("\\", "/").rsplit("/", 1)[-1])
        if stem in ids:
            raise DataError(f"{path}: line {number}: {stem} is listed twice (first on line {ids[stem]})")
        ids[stem] = number
    if not ids:
        raise DataError(f"{path}: the split list names no image")
    return tuple(ids)


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in (*SUFFIXES, ".xml", ".txt") else name


def listed(name: str, ids: tuple[str, ...], source: str, folders: tuple[str, ...]) -> Split:
    """A split with a known list."""
    return Split(name, ids, len(ids), hashlib.sha256(("\n".join(ids) + "\n").encode()).hexdigest(), source, folders)
