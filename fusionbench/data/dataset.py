"""Where the files of a split lie, reading them, and writing the same layout.

An adapter is a card and, where the card cannot say it, a subclass of :class:`Dataset`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fusionbench.data.labels import (
    Boxes,
    read_voc,
    read_yolo,
    write_voc,
    write_yolo,
)
from fusionbench.data.layout import DEFAULT, ROLES, Layout
from fusionbench.data.lists import found, unmatched
from fusionbench.data.looks import look
from fusionbench.data.masks import read_mask, read_saliency, write_mask
from fusionbench.data.origin import read_origin
from fusionbench.data.pairing import Reading
from fusionbench.data.pairs import check_depth, for_methods, read_pair, size_text
from fusionbench.data.sample import Files, Sample
from fusionbench.data.splits import Split, Splits
from fusionbench.errors import DataError
from fusionbench.pixels.corruption import VERSION, Corruption
from fusionbench.pixels.images import MAX_BYTES, write_image
from fusionbench.plugins.cards import DatasetCard
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.results.records import Origin
from fusionbench.runtime.files import read_regular

DARK = ("dusk", "night")  # conditions of a generated tree that count as night


class Dataset:
    """An image pair dataset in its official layout.

    Args:
        root: the dataset's own folder.
        card: its card.
        lists: more splits, name to list file.
        reading: how files are read and paired, where the user says it; what the card says holds besides.

    Attributes:
        corruption: what is done to pairs before methods get them; None for nothing.
        looks: what is odd about the pairs that were read, by split and id, see :data:`fusionbench.data.looks.ODDITIES`.
    """

    def __init__(
        self,
        root: str | Path,
        card: DatasetCard,
        lists: Mapping[str, Path] | None = None,
        reading: Reading = DEFAULT,
    ) -> None:
        self.root = Path(root)
        self.card = card
        own = card.facts
        self.reading = replace(reading, ir_range=reading.ir_range or own.ir_range, rgbt4=reading.rgbt4 or own.rgbt4)
        self.layout = Layout(self.root, card, self.reading)
        self.corruption: Corruption | None = None
        self.looks: dict[tuple[str, str], frozenset[str]] = {}
        self._splits = Splits(card, lists)

    # ------------------------------------------------------------ what the card says

    @cached_property
    def origin(self) -> Origin | None:
        """Where a generated tree comes from; None for real images."""
        return read_origin(self.root)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.card.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Segmentation classes by id, or ()."""
        return self.card.facts.classes.segmentation

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """Colour of each segmentation class, or ()."""
        return self.card.facts.classes.palette

    @property
    def box_classes(self) -> tuple[str, ...]:
        """Detection classes by index, or ()."""
        return self.card.facts.classes.boxes

    @property
    def ignore_index(self) -> int | None:
        """Mask id that is not scored, or None."""
        return self.card.facts.ignore_index

    @property
    def task_classes(self) -> dict[str, tuple[str, ...]]:
        """Classes of the tasks this dataset has labels for: ``seg``, ``det``, ``sod``."""
        classes = {"seg": self.classes, "det": self.box_classes}
        if self.layout.has("saliency"):
            classes["sod"] = ("background", "salient")
        return {task: names for task, names in classes.items() if names}

    def task_splits(self, label: str) -> tuple[str, str]:
        """Names of the splits to train and to test on with a label (``mask``, ``boxes``, ``saliency``)."""
        test = next((protocol.split for protocol in self.card.facts.protocols.values()), "test")
        if self.origin is None and label in self.card.facts.tasks:
            own = self.card.facts.tasks[label]
            return own.train or "train", own.test or test
        return "train", test

    def condition(self, split: str, id: str) -> str:
        """When a pair was taken, ``day`` or ``night`` (a generated tree's dusk is night, its fog day); else ""."""
        if self.origin is None:
            return self.card.facts.conditions.get(id[-1:], "")
        drawn = self.origin.conditions.get(split, {}).get(id, "")
        return drawn and ("night" if drawn in DARK else "day")

    # ------------------------------------------------------------ splits

    @property
    def lists(self) -> dict[str, Path]:
        """List files of the user by split name."""
        return self._splits.lists

    def add_list(self, given: str) -> str:
        """A split name for what a user gave: a split's name, or the path of a list file."""
        return self._splits.add(given)

    def splits(self) -> list[str]:
        """Names of the declared splits, then of the lists given by the user."""
        return self._splits.names

    @property
    def listed_on_card(self) -> list[str]:
        """Declared splits whose folder is described by lists alone."""
        return self._splits.listed_on_card

    def split(self, name: str) -> Split:
        """A split by name, or by the path of a list file.

        Raises:
            DataError: unknown name or unusable list.
        """
        return self._splits.get(name)

    def ids(self, split: str) -> list[str]:
        """Ids on disk, in the list's order, else sorted. One file of the pair is enough to be counted."""
        spec, seen = self.split(split), self._seen(split)
        return sorted(seen) if spec.ids is None else list(found(spec.ids, seen).values())

    def missing(self, split: str) -> list[str]:
        """Listed ids of which no image is there."""
        listed = self.split(split).ids or ()
        here = found(listed, self._seen(split))
        return [i for i in listed if i not in here]

    def unmatched(self, split: str) -> str:
        """How many names of a user's list are not there, which, and what is nearest; "" where all are."""
        spec = self.split(split)
        if spec.file is None or not (absent := self.missing(split)):
            return ""
        return f"{spec.file}: {unmatched(spec.ids or (), absent, self._seen(split), self.root)}"

    def _seen(self, split: str) -> set[str]:
        folders = self.split(split).folders
        return {i for folder in folders for role in ("ir", "vis") for i in self.layout.index(role, folder)}

    # ------------------------------------------------------------ files

    def present(self) -> bool:
        """Whether there is at least one infrared and one visible folder with images in it."""
        return any(self.layout.index("ir", f) and self.layout.index("vis", f) for f in self._splits.folders)

    def files(self, split: str, id: str) -> Files:
        """Where the parts of a sample lie.

        Raises:
            DataError: when the id lies in two split folders at once and the split does not say which.
        """
        folder = self._folder(split, id)
        return Files(
            **{role: self.layout.index(role, folder).get(id) if self.layout.has(role) else None for role in ROLES}
        )

    def _folder(self, split: str, id: str) -> str:
        folders = self.split(split).folders
        having = [f for f in folders if id in self.layout.index("ir", f) or id in self.layout.index("vis", f)]
        first = {self.layout.index("ir", f).get(id) or self.layout.index("vis", f).get(id) for f in having}
        if len(first) > 1:
            raise DataError(f"{self.name} {id}: lies in {' and '.join(having)}; this list cannot tell which is meant")
        return having[0] if having else folders[0]

    def hash(self, split: str, id: str) -> str:
        """SHA-256 over how files are read where that is said, the infrared file, the visible one, :attr:`own_code`."""
        files = self._both(split, id)
        digest = hashlib.sha256()
        if self.reading.change or self.reading.rgbt4:
            digest.update(f"{self.reading.change} {self.reading.rgbt4}".encode())
        for path in files:
            digest.update(read_regular(path, "the image", MAX_BYTES))
        digest.update(self.own_code.encode())
        if self.corruption:
            digest.update(f"corrupted {VERSION}: {self.corruption}".encode())
        return digest.hexdigest()

    def given(self, id: str, ir: np.ndarray, vis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What methods get of a pair: the pair itself, or :attr:`corruption` of it.

        Args:
            id: of the pair.
            ir: uint8 ``[1,H,W]``.
            vis: uint8 ``[3,H,W]``.
        """
        return self.corruption.apply(ir, vis, id) if self.corruption else (ir, vis)

    @cached_property
    def own_code(self) -> str:
        """Hash of the code of an adapter that reads pairs or labels in its own way; "" for one that does not."""
        ways = ("pair", "read", "read_labels", "read_boxes")
        same = all(getattr(type(self), way) is getattr(Dataset, way) for way in ways)
        return "" if same else code_hash(self.card)

    def content_hash(self, split: str) -> str:
        """SHA-256 over the hashes of all pairs of a split that are on disk, in order."""
        lines = (f"{i} {self.hash(split, i)}\n" for i in self.ids(split))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _both(self, split: str, id: str) -> tuple[Path, Path]:
        files = self.files(split, id)
        if files.ir and files.vis:
            return files.ir, files.vis
        if not (files.ir or files.vis):
            raise DataError(f"{self.name} {id}: no image of that name in split {split} under {self.root}")
        first, second = self.card.facts.sources
        role, word, have = ("ir", first, files.vis) if files.ir is None else ("vis", second, files.ir)
        folder = self._folder(split, id)
        tried = next(self.layout.folders(role, folder), self.layout.official(role, folder))
        raise DataError(f"{self.name} {id}: the {word} partner of {have} is missing: looked for {tried / id}.*")

    # ------------------------------------------------------------ reading

    def check_depth(self, split: str, ids: Sequence[str]) -> None:
        """Refuse infrared of more than 8 bits for which nobody states a range, before anything is read.

        Raises:
            DataError: it is such, with the levels found.
        """
        if self.reading.ir_range is None:
            folders = self.split(split).folders
            files = {i: path for f in reversed(folders) for i, path in self.layout.index("ir", f).items()}
            check_depth([files[i] for i in ids if i in files], self.reading)

    def pair(self, split: str, id: str) -> Sample:
        """The two images without labels.

        Raises:
            DataError: a partner is missing, a file is unreadable, or the sizes differ.
        """
        ir, vis = read_pair(*self._both(split, id), self.reading, f"{self.name} {id}: ")
        self.looks[split, id] = look(ir, vis)
        return Sample(id, split, *for_methods(ir, vis))

    def read(self, split: str, id: str) -> Sample:
        """The pair and its labels.

        Raises:
            DataError: as :meth:`pair`, and for a label that does not fit the image or the class list.
        """
        return self.read_labels(self.pair(split, id))

    def read_labels(self, sample: Sample) -> Sample:
        """Add the labels to a pair, in place."""
        files = self.files(sample.split, sample.id)
        if files.mask:
            sample.mask = read_mask(files.mask, len(self.classes), self.palette, self.ignore_index)
            self._same_size(sample, files.mask, sample.mask)
        if files.saliency:
            sample.saliency = read_saliency(files.saliency)
            self._same_size(sample, files.saliency, sample.saliency)
        if files.boxes:
            sample.boxes = self.read_boxes(files.boxes, (sample.ir.shape[2], sample.ir.shape[1]))
        return sample

    def _same_size(self, sample: Sample, path: Path, label: np.ndarray) -> None:
        if label.shape != sample.ir.shape[1:]:
            raise DataError(
                f"{self.name} {sample.id}: {path} is {size_text(label)}, its images are {size_text(sample.ir)} "
                "(height x width)"
            )

    def read_boxes(self, path: Path, size: tuple[int, int]) -> Boxes:
        """Objects from one annotation file of an image of this (width, height)."""
        if self.layout.voc:
            return read_voc(path, self.box_classes, self.card.facts.classes.box_aliases, size)
        return read_yolo(path, size, self.box_classes)

    # ------------------------------------------------------------ writing

    def write(self, sample: Sample, split: str) -> None:
        """Write a sample in the official layout under the root; images become PNG, so nothing is lost.

        Raises:
            DataError: when the id is there already under another suffix.
        """
        folder = self.split(split).folders[0]
        size = (sample.ir.shape[2], sample.ir.shape[1])
        for role in ROLES:
            value = getattr(sample, role)
            if value is None or not self.layout.has(role):
                continue
            path = self.layout.official(role, folder) / f"{sample.id}{self.layout.suffixes(role)[0]}"
            old = self.layout.index(role, folder).get(sample.id)
            if old is not None and old != path:
                raise DataError(f"{old}: {sample.id} is there already; write into an empty folder")
            if role == "boxes" and self.layout.voc:
                write_voc(path, value, size, self.box_classes, f"{sample.id}.png")
            elif role == "boxes":
                write_yolo(path, value, size)
            elif role in ("mask", "saliency"):
                write_mask(path, value)
            else:
                write_image(path, value)
            self.layout.index(role, folder)[sample.id] = path
