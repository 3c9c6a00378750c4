"""Where the pictures of other programs lie for each dataset, and what fits no pair, said once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.commas import parted
from fusionbench.data.pairing import Pattern, Reading, by_order, holds, nearest, partners, proposed, shown
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.entries import RELEASED, Entry
from fusionbench.pixels.names import hidden, listing, nfc
from fusionbench.plugins.cards import MethodCard, cards

if TYPE_CHECKING:
    from fusionbench.evaluation.source import Source

Names = Mapping[str, Collection[str]]  # dataset's label to the names that its folder may have


def from_folder(spec: str, rule: str = RELEASED) -> Entry:
    """The entry for ``NAME=DIR``: images that another program made; the name may stand as tables print it.

    Raises:
        FusionbenchError: not of that form, or no such folder.
    """
    name, _, text = parted(spec)
    if not (name and text):
        raise FusionbenchError(f"images={spec}: write NAME=DIR")
    if not Path(text).is_dir():
        raise FusionbenchError(f"images={spec}: no such folder {text}")
    return pictures_in(name, Path(text), rule)


def pictures_in(name: str, folder: Path, rule: str = RELEASED) -> Entry:
    """The entry for pictures that another program made, under a name of the user's."""
    for entry in cards("method").values():
        if entry.facts.precomputed:
            name = without_method(entry, name)
            return Entry(entry, {"name": name, "dir": str(folder.resolve())}, None, rule)
    raise PluginError("no plugin reads folders of images")


def without_method(entry: MethodCard, name: str) -> str:
    """``Ours`` for ``images[Ours]``."""
    return name[len(entry.name) + 1 : -1] if name.startswith(f"{entry.name}[") and name.endswith("]") else name


def subfolders(folder: Path) -> dict[str, Path]:
    """The folders in a folder by name."""
    return {nfc(p.name): p for p in sorted(folder.iterdir()) if p.is_dir() and not hidden(p.name)}


def picture_tree(root: Path, datasets: Names) -> dict[str, dict[str, Path]]:
    """A tree of pictures METHOD/DATASET or DATASET/METHOD, also with the split's folder below.

    Args:
        root: the folder of the tree.
        datasets: by label. Where there is one, a METHOD folder may hold its pictures itself.

    Returns:
        Method to label to folder.

    Raises:
        FusionbenchError: no such folder, or none in it that fits.
    """
    if not root.is_dir():
        raise FusionbenchError(f"images_root={root}: no such folder")
    above = {name: label for name in subfolders(root) if (label := _label(name, datasets))}
    methods: dict[str, dict[str, Path]] = {}
    if above:
        for name, label in above.items():
            for method, path in subfolders(root / name).items():
                methods.setdefault(method, {})[label] = path
    else:
        for method, path in subfolders(root).items():
            if found := folders_in(path, datasets):
                methods[method] = found
    if not methods:
        wanted = " or ".join(next(iter(names)) for names in datasets.values())
        raise FusionbenchError(f"images_root={root}: no folder METHOD/{wanted} in it; {root} {holds(root)}")
    return methods


def _label(name: str, datasets: Names) -> str | None:
    return next((label for label, names in datasets.items() if name.lower() in {n.lower() for n in names}), None)


def folders_in(folder: Path, datasets: Names) -> dict[str, Path]:
    """Label to the folder below this one that is named like the dataset, or this one where it is the only one."""
    found: dict[str, Path] = {}
    for name, path in subfolders(folder).items():
        if label := _label(name, datasets):
            found.setdefault(label, path)
    if not found and len(datasets) == 1 and listing(folder):
        found = dict.fromkeys(datasets, folder)
    return found


def names_of(source: Source) -> tuple[str, ...]:
    """What a dataset's folder may be called, the most likely name first."""
    card, own = source.dataset.card, source.dataset.root.resolve().name
    names = (own, source.label) if card.facts.generic else (card.name, *card.facts.folders, source.label)
    return tuple(dict.fromkeys(names))


class Placing:
    """Finds the pictures of entries for the sources of a plan.

    Args:
        sources: the sources.
        reading: pattern and matching that the user gave.

    Attributes:
        notes: what the user should know before the run, a line each.
        absent: (entry id, source label) of entries that have no pictures of a source, as they have no folder for it.
    """

    def __init__(self, sources: Sequence[Source], reading: Reading) -> None:
        self.sources, self.reading = sources, reading
        self.pattern = reading.pattern("fused") or Pattern()
        self.notes: list[str] = []
        self.absent: set[tuple[str, str]] = set()

    @property
    def datasets(self) -> Names:
        """Names of the sources' folders by label."""
        return {source.label: names_of(source) for source in self.sources}

    def place(self, entry: Entry, folders: Mapping[str, Path] | None = None) -> Entry:
        """The entry with its places.

        Args:
            entry: pictures of another program, in one folder.
            folders: the folder for each dataset where it is not that one.

        Raises:
            FusionbenchError: no picture fits any pair.
        """
        base = Path(str(entry.options["dir"]))
        if folders is None and not listing(base):
            folders = folders_in(base, self.datasets)
        places: dict[str, dict[str, object]] = {}
        unfit: list[str] = []
        for source in self.sources:
            if source.dataset.corruption:  # they were made of the good pairs
                self.absent.add((entry.id, source.label))
                continue
            if folders and source.label not in folders:
                self.absent.add((entry.id, source.label))
                continue
            folder = (folders or {}).get(source.label, base)
            if not listing(folder) and (below := _of_split(folder, source)):
                folder = below
            files, problem = self._fitting(entry, source, folder)
            unfit += [problem] if problem else []
            places[source.label] = {"dir": str(folder), **({"files": files} if files else {})}
        if unfit and len(unfit) == len(places):
            raise FusionbenchError(unfit[0])
        self.notes += [f"warning: {problem}" for problem in unfit]
        options = {**entry.options, "places": json.dumps(places), "pattern": self.pattern.text}
        return replace(entry, options=options)

    def lacking(self) -> list[str]:
        """A line for each source of which entries have no pictures."""
        lines = []
        for source in self.sources:
            names = sorted(entry for entry, label in self.absent if label == source.label)
            if names:
                shown_names = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                lines.append(f"warning: {source.label}: no folder for it of {len(names)} names ({shown_names})")
        return lines

    def _fitting(self, entry: Entry, source: Source, folder: Path) -> tuple[dict[str, str], str]:
        """Files that are paired by order, and what is wrong where no picture fits."""
        found = self.pattern.find(folder)
        index = partners(source.ids, found)
        missing = [i for i in source.ids if i not in index]
        if missing and self.reading.match == "order" and found:
            paired = by_order(
                source.dataset.ids(source.split), found, f"images of {source.label} {source.split}", folder
            )
            self.notes.append(f"{entry.id} on {source.label}, paired by order: {shown(paired)}")
            return {ident: str(path) for ident, path in paired.items()}, ""
        where = f"{entry.id} on {source.label}"
        if len(missing) == len(source.ids):
            return {}, f"{where}: {self._remedy(source, folder, found)}"
        if missing:
            near = nearest(missing[0], set(found) - set(source.ids))
            self.notes.append(
                f"warning: {where}: {len(missing)} of {len(source.ids)} pairs have no picture in {folder}, "
                f"first {missing[0]}{near}"
            )
        return {}, ""

    def _remedy(self, source: Source, folder: Path, found: Mapping[str, Path]) -> str:
        """What a folder without a fitting picture holds, and what to do."""
        ids, source_ids = source.ids, source.dataset.ids(source.split)
        text = f"no picture is named like a pair ({ids[0]}, ...); {folder} {holds(folder)}"
        stems = [path.stem for path in listing(folder)]
        as_many = len(found) == len(source_ids)
        if pattern := proposed(ids, stems):
            fit = len(Pattern(pattern).find(folder).keys() & set(ids))
            if fit == len(ids):
                return f"{text}; these names fit with pattern=fused={pattern}"
            order = "; match=order pairs them by order, as they are as many" if as_many else ""
            return f"{text}; pattern=fused={pattern} fits {fit} of {len(ids)}{order}"
        if stems and as_many:
            return f"{text}; they are as many: if they are in the order of the pairs, match=order pairs them"
        return f"{text}{nearest(ids[0], stems)}"


def _of_split(folder: Path, source: Source) -> Path | None:
    """A folder named like the split, in a folder of pictures that has none itself."""
    wanted = {name.lower() for name in (source.split, *source.dataset.split(source.split).folders)}
    return next((path for name, path in subfolders(folder).items() if name.lower() in wanted), None)


def tree_notes(root: Path, methods: Iterable[str]) -> list[str]:
    """Folders of a tree that fit no dataset of the run."""
    left = sorted(set(subfolders(root)) - set(methods))
    return [f"warning: {root}: no pictures of these datasets in {', '.join(left)}; left out"] if left else []
