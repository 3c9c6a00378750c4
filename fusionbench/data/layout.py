"""Folder layouts: from a card's ``[layout]`` and a root to the files of each role, by id.

Templates give a folder per role, with ``{split}`` for the split's folder. Other spellings of folder names that are
in circulation, and other cases, are tolerated here for all datasets alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fusionbench.data.pairing import Pattern, Reading, by_order, partners, shown
from fusionbench.errors import PluginError
from fusionbench.pixels.names import SUFFIXES, natural
from fusionbench.plugins.cards import DatasetCard

ROLES = ("ir", "vis", "mask", "boxes", "saliency")
DEFAULT = Reading()
_LABELS = ("label", "labels", "gt", "annotation", "annotations")
SPELLINGS = {
    "ir": ("ir", "infrared", "t", "t_gray", "thermal"),
    "vis": ("vi", "vis", "visible", "rgb"),
    "mask": ("segmentation_labels", *_LABELS, "mask", "masks"),
    "boxes": ("detection_labels", *_LABELS),
    "saliency": ("gt", "label", "labels", "mask", "masks"),
}


class Layout:
    """Finds the files of a dataset.

    Args:
        root: the dataset's own folder.
        card: its card: ``[layout]`` (a template or a list of them per role, the official one first),
            ``[split_folders]`` (split to folder name or names, the official one first), ``box_format`` (``yolo`` or
            ``voc``), ``skip`` (stems that are no samples) and ``generic``.
        reading: how files are paired; layouts of other cards than generic ones are official and pair by name.

    Attributes:
        notes: pairings to be shown before they are used, a line each.
    """

    def __init__(self, root: Path, card: DatasetCard, reading: Reading = DEFAULT) -> None:
        facts = card.facts
        if not {"ir", "vis"} <= set(facts.layout):
            raise PluginError(f"{card.path}: a dataset card needs [layout] with ir and vis")
        self.root = root
        self.voc = facts.box_format == "voc"
        self._templates = {role: _several(templates) for role, templates in facts.layout.items()}
        self._split_folders = {split: _several(names) for split, names in facts.split_folders.items()}
        self._skip = frozenset(facts.skip)
        self._reading = reading if facts.generic else DEFAULT
        self.notes: list[str] = []
        self._indices: dict[tuple[str, str], dict[str, Path]] = {}

    def has(self, role: str) -> bool:
        """Whether the dataset has this role at all."""
        return role in self._templates

    def suffixes(self, role: str) -> tuple[str, ...]:
        """File suffixes of a role."""
        return ((".xml",) if self.voc else (".txt",)) if role == "boxes" else SUFFIXES

    def _names(self, folder: str) -> tuple[str, ...]:
        return self._split_folders.get(folder, (folder,))

    def official(self, role: str, folder: str) -> Path:
        """Where the official layout puts a role's files."""
        return self.root / self._templates[role][0].replace("{split}", self._names(folder)[0])

    def folders(self, role: str, folder: str) -> Iterator[Path]:
        """Existing folders that may hold a role's files, the official spelling first."""
        for template in self._templates.get(role, ()):
            level = [self.root]
            for part in template.split("/"):
                names = [part]
                if part == "{split}":
                    names = [*self._names(folder), folder]
                elif part.lower() in SPELLINGS[role]:
                    names += SPELLINGS[role]
                level = list(dict.fromkeys(p for above in level for name in names for p in children(above, name)))
            yield from level

    def index(self, role: str, folder: str) -> dict[str, Path]:
        """Files of a role by id, from the first folder that has any.

        An id is the stem of the visible file, in composed Unicode; a partner whose name differs in case alone is taken
        under it.

        Raises:
            DataError: the names do not fit the pattern, or there are not as many as there are to be paired by order.
        """
        key = (role, folder)
        if key not in self._indices:
            files = self._scan(role, folder)
            if role != "vis":
                names = self.index("vis", folder)
                files = partners(names, files)
                if role == "ir" and self._reading.match == "order" and files.keys() != names.keys():
                    files = self._ordered(names, files)
            self._indices[key] = files
        return self._indices[key]

    def _ordered(self, names: dict[str, Path], files: dict[str, Path]) -> dict[str, Path]:
        """Infrared files that do not pair by name, in the order of the visible ones."""
        if not (names and files):
            return files
        where = next(iter(files.values())).parent
        paired = by_order(sorted(names, key=natural), files, "visible ones", where)
        self.notes.append(f"paired by order: {shown({names[i].name: path for i, path in paired.items()})}")
        return paired

    def _scan(self, role: str, folder: str) -> dict[str, Path]:
        suffixes = self.suffixes(role)
        wanted = self._reading.pattern(role)
        places = list(self.folders(role, folder))
        if wanted or self._reading.rgbt4:
            places += [*children(self.root, "images"), self.root]
        for path in places:
            if files := (wanted or Pattern()).find(path, suffixes):
                return {stem: p for stem, p in files.items() if stem not in self._skip}
        return {}


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def children(folder: Path, name: str) -> list[Path]:
    """The sub-folder of this name, the exact spelling before other cases; the folder itself for ``""``."""
    if not name:
        return [folder]
    try:
        folders = [p for p in folder.iterdir() if p.name.lower() == name.lower() and p.is_dir()]
    except OSError:
        return []
    return sorted(folders, key=lambda p: (p.name != name, p.name))
