"""Where the data of a published table lie here: datasets, generated trees made again, pictures of other programs.

Folders come from the user alone. A file's names are only looked up among what lies in them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from fusionbench.commas import parted
from fusionbench.data.layout import children
from fusionbench.data.opening import corrupted, data_root, open_spec
from fusionbench.data.origin import recorded
from fusionbench.data.synth import synth
from fusionbench.errors import DataError, FusionbenchError, find
from fusionbench.evaluation.keys import harness_hash
from fusionbench.evaluation.runner import Progress
from fusionbench.pixels.corruption import corruption
from fusionbench.plugins.cards import cards
from fusionbench.results.records import GENERATORS, Board, EntryInfo, Origin

DRAWING = ("fusionbench.data.synth",)
MOST_PAIRS, MOST_PIXELS = 2000, 1 << 28  # of a generated tree, over all its pairs


@dataclass(frozen=True, kw_only=True)
class Places:
    """What the user says of where data lie.

    Attributes:
        data_root: folder of the datasets.
        dataset: ``NAME=DIR``, where the dataset does not lie below it.
        images: ``NAME=DIR`` of pictures that other programs made.
        images_root: folder with a folder for each such program, and in it one for each dataset or the pictures.
    """

    data_root: Path | None = None
    dataset: str | None = None
    images: tuple[str, ...] = ()
    images_root: Path | None = None

    def pictures(self, board: Board, entries: tuple[EntryInfo, ...]) -> tuple[str, ...]:
        """``NAME=DIR`` for the entries of other programs' pictures, as far as they were named or found.

        Raises:
            FusionbenchError: no such folder, or a name that the table does not have.
        """
        names = {str(e.options["name"]): (e.id,) for e in entries if "name" in e.options}
        given = {}
        for spec in self.images:
            typed, equals, where = parted(spec)
            name = find(typed, names, f"images={typed}: the table has no such pictures:", names)
            given[name] = name + equals + where
        if self.images_root is not None:
            if not self.images_root.is_dir():
                raise FusionbenchError(f"images_root={self.images_root}: no such folder")
            for folder in sorted(self.images_root.iterdir()):  # a name from the file is never made a path
                if folder.name in names and folder.is_dir():
                    given.setdefault(folder.name, f"{folder.name}={_of_dataset(folder, board)}")
        return tuple(given.values())

    def dataset_of(
        self, board: Board, differences: list[str], out: Path | None = None, progress: Progress = lambda *_: None
    ) -> str | None:
        """The dataset as users type it: where the user says that it lies, by its label, or a tree made again.

        Args:
            board: of the table.
            differences: takes why there is none.
            out: where a generated tree is made again; None for not at all.
            progress: called as work proceeds.

        Raises:
            FusionbenchError: the tree cannot be written.
        """
        how = corruption(board.corruption) if board.corruption else None
        found = self.dataset or self._of_label(board, differences, out, progress)
        named = bool(found and "+" in found.partition("=")[0])  # the user said it
        return corrupted(found, how) if found and how and not named else found

    def _of_label(self, board: Board, differences: list[str], out: Path | None, progress: Progress) -> str | None:
        label = board.dataset.removesuffix(f"+{board.corruption}")
        for name, card in cards("dataset").items():
            if board.origin.generator and label == f"{board.origin.generator}-{name}":
                return self._tree(name, board.origin, differences, out, progress)
            if label == name:
                return name
            if card.facts.generic and label.startswith(f"{name}-"):
                return self._own_folder(name, label, differences)
        differences.append(f"{board.dataset}: no such dataset here")
        return None

    def _own_folder(self, name: str, label: str, differences: list[str]) -> str | None:
        root = data_root(self.data_root)
        folders = [root, *sorted(p for p in root.iterdir() if p.is_dir())] if root.is_dir() else []
        for folder in folders:
            if f"{name}-" + re.sub(r"[^A-Za-z0-9._-]+", "_", folder.resolve().name) == label:
                return f"{name}={folder}"
        differences.append(f"{label}: not below {root}; name its folder with dataset={name}=DIR")
        return None

    def _tree(
        self, name: str, origin: Origin, differences: list[str], out: Path | None, progress: Progress
    ) -> str | None:
        """A generated tree: the one below the data root if it is the recorded one, else made again below `out`."""
        if out is None:
            return name
        try:
            if open_spec(name, self.data_root).origin == origin:
                return name
        except DataError:
            pass  # none is there
        call = call_of(name, origin)
        if isinstance(call, str):
            differences.append(f"{origin.generator}-{name}: not made again: {call}")
            return None
        text = json.dumps(origin.plain(), sort_keys=True) + harness_hash(DRAWING)  # not one that older code drew
        folder = out / "trees" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        there = recorded(folder)
        if there is None or there.unfinished:
            synth(name, folder, *call, progress, origin.generator)
        return f"{name}={folder}"


def _of_dataset(folder: Path, board: Board) -> Path:
    """The folder of a dataset's pictures within a program's: of the dataset's name, else the program's own."""
    card = cards("dataset").get(board.dataset)
    for name in card.facts.folders if card else ():
        if found := children(folder, name):
            return found[0]
    return folder


Call = tuple[int, int, tuple[int, int], int]  # training and test pairs, height and width, seed


def call_of(name: str, origin: Origin) -> Call | str:
    """How our generator, and no other, is called for a recorded tree, or why it is not: within bounds of our own."""
    card = cards("dataset")[name]
    if origin.generator not in GENERATORS or origin.like != name or card.facts.scenes is None:
        return f"no generator {origin.generator} of trees like {origin.like} here"
    if origin.unfinished or origin.size is None or origin.seed is None:
        return "its size or seed is not recorded"
    test = next((p.split for p in card.facts.protocols.values()), "test")
    if not origin.counts.keys() <= {"train", test} or min(origin.counts.values(), default=0) < 0:
        return f"it has splits {', '.join(origin.counts)}, which the generator does not make"
    pairs, (height, width) = sum(origin.counts.values()), origin.size
    if not 0 < pairs <= MOST_PAIRS or not 0 < pairs * height * width <= MOST_PIXELS:
        return f"{pairs} pairs of {height}x{width}; not more than {MOST_PAIRS} pairs and {MOST_PIXELS} pixels are made"
    return origin.counts.get("train", 0), origin.counts.get(test, 0), origin.size, origin.seed
