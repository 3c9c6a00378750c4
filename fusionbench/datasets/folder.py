"""Any folder of aligned pairs, with their labels if there are any.

Files are paired by name without suffix, so ``ir/1.png`` belongs to ``vis/1.jpg``. Labels lie beside them, named alike:
``mask/1.png`` and ``boxes/1.txt`` (or ``1.xml``), each folder with its ``classes.txt``, and ``saliency/1.png``. One
with ``train/`` and ``test/`` has these splits, each with the folders above; in one without, ``train.txt`` and
``test.txt`` list them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from fusionbench.data import Dataset
from fusionbench.data.layout import DEFAULT, children
from fusionbench.data.pairing import Reading
from fusionbench.errors import DataError
from fusionbench.plugins.cards import DatasetCard
from fusionbench.plugins.records import ClassFacts, DatasetFacts, SplitFacts, TaskSplits
from fusionbench.runtime.files import decoded, read_regular

SPLITS = ("train", "val", "test")
CLASSES = ("classes.txt", "labelmap.txt")  # labelImg's and CVAT's names
LABELS = {"mask": ("mask", "masks"), "boxes": ("boxes",), "saliency": ("saliency",)}
MAX_BYTES = 1 << 20  # of a list of classes
_COLOUR = re.compile(r"(.+?)\s*:\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?")
Palette = tuple[tuple[int, int, int], ...]


class Folder(Dataset):
    """Pairs from two folders, and what lies beside them."""

    def __init__(
        self,
        root: str | Path,
        card: DatasetCard,
        lists: Mapping[str, Path] | None = None,
        reading: Reading = DEFAULT,
    ) -> None:
        facts = with_labels(Path(root), with_splits(Path(root), card.facts))
        super().__init__(root, replace(card, facts=facts), lists, reading)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the masks by id, or () without masks.

        Raises:
            DataError: there are masks, but nothing says what their ids mean.
        """
        return self._named("mask", super().classes)

    @property
    def box_classes(self) -> tuple[str, ...]:
        """Classes of the boxes by id, or () without boxes.

        Raises:
            DataError: there are boxes, but nothing says what their numbers mean.
        """
        return self._named("boxes", super().box_classes)

    def _named(self, role: str, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.layout.has(role) and not names:
            folder = self.layout.official(role, self._splits.folders[0])
            raise DataError(
                f"{folder / CLASSES[0]}: missing; write the names of the classes there, one a line, the first for id 0"
            )
        return names


def with_splits(root: Path, facts: DatasetFacts) -> DatasetFacts:
    """The card's facts with the splits of this folder."""
    folders = {name: found[0] for name in SPLITS if (found := children(root, name))}
    if any(children(folder, "ir") or children(folder, "infrared") for folder in folders.values()):
        layout = {role: tuple(f"{{split}}/{t}" for t in _several(facts.layout[role])) for role in ("ir", "vis")}
        splits = tuple(SplitFacts(name=name, source=f"the folder {folder.name}") for name, folder in folders.items())
        tested = "test" if "test" in folders else next(iter(folders))
        protocols = {n: msgspec.structs.replace(p, split=tested) for n, p in facts.protocols.items()}
        return msgspec.structs.replace(facts, layout=layout, splits=splits, protocols=protocols)
    lists = {name: root / f"{name}.txt" for name in SPLITS if (root / f"{name}.txt").is_file()}
    listed = (SplitFacts(name=n, folder="all", file=str(p.resolve()), source=p.name) for n, p in lists.items())
    tasks = dict.fromkeys(LABELS, TaskSplits(train="train", test="test")) if "test" in lists else {}
    return msgspec.structs.replace(facts, splits=(*facts.splits, *listed), tasks=tasks)


def with_labels(root: Path, facts: DatasetFacts) -> DatasetFacts:
    """The card's facts with the labels that lie in this folder, their classes and format."""
    above = "{split}/" if any("{split}" in t for t in _several(facts.layout["ir"])) else ""
    splits = [found[0] for s in facts.splits if (found := children(root, s.name))] if above else [root]
    layout, homes = dict(facts.layout), {}
    for role, names in LABELS.items():
        for name in names:
            if found := [folder for split in splits for folder in children(split, name)]:
                layout[role], homes[role] = f"{above}{name}", [*found, *splits, root]
                break
    masks, palette = _classes(homes.get("mask", []))
    boxes, _ = _classes(homes.get("boxes", []))
    voc = any(next(folder.glob("*.[xX][mM][lL]"), None) for folder in homes.get("boxes", [])[:1])
    return msgspec.structs.replace(
        facts,
        layout=layout,
        classes=ClassFacts(segmentation=masks, palette=palette, boxes=boxes),
        ignore_index=255 if masks and len(masks) != 2 else None,  # with two classes 255 is the object
        box_format="voc" if voc else "yolo",
    )


def _several(templates: str | tuple[str, ...]) -> tuple[str, ...]:
    return (templates,) if isinstance(templates, str) else templates


def _classes(folders: list[Path]) -> tuple[tuple[str, ...], Palette]:
    """Names and, where each has one, colours from the first list of classes.

    A line is ``name``, or ``name:red,green,blue`` with more behind a colon (CVAT's labelmap.txt).

    Raises:
        DataError: a list that is no text or names a class twice.
    """
    path = next((folder / name for folder in folders for name in CLASSES if (folder / name).is_file()), None)
    if path is None:
        return (), ()
    try:
        lines = [line.strip() for line in decoded(read_regular(path, "the classes", MAX_BYTES)).splitlines()]
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{path}: cannot be read as text; save it as UTF-8") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    found = [_COLOUR.fullmatch(line) for line in lines]
    names = tuple(match[1] if match else line.rstrip(":").strip() for match, line in zip(found, lines, strict=True))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}: names {twice!r} twice; a class has one line")
    colours = [(int(m[2]), int(m[3]), int(m[4])) for m in found if m]
    if any(max(colour) > 255 for colour in colours) or len(set(colours)) < len(colours):
        raise DataError(f"{path}: colours have three levels of 0 to 255, another one for each class")
    return names, tuple(colours) if len(colours) == len(names) else ()
