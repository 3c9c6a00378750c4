"""From a name and a folder to a dataset that is ready to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fusionbench.data.dataset import Dataset
from fusionbench.data.layout import children
from fusionbench.data.origin import read_origin
from fusionbench.errors import DataError
from fusionbench.naming import matches
from fusionbench.plugins.cards import DatasetCard, card, cards
from fusionbench.plugins.registry import resolve
from fusionbench.runtime import locations


def find_root(base: str | Path, entry: DatasetCard) -> Path | None:
    """A dataset's own folder under a data root.

    Args:
        base: a data root, or the dataset's folder itself.
        entry: the dataset's card.

    Returns:
        The first of the card's ``folders`` under ``base`` (in any case) that has the layout, else ``base`` if that
        has it, else None.
    """
    base = Path(base)
    named = [path for name in entry.facts.folders for path in children(base, name)]
    adapter: type[Dataset] = resolve("dataset", entry.name)
    return next((path for path in [*named, base] if adapter(path, entry).present()), None)


def open_dataset(name: str, base: str | Path, lists: Mapping[str, Path] | None = None, exact: bool = False) -> Dataset:
    """The dataset of this name under a data root, ready to read; `exact`: `base` may be its own folder.

    Raises:
        PluginError: no such dataset.
        DataError: nothing of it is there (the text says where it was looked for), or a generated tree is unfinished.
    """
    entry = card("dataset", name.strip())
    name = entry.name
    root = find_root(base, entry)
    names = {n.lower() for n in entry.facts.folders}
    if root == Path(base) and not exact and not entry.facts.generic and root.resolve().name.lower() not in names:
        root = None  # a data root that holds ir/ and vi/ itself fits every flat layout
    if root is not None:
        dataset: Dataset = resolve("dataset", name)(root, entry, lists)
        read_origin(root)  # refuses an unfinished tree, whatever is asked of the dataset
        return dataset
    expected: Dataset = resolve("dataset", name)(Path(base, *entry.facts.folders[:1]), entry)
    folder = expected.split(expected.splits()[-1]).folders[0]
    wanted = " and ".join(str(expected.layout.official(role, folder)) for role in ("ir", "vis"))
    raise DataError(f"{name}: not found under {base}: looked for {wanted}")


def data_root(given: Path | None) -> Path:
    """The folder that holds the datasets: the given one, else the one that the environment names, else ``data``."""
    return given or locations.current().data


def known_spec(spec: str) -> str:
    """``name`` or ``name=folder`` with the dataset's own name.

    Raises:
        PluginError: unknown dataset.
    """
    name, equals, text = spec.partition("=")
    known = cards("dataset")
    if not equals and Path(name).is_dir() and not matches(name, known, {n: (c.title,) for n, c in known.items()}):
        example = next(iter(known))
        raise DataError(f"{name}: a folder; name the dataset whose layout it has before it, such as {example}={name}")
    return card("dataset", name.strip()).name + equals + text


def open_spec(spec: str, root: Path | None) -> Dataset:
    """The dataset a user typed: ``name`` (looked for under the data root) or ``name=folder``.

    Raises:
        PluginError: unknown dataset.
        DataError: the folder is not there.
    """
    name, equals, text = known_spec(spec).partition("=")
    return open_dataset(name, Path(text) if equals else data_root(root), exact=bool(equals))
