"""Splits: named sets of ids, and the list files they come from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fusionbench.errors import DataError, find
from fusionbench.pixels.names import SUFFIXES, nfc
from fusionbench.plugins.cards import DatasetCard
from fusionbench.runtime.files import read_regular

HINT = ", or give a list file"
MAX_BYTES = 64 << 20  # of a list
_WORD = re.compile(r"\S+")
_BOX = re.compile(r"-?[\d.]+(,-?[\d.]+){4}")


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
        lines = read_regular(path, "the split list", MAX_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise DataError(f"{path}: cannot read the split list: {reason}") from None
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = _without_boxes(line)
        if not name or name.startswith("#"):
            continue
        stem = nfc(_stem(name.replace("\\", "/").rsplit("/", 1)[-1]))
        if stem in ids:
            raise DataError(f"{path}: line {number}: {stem} is listed twice (first on line {ids[stem]})")
        ids[stem] = number
    if not ids:
        raise DataError(f"{path}: the split list names no image")
    return tuple(ids)


def _without_boxes(line: str) -> str:
    """A line without the boxes at its end, each of them five numbers behind white space."""
    words = list(_WORD.finditer(line))
    while words and words[-1].start() and _BOX.fullmatch(words[-1].group()):
        words.pop()
    return line[: words[-1].end()].strip() if words else ""


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in (*SUFFIXES, ".xml", ".txt") else name


def listed(name: str, ids: tuple[str, ...], source: str, folders: tuple[str, ...]) -> Split:
    """A split with a known list."""
    return Split(name, ids, len(ids), hashlib.sha256(("\n".join(ids) + "\n").encode()).hexdigest(), source, folders)


class Splits:
    """The splits of one dataset: those that its card declares, and list files of the user.

    Args:
        card: the dataset's card.
        lists: more splits, name to list file.

    Attributes:
        lists: the list files of the user by split name, with those that were added since.
    """

    def __init__(self, card: DatasetCard, lists: Mapping[str, Path] | None = None) -> None:
        self._card = card
        self._declared = {facts.name: facts for facts in card.facts.splits}
        self.lists = {name: Path(path) for name, path in (lists or {}).items()}
        self._made: dict[str, Split] = {}

    @property
    def names(self) -> list[str]:
        """Names of the declared splits, then of the user's lists."""
        return [*self._declared, *self.lists]

    @property
    def folders(self) -> tuple[str, ...]:
        """Split folders that the card names, each once."""
        return tuple(dict.fromkeys(facts.folder or facts.name for facts in self._declared.values()))

    @property
    def listed_on_card(self) -> list[str]:
        """Declared splits whose folder is described by lists alone."""
        unlisted = {facts.folder or facts.name for facts in self._declared.values() if not facts.file}
        return [f.name for f in self._declared.values() if f.file and (f.folder or f.name) not in unlisted]

    def get(self, name: str) -> Split:
        """A split by name, or by the path of a list file.

        Raises:
            DataError: unknown name or unusable list.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def add(self, given: str) -> str:
        """A split name for what a user gave: a split's name, or the path of a list file.

        A list is named after its stem and the hash of its ids, so that results hold no path of a machine.
        """
        if given in self.names:
            return given
        if not _is_path(given):
            return find(given, self.names, f"{self._card.name} has no split", error=DataError, hint=HINT)
        spec = listed(Path(given).stem, read_list(Path(given)), "", ())
        name = f"{spec.name}-{spec.sha256[:8]}"
        self.lists[name] = Path(given)
        return name

    def _make(self, name: str) -> Split:
        if name in self.lists or (name not in self._declared and _is_path(name)):
            path = self.lists.get(name, Path(name))
            return listed(name, read_list(path), f"list file {path.name}", self.folders or (name,))
        name = find(name, self.names, f"{self._card.name} has no split", error=DataError, hint=HINT)
        if name in self.lists:
            return self._make(name)
        facts = self._declared[name]
        folders = (facts.folder or name,)
        if facts.file:
            return listed(name, read_list(self._card.path.parent / "splits" / facts.file), facts.source, folders)
        return Split(name, None, facts.count, "", facts.source, folders)


def _is_path(given: str) -> bool:
    return "/" in given or given.endswith(".txt")
