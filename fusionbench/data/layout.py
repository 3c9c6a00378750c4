"""Folder layouts: from a card's ``[layout]`` and a root to the files of each role, by id.

Templates give a folder per role, with ``{split}`` for the split's folder. Other spellings of folder names that are
in circulation, and other cases, are tolerated here for all datasets alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fusionbench.errors import PluginError
from fusionbench.pixels.images import SUFFIXES
from fusionbench.plugins.cards import Card

ROLES = ("ir", "vis", "mask", "boxes", "saliency")
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
            ``voc``) and ``skip`` (stems that are no samples).
    """

    def __init__(self, root: Path, card: Card) -> None:
        if not {"ir", "vis"} <= set(card.data.get("layout", ())):
            raise PluginError(f"{card.path}: a dataset card needs [layout] with ir and vis")
        self.root = root
        self._templates = {k: (v,) if isinstance(v, str) else tuple(v) for k, v in card.data["layout"].items()}
        self._split_folders = card.data.get("split_folders", {})
        self._skip = frozenset(card.data.get("skip", ()))
        self.voc = card.data.get("box_format") == "voc"
        self._indices: dict[tuple[str, str], dict[str, Path]] = {}

    def has(self, role: str) -> bool:
        """Whether the dataset has this role at all."""
        return role in self._templates

    def suffixes(self, role: str) -> tuple[str, ...]:
        """File suffixes of a role."""
        return ((".xml",) if self.voc else (".txt",)) if role == "boxes" else SUFFIXES

    def _names(self, folder: str) -> list[str]:
        names = self._split_folders.get(folder, folder)
        return [names] if isinstance(names, str) else list(names)

    def official(self, role: str, folder: str) -> Path:
        """Where the official layout puts a role's files."""
        return self.root / self._templates[role][0].replace("{split}", self._names(folder)[0])

    def folders(self, role: str, folder: str) -> Iterator[Path]:
        """Existing folders that may hold a role's files, the official spelling first."""
        for template in self._templates.get(role, ()):
            found = [self.root]
            for part in template.split("/"):
                wanted = [part]
                if part == "{split}":
                    wanted = [*self._names(folder), folder]
                elif part.lower() in SPELLINGS[role]:
                    wanted += SPELLINGS[role]
                found = list(dict.fromkeys(p for f in found for name in wanted for p in children(f, name)))
            yield from found

    def index(self, role: str, folder: str) -> dict[str, Path]:
        """Files of a role by id, from the first folder that has any.

        An id is the stem of the visible file; a partner whose name differs in case alone is taken under it.
        """
        key = (role, folder)
        if key not in self._indices:
            found = self._scan(role, folder)
            if role != "vis":
                names = self.index("vis", folder)
                spelt = {name.lower(): name for name in names if name not in found}
                found = {stem if stem in names else spelt.get(stem.lower(), stem): p for stem, p in found.items()}
            self._indices[key] = found
        return self._indices[key]

    def _scan(self, role: str, folder: str) -> dict[str, Path]:
        suffixes = self.suffixes(role)
        for path in self.folders(role, folder):
            files = [p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".")]
            if files:
                # where two files carry one name, .png wins over .jpg
                files.sort(key=lambda p: (suffixes.index(p.suffix.lower()), p.name), reverse=True)
                return {p.stem: p for p in files if p.stem not in self._skip}
        return {}


def children(folder: Path, name: str) -> list[Path]:
    """The sub-folder of this name, the exact spelling before other cases; the folder itself for ``""``."""
    if not name:
        return [folder]
    try:
        found = [p for p in folder.iterdir() if p.name.lower() == name.lower() and p.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda p: (p.name != name, p.name))
