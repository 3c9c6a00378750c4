"""Where the files of a split lie, reading them, and writing the same layout.

An adapter is a card and, where the card cannot say it, a subclass of :class:`Dataset`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.data.labels import (
    Boxes,
    read_mask,
    read_saliency,
    read_voc,
    read_yolo,
    write_mask,
    write_voc,
    write_yolo,
)
from fusionbench.data.layout import ROLES, Layout
from fusionbench.data.splits import Split, listed, read_list
from fusionbench.errors import DataError
from fusionbench.pixels.images import grey, read_image, write_image
from fusionbench.plugins.cards import Card, did_you_mean

ORIGIN = "fusionbench-origin.json"


@dataclass(frozen=True)
class Files:
    """Where the parts of one sample lie; None for what is not there."""

    ir: Path | None
    vis: Path | None
    mask: Path | None = None
    boxes: Path | None = None
    saliency: Path | None = None


@dataclass
class Sample:
    """One aligned pair and its labels.

    Attributes:
        id: the file stem.
        split: the split it was read from.
        ir: uint8 ``[1,H,W]``.
        vis: uint8 ``[3,H,W]``.
        mask: uint8 ``[H,W]`` class ids, or None.
        boxes: objects, or None when there is no annotation file (no objects is an empty :class:`Boxes`).
        saliency: uint8 ``[H,W]``, 0 or 255, or None.
    """

    id: str
    split: str
    ir: np.ndarray
    vis: np.ndarray
    mask: np.ndarray | None = None
    boxes: Boxes | None = None
    saliency: np.ndarray | None = None


class Dataset:
    """An image pair dataset in its official layout.

    Args:
        root: the dataset's own folder.
        card: its card.
        lists: more splits, name to list file.
    """

    def __init__(self, root: str | Path, card: Card, lists: Mapping[str, Path] | None = None) -> None:
        self.root = Path(root)
        self.card = card
        self.lists = {name: Path(path) for name, path in (lists or {}).items()}
        self._splits: dict[str, Split] = {}
        self.layout = Layout(self.root, card)

    # ------------------------------------------------------------ what the card says

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What a generated tree says of itself (generator, seed, counts), so that it never passes for the real set."""
        path = self.root / ORIGIN
        if not path.is_file():
            return {}
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            return {**facts, "generator": facts["generator"]}
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: damaged; the tree is generated, make it again: fusionbench data synth") from None

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.card.name

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Segmentation classes by id, or ()."""
        return tuple(self.card.data.get("classes", {}).get("segmentation", ()))

    @cached_property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """Colour of each segmentation class, or ()."""
        return tuple(tuple(c) for c in self.card.data.get("classes", {}).get("palette", ()))

    @cached_property
    def box_classes(self) -> tuple[str, ...]:
        """Detection classes by index, or ()."""
        return tuple(self.card.data.get("classes", {}).get("boxes", ()))

    @property
    def ignore_index(self) -> int | None:
        """Mask id that is not scored, or None."""
        return self.card.data.get("ignore_index")

    @property
    def task_classes(self) -> dict[str, tuple[str, ...]]:
        """Classes of the tasks this dataset has labels for: ``seg``, ``det``, ``sod``."""
        every = {"seg": self.classes, "det": self.box_classes}
        if "saliency" in self.card.data["layout"]:
            every["sod"] = ("background", "salient")
        return {task: names for task, names in every.items() if names}

    def task_splits(self, label: str) -> tuple[str, str]:
        """Names of the splits to train and to test on with a label (``mask``, ``boxes``, ``saliency``)."""
        own = {} if self.origin else self.card.data.get("tasks", {}).get(label, {})
        protocols = self.card.data.get("protocols", {})
        test = next((p["split"] for p in protocols.values()), "test")
        return own.get("train", "train"), own.get("test", test)

    def condition(self, split: str, id: str) -> str:
        """When a pair was taken, ``day`` or ``night`` (a generated tree's dusk is night, its fog day); else ""."""
        if self.origin:
            found = self.origin.get("conditions", {}).get(split, {}).get(id, "")
            return found and ("night" if found in ("dusk", "night") else "day")
        return self.card.data.get("conditions", {}).get(id[-1:], "")

    # ------------------------------------------------------------ splits

    def add_list(self, given: str) -> str:
        """A split name for what a user gave: a split's name, or the path of a list file.

        A list gets a name of its stem and its ids' hash, so that no path of a machine stands in results.
        """
        if given in self.splits() or not ("/" in given or given.endswith(".txt")):
            return given
        spec = listed(Path(given).stem, read_list(Path(given)), "", ())
        name = f"{spec.name}-{spec.sha256[:8]}"
        self.lists[name] = Path(given)
        return name

    def splits(self) -> list[str]:
        """Names of the declared splits, then of the lists given by the user."""
        return [*self._declared, *self.lists]

    @cached_property
    def _declared(self) -> dict[str, dict[str, Any]]:
        return {entry["name"]: entry for entry in self.card.data.get("splits", ())}

    @property
    def listed_on_card(self) -> list[str]:
        """Declared splits whose folder is described by lists alone."""
        free = {e.get("folder", n) for n, e in self._declared.items() if "file" not in e}
        return [n for n, e in self._declared.items() if "file" in e and e.get("folder", n) not in free]

    def split(self, name: str) -> Split:
        """A split by name, or by the path of a list file.

        Raises:
            DataError: unknown name or unusable list.
        """
        if name not in self._splits:
            self._splits[name] = self._make_split(name)
        return self._splits[name]

    def _make_split(self, name: str) -> Split:
        folders = tuple(dict.fromkeys(e.get("folder", n) for n, e in self._declared.items())) or (name,)
        if name in self.lists or (name not in self._declared and ("/" in name or name.endswith(".txt"))):
            path = self.lists.get(name, Path(name))
            return listed(name, read_list(path), f"list file {path.name}", folders)
        if name not in self._declared:
            raise DataError(
                f"{self.name} has no split {name!r}; {did_you_mean(name, self.splits())}, or give a list file"
            )
        entry = self._declared[name]
        source, folders = entry.get("source", ""), (entry.get("folder", name),)
        if "file" in entry:
            return listed(name, read_list(self.card.path.parent / "splits" / entry["file"]), source, folders)
        return Split(name, None, entry.get("count"), "", source, folders)

    def ids(self, split: str) -> list[str]:
        """Ids on disk, in the list's order, else sorted. One file of the pair is enough to be counted."""
        spec = self.split(split)
        seen = {i for folder in spec.folders for role in ("ir", "vis") for i in self.layout.index(role, folder)}
        return sorted(seen) if spec.ids is None else [i for i in spec.ids if i in seen]

    def missing(self, split: str) -> list[str]:
        """Listed ids of which no image is there."""
        here = set(self.ids(split))
        return [i for i in self.split(split).ids or () if i not in here]

    # ------------------------------------------------------------ files

    def present(self) -> bool:
        """Whether there is at least one infrared and one visible folder with images in it."""
        folders = dict.fromkeys(e.get("folder", n) for n, e in self._declared.items())
        return any(self.layout.index("ir", f) and self.layout.index("vis", f) for f in folders)

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
        """SHA-256 over the raw bytes of the infrared file, then the visible file."""
        files = self._both(split, id)
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.read_bytes())
        return digest.hexdigest()

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
        role, word, have = ("ir", "infrared", files.vis) if files.ir is None else ("vis", "visible", files.ir)
        folder = self._folder(split, id)
        tried = next(self.layout.folders(role, folder), self.layout.official(role, folder))
        raise DataError(f"{self.name} {id}: the {word} partner of {have} is missing: looked for {tried / id}.*")

    # ------------------------------------------------------------ reading

    def pair(self, split: str, id: str) -> Sample:
        """The two images without labels.

        Raises:
            DataError: a partner is missing, a file is unreadable, or the sizes differ.
        """
        ir_path, vis_path = self._both(split, id)
        ir, vis = grey(read_image(ir_path)), read_image(vis_path)
        if ir.shape[1:] != vis.shape[1:]:
            raise DataError(
                f"{self.name} {id}: sizes differ: {ir_path} is {_size(ir)}, {vis_path} is {_size(vis)}; "
                "a pair must be aligned pixel by pixel"
            )
        return Sample(id, split, ir, vis if vis.shape[0] == 3 else np.repeat(vis, 3, 0))

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
            raise DataError(f"{self.name} {sample.id}: {path} is {_size(label)}, its images are {_size(sample.ir)}")

    def read_boxes(self, path: Path, size: tuple[int, int]) -> Boxes:
        """Objects from one annotation file of an image of this (width, height)."""
        if self.layout.voc:
            return read_voc(path, self.box_classes, self.card.data["classes"].get("box_aliases"))
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


def _size(array: np.ndarray) -> str:
    return f"{array.shape[-1]}x{array.shape[-2]}"
