"""Splits: named sets of ids, and the list files they come from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.data.lists import read_list
from fusionbench.errors import DataError, find
from fusionbench.plugins.cards import DatasetCard

HINT = ", or give a list file"
SUFFIXES = (".txt", ".lst", ".csv", ".tsv", ".list")  # of what is meant as a file although it is not there


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
        file: the user's list, or None.
    """

    name: str
    ids: tuple[str, ...] | None
    count: int | None
    sha256: str
    source: str
    folders: tuple[str, ...] = ()
    file: Path | None = None


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
            split = listed(name, read_list(path), f"list file {path.name}", self.folders or (name,))
            return replace(split, file=path)
        name = find(name, self.names, f"{self._card.name} has no split", error=DataError, hint=HINT)
        if name in self.lists:
            return self._make(name)
        facts = self._declared[name]
        folders = (facts.folder or name,)
        if facts.file:
            return listed(name, read_list(self._card.path.parent / "splits" / facts.file), facts.source, folders)
        return Split(name, None, facts.count, "", facts.source, folders)


def _is_path(given: str) -> bool:
    """Whether a file is meant: one that is there under any name, or what looks like one."""
    there = os.path.lexists(given) and not os.path.isdir(given)
    return there or "/" in given or "\\" in given or given.lower().endswith(SUFFIXES)
