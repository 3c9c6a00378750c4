"""From a name and a folder to a dataset that is ready to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionbench.data.dataset import Dataset
from fusionbench.data.layout import DEFAULT, children
from fusionbench.data.origin import read_origin
from fusionbench.data.pairing import Reading, holds, nested, role_patterns
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.naming import matches
from fusionbench.pixels.corruption import Corruption, corruption, corruptions
from fusionbench.pixels.names import listing
from fusionbench.plugins.cards import DatasetCard, card, cards
from fusionbench.plugins.registry import resolve
from fusionbench.runtime import locations


def find_root(base: str | Path, entry: DatasetCard, reading: Reading = DEFAULT) -> Path | None:
    """A dataset's own folder under a data root.

    Args:
        base: a data root, or the dataset's folder itself.
        entry: the dataset's card.
        reading: how its files are paired.

    Returns:
        The first of the card's ``folders`` under ``base`` (in any case) that has the layout, else ``base`` if that
        has it, else None.
    """
    base = Path(base)
    named = [path for name in entry.facts.folders for path in children(base, name)]
    adapter: type[Dataset] = resolve("dataset", entry.name)
    more = _reading(reading)
    return next((path for path in [*named, base] if adapter(path, entry, None, **more).present()), None)


def _reading(reading: Reading) -> dict[str, Reading]:
    """The reading as an argument, where it is not the usual one: a plugin's class need not know of it."""
    return {} if reading == DEFAULT else {"reading": reading}


def open_dataset(
    name: str,
    base: str | Path,
    lists: Mapping[str, Path] | None = None,
    exact: bool = False,
    reading: Reading = DEFAULT,
) -> Dataset:
    """The dataset of this name under a data root, ready to read.

    Args:
        name: of a card.
        base: the data root.
        lists: more splits, name to list file.
        exact: whether `base` may be the dataset's own folder.
        reading: how files are read and paired, where the card does not say it.

    Raises:
        PluginError: no such dataset.
        DataError: nothing of it is there (the text says where it was looked for), or a generated tree is unfinished.
    """
    entry = card("dataset", name.strip())
    name = entry.name
    root = find_root(base, entry, reading)
    names = {n.lower() for n in entry.facts.folders}
    if root == Path(base) and not exact and not entry.facts.generic and root.resolve().name.lower() not in names:
        root = None  # a data root that holds ir/ and vi/ itself fits every flat layout
    if root is not None:
        dataset: Dataset = resolve("dataset", name)(root, entry, lists, **_reading(reading))
        read_origin(root)  # refuses an unfinished tree, whatever is asked of the dataset
        return dataset
    own = Path(base, *entry.facts.folders[:1])
    expected: Dataset = resolve("dataset", name)(own, entry, None, **_reading(reading))
    folder = expected.split(expected.splits()[-1]).folders[0]
    wanted = " and ".join(str(expected.layout.official(role, folder)) for role in ("ir", "vis"))
    there = [path for role in ("ir", "vis") for path in expected.layout.folders(role, folder)]
    instead = _instead(Path(base), there, reading, exact)
    raise DataError(f"{name}: not found under {base}: looked for {wanted}{instead}")


def _instead(base: Path, there: list[Path], reading: Reading, exact: bool) -> str:
    """What lies where a dataset was looked for, for the end of a message; `exact` where that is the user's folder."""
    given = ", ".join(f"{role}={text}" for role, text in reading.patterns)
    under = f"; no name there fits the pattern {given}" if given else ""
    if there:
        deeper = "" if given or not all(map(nested, there)) else "; or pattern=ir=*/{id},vis=*/{id} goes into them"
        return "".join(f"; {path} {holds(path)}" for path in dict.fromkeys(there)) + deeper + under
    if not base.is_dir():
        return "; there is no such folder"
    pictures = [path.stem for path in listing(base)]
    if not given and (found := role_patterns(pictures)):
        text = ",".join(f"{role}={pattern}" for role, pattern in found.items())
        return f"; {base} {holds(base)}: names that say the role are paired with pattern={text}"
    return (f"; {base} {holds(base)}" if pictures or exact else "") + under


def data_root(given: Path | None) -> Path:
    """The folder that holds the datasets: the given one, else the one that the environment names, else ``data``."""
    return given or locations.current().data


def corrupted(spec: str, with_: Corruption) -> str:
    """A spec whose pairs are corrupted before methods get them: ``name+shift4=folder``.

    Raises:
        FusionbenchError: they are already.
    """
    name, equals, text = spec.partition("=")
    if "+" in name:
        raise FusionbenchError(f"{spec}: corrupted already; name the dataset itself")
    return f"{name}+{with_}{equals}{text}"


def corrupted_too(specs: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Each spec, followed by itself under every corruption that is asked for (``shift=1,2``).

    Raises:
        FusionbenchError: no such corruption.
    """
    how = [each for text in asked for each in corruptions(text)]
    return list(dict.fromkeys(more for spec in specs for more in (spec, *(corrupted(spec, each) for each in how))))


def known_spec(spec: str) -> str:
    """``name`` or ``name=folder``, with the corruption behind the name if there is one, with the dataset's own name.

    Raises:
        PluginError: unknown dataset.
        DataError: a folder without a dataset, or none behind the ``=``.
        FusionbenchError: unknown corruption.
    """
    name, equals, text = spec.partition("=")
    if equals and not text.strip():
        raise DataError(f"dataset {spec!r}: names no folder behind the =; write NAME=DIR")
    name, plus, how = name.partition("+")
    known = cards("dataset")
    if not equals and Path(name).is_dir() and not matches(name, known, {n: (c.title,) for n, c in known.items()}):
        example = next(iter(known))
        raise DataError(f"{name}: a folder; name the dataset whose layout it has before it, such as {example}={name}")
    return card("dataset", name.strip()).name + (f"+{corruption(how.strip())}" if plus else "") + equals + text


def open_spec(spec: str, root: Path | None, reading: Reading = DEFAULT) -> Dataset:
    """The dataset a user typed: ``name`` (looked for under the data root) or ``name=folder``, as :func:`known_spec`.

    Raises:
        PluginError: unknown dataset.
        DataError: the folder is not there.
        FusionbenchError: unknown corruption.
    """
    name, equals, text = known_spec(spec).partition("=")
    name, plus, how = name.partition("+")
    dataset = open_dataset(name, Path(text) if equals else data_root(root), exact=bool(equals), reading=reading)
    dataset.corruption = corruption(how) if plus else None
    return dataset
