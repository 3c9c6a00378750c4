"""Cards: the data beside every plugin's code, and where they are found.

A plugin folder is a package named by an entry point of the group ``fusionbench.plugins``, or a directory among
:attr:`fusionbench.runtime.locations.Locations.plugins`. Reading cards imports no plugin code.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Generic, Literal, TypeVar, overload

from fusionbench.errors import PluginError, find
from fusionbench.errors import did_you_mean as did_you_mean
from fusionbench.plugins.records import COLOURS as COLOURS
from fusionbench.plugins.records import (
    FACTS,
    DatasetFacts,
    Facts,
    Kind,
    MethodFacts,
    MetricFacts,
    Option,
    ProfileFacts,
    TaskFacts,
    Value,
)
from fusionbench.runtime import locations
from fusionbench.runtime.decoding import decode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("method", "metric", "dataset", "task")
GROUP = "fusionbench.plugins"
IN_FOLDER = "card.toml"
PROFILES = "profiles.toml"
OUTSIDE = "fusionbench_plugins_"  # start of the package name of a plugin folder that is in no package
F = TypeVar("F", bound=Facts, covariant=True)


@dataclass(frozen=True)
class Card(Generic[F]):
    """One plugin's metadata and where it lies.

    A plugin in a file has its card beside it, a plugin in a folder inside.

    Attributes:
        facts: everything the file says, as the record of its kind.
        path: the card file.
        module: dotted name of the module that holds the code; outside a package, a name made from the folder.
        source: the ``.py`` file behind it (the package's ``__init__.py`` for a folder plugin).
        data: the file as it was read, for those who print it.
    """

    facts: F
    path: Path
    module: str
    source: Path
    data: Mapping[str, object] = field(repr=False, compare=False)

    @property
    def kind(self) -> Kind:
        """``method``, ``metric``, ``dataset`` or ``task``."""
        return self.facts.kind

    @property
    def name(self) -> str:
        """The name users type."""
        return self.facts.name

    @property
    def title(self) -> str:
        """The name as printed in tables."""
        return self.facts.title

    @property
    def summary(self) -> str:
        """One line."""
        return self.facts.summary

    @property
    def version(self) -> str:
        """Changed when numbers may change."""
        return self.facts.version

    @property
    def options(self) -> dict[str, Option]:
        """By name."""
        return self.facts.options

    @property
    def folder(self) -> Path:
        """The plugin folder that holds it."""
        return self.path.parent.parent if self.path.name == IN_FOLDER else self.path.parent

    @property
    def defaults(self) -> dict[str, Value]:
        """Option name to default value."""
        return {name: option.default for name, option in self.options.items()}


MethodCard = Card[MethodFacts]
MetricCard = Card[MetricFacts]
DatasetCard = Card[DatasetFacts]
TaskCard = Card[TaskFacts]


def read(path: Path, package: str | None) -> Card[Facts]:
    """Read one card file.

    Args:
        path: ``NAME.toml`` beside ``NAME.py``, or ``NAME/card.toml``.
        package: dotted name of the plugin folder, or None for a folder outside any package.

    Raises:
        PluginError: when the file is not TOML, lacks a key, or has no code beside it.
    """
    data = _toml(path)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in FACTS:
        raise PluginError(f"{path}: kind {kind!r} is none of {', '.join(KINDS)}")
    facts = decode(FACTS[kind], data, path, PluginError, "the card")
    folder = path.parent
    if path.name == IN_FOLDER:
        stem, source = folder.name, folder / "__init__.py"
    else:
        stem = facts.module or path.stem
        source = folder / f"{stem}.py"
    if not source.is_file():
        raise PluginError(f"{path}: no code beside the card: {source} does not exist")
    outer = folder.parent if path.name == IN_FOLDER else folder
    prefix = package or OUTSIDE + hashlib.sha256(str(outer.resolve()).encode()).hexdigest()[:12]
    return Card(facts, path, f"{prefix}.{stem}", source, data)


def _toml(path: Path) -> dict[str, object]:
    try:
        data: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"{path}: not a readable TOML card: {error}") from None
    return data


def folders(further: tuple[Path, ...]) -> list[tuple[Path, str | None]]:
    """All plugin folders as (directory, package name or None), ours first, then ``further`` ones outside any package.

    Raises:
        PluginError: for an entry point or directory that does not exist.
    """
    every: list[tuple[Path, str | None]] = []
    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=lambda p: (not p.value.startswith("fusionbench."), p.value)):
        try:
            spec = importlib.util.find_spec(point.value)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(f"entry point {point.name} = {point.value}: no such package; reinstall or uninstall it")
        every.append((Path(next(iter(spec.submodule_search_locations))), point.value))
    for path in further:
        if not path.is_dir():
            raise PluginError(f"{path}: no such plugin folder (given with plugins= or FUSIONBENCH_PLUGINS)")
        every.append((path, None))
    return list(dict.fromkeys(every))


@lru_cache(maxsize=1)
def _all(further: tuple[Path, ...]) -> dict[tuple[str, str], Card[Facts]]:
    cards: dict[tuple[str, str], Card[Facts]] = {}
    for folder, package in folders(further):
        for path in sorted([*folder.glob("*.toml"), *folder.glob("*/card.toml")]):
            if path.name != PROFILES:
                card = read(path, package)
                if other := cards.get((card.kind, card.name)):
                    raise PluginError(
                        f"{path}: the {card.kind} {card.name!r} already exists in {other.path}; rename one"
                    )
                cards[card.kind, card.name] = card
    return cards


@overload
def cards(kind: Literal["method"]) -> dict[str, MethodCard]: ...
@overload
def cards(kind: Literal["metric"]) -> dict[str, MetricCard]: ...
@overload
def cards(kind: Literal["dataset"]) -> dict[str, DatasetCard]: ...
@overload
def cards(kind: Literal["task"]) -> dict[str, TaskCard]: ...
@overload
def cards(kind: str) -> dict[str, Card[Facts]]: ...
def cards(kind: str) -> object:
    """All cards of one kind by name, in alphabetical order."""
    every = _all(locations.current().plugins)
    return {name: card for (k, name), card in sorted(every.items()) if k == kind}


@overload
def card(kind: Literal["method"], name: str) -> MethodCard: ...
@overload
def card(kind: Literal["metric"], name: str) -> MetricCard: ...
@overload
def card(kind: Literal["dataset"], name: str) -> DatasetCard: ...
@overload
def card(kind: Literal["task"], name: str) -> TaskCard: ...
@overload
def card(kind: str, name: str) -> Card[Facts]: ...
def card(kind: str, name: str) -> object:
    """The card of one plugin; its name may be typed in other letters, or as tables print it.

    Raises:
        PluginError: when there is none, naming the closest ones there are, or when several may be meant.
    """
    known = cards(kind)
    return known[find(name, known, f"no {kind}", {n: (c.title,) for n, c in known.items()}, PluginError)]


def profiles() -> dict[str, ProfileFacts]:
    """Metric profiles by name, from every plugin folder's ``profiles.toml``.

    Raises:
        PluginError: a file that is not TOML, a name that is taken, a key that is missing or unknown.
    """
    return _profiles(locations.current().plugins)


@lru_cache(maxsize=1)
def _profiles(further: tuple[Path, ...]) -> dict[str, ProfileFacts]:
    every: dict[str, ProfileFacts] = {}
    for folder, _ in folders(further):
        path = folder / PROFILES
        if not path.is_file():
            continue
        for name, facts in decode(dict[str, ProfileFacts], _toml(path), path, PluginError, "the file").items():
            if name in every or name == "default":
                raise PluginError(f"{path}: the profile {name!r} exists already; rename it")
            every[name] = facts
    return every
