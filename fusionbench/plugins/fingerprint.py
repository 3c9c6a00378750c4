"""A hash of the code that a number depends on: a plugin's own, and everything of ours that it imports or looks up.

Compared is the syntax (:mod:`fusionbench.plugins.syntax`), so that it moves only when behaviour can. A plugin that is
asked for by name counts with its card; where the name is computed, every plugin of that kind counts, unless an option
of the card says that its value is that name (``plugin = "task"``): then the plugin named in an entry's options counts
in the entry's key. How a network was trained is in its weights: recipes do not count, unless other code imports them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fusionbench.errors import PluginError
from fusionbench.plugins.cards import IN_FOLDER, KINDS, OUTSIDE, Card, cards
from fusionbench.plugins.records import Facts, MethodFacts, MetricFacts, TaskFacts, Value
from fusionbench.plugins.syntax import ANY, Lookup, Source, read

ROOT = "fusionbench"
HARNESS = ("fusionbench.evaluation", "fusionbench.plugins", "fusionbench.results", "fusionbench.data")
FINDERS = ("fusionbench.tasks.task", "fusionbench.tasks.loading")  # their callers say which plugin is meant


@dataclass(frozen=True)
class Home:
    """A plugin folder: its package's name, and where it lies."""

    package: str
    folder: Path


def home_of(entry: Card[Facts]) -> Home:
    """The folder that holds a plugin."""
    return Home(entry.module.rpartition(".")[0], entry.folder)


def _file(module: str, homes: Iterable[Home]) -> Path | None:
    """The source of a module of ours or of a plugin's distribution; None for others, and names that are no modules."""
    parts = module.split(".")
    roots = {ROOT}
    for home in homes:
        if module == home.package or module.startswith(home.package + "."):
            return _below(home.folder, parts[home.package.count(".") + 1 :])
        if not home.package.startswith(OUTSIDE):
            roots.add(home.package.partition(".")[0])
    if parts[0] not in roots or (parts[0] == ROOT and len(parts) < 2):
        return None
    top = 2 if parts[0] == ROOT else 1  # parts of ours may be installed from folders of their own
    spec = importlib.util.find_spec(".".join(parts[:top]))  # nothing below it is imported
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    return _below(path.parent, parts[top:]) if parts[top:] else path


def source(path: Path) -> Source:
    """A file of code.

    Raises:
        PluginError: it is not Python.
    """
    try:
        return read(path)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise PluginError(f"{path}: not Python that can be read here: {' '.join(str(error).split())}") from None


def _below(folder: Path, parts: list[str]) -> Path | None:
    path = folder.joinpath(*parts)
    candidates = ([path.with_suffix(".py")] if parts else []) + [path / "__init__.py"]
    return next((p for p in candidates if p.is_file()), None)


@dataclass
class Closure:
    """Modules, and everything of ours and of the plugins that they import.

    Attributes:
        homes: plugin folders whose modules count, too.
        leave_out: packages whose modules are not followed.
        named: kinds whose computed names are those of options, see the head of this module.
        digests: module to hash of its syntax, plugin to hash of its card.
    """

    homes: list[Home] = field(default_factory=list)
    leave_out: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    digests: dict[str, str] = field(default_factory=dict)

    def follow(self, modules: Iterable[str], lookups: bool = True) -> Closure:
        """Add modules and what they need.

        Args:
            modules: dotted names.
            lookups: whether plugins that they ask for count.
        """
        asked = list(modules)  # these count wherever they lie
        todo = list(asked)
        while todo:
            module = todo.pop()
            left_out = any(module == p or module.startswith(p + ".") for p in self.leave_out)
            if module in self.digests or (left_out and module not in asked):
                continue
            path = _file(module, self.homes)
            if path is None:
                continue
            self.digests[module] = source(path).digest
            todo += self._needed(module, path)
            if lookups and module not in FINDERS:
                for lookup in source(path).lookups:
                    for entry in self._asked(lookup):
                        todo += self.plugin(entry)
        return self

    def plugin(self, entry: Card[Facts]) -> list[str]:
        """Note a plugin that is asked for by name; its modules, where it is new."""
        name = f"{entry.kind} {entry.name}"
        if name in self.digests:
            return []
        self.digests[name] = _card_hash(entry)
        if home_of(entry) not in self.homes:
            self.homes.append(home_of(entry))
        return modules_of(entry)

    def _asked(self, lookup: Lookup) -> list[Card[Facts]]:
        if lookup.name == ANY and lookup.kind in self.named:
            return []
        if lookup.kind == "network":
            return [
                c
                for c in cards("task").values()
                if lookup.name in (ANY, *c.facts.networks) and "task" not in self.named
            ]
        kinds = KINDS if lookup.kind == ANY else (lookup.kind,)
        return [c for kind in kinds for name, c in cards(kind).items() if lookup.name in (ANY, name)]

    def _needed(self, module: str, path: Path) -> Iterator[str]:
        """Modules that a module imports, and names that may be modules."""
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        outer = module.rpartition(".")[0]
        if any(f"{outer}.".startswith(f"{home.package}.") for home in self.homes):
            yield outer  # a plugin's package is run before its modules
        for i in source(path).imports:
            above = package.split(".")[: package.count(".") + 2 - i.level] if i.level else []
            base = ".".join([*above, *([i.module] if i.module else [])])
            yield base
            yield from (f"{base}.{name}" for name in i.names)
            yield from self._behind(base, i.names)

    def _behind(self, package: str, names: tuple[str, ...]) -> Iterator[str]:
        """Modules that define what a package looks up in them when it is asked for a name."""
        path = _file(package, self.homes)
        if path is None or path.name != "__init__.py" or not source(path).lazy:
            return
        for file in sorted(path.parent.glob("*.py")):
            if file != path and source(file).defines.intersection(names):
                yield f"{package}.{file.stem}"


def modules_of(entry: Card[Facts]) -> list[str]:
    """A plugin's own modules: its file, or all of its folder but for the recipes."""
    if entry.path.name != IN_FOLDER:
        return [entry.module]
    rules = entry.facts.training if isinstance(entry.facts, (MethodFacts, TaskFacts)) else ()
    recipes = {rule.recipe.partition(":")[0] for rule in rules}
    below = sorted(p for p in entry.source.parent.rglob("*.py") if p != entry.source)
    modules = [p.relative_to(entry.source.parent).with_suffix("").parts for p in below]
    return [
        entry.module,
        *(
            ".".join([entry.module, *(parts[:-1] if parts[-1] == "__init__" else parts)])
            for parts in modules
            if not parts[-1].startswith("recipe") and ".".join(parts) not in recipes
        ),
    ]


def _card_hash(entry: Card[Facts]) -> str:
    """Of what a card says that whoever looks it up may depend on."""
    facts = entry.facts
    said: dict[str, object] = {"object": facts.object, "version": facts.version, "options": entry.defaults}
    if isinstance(facts, MetricFacts):
        said["variants"] = {name: variant.options for name, variant in facts.variants.items()}
    if isinstance(facts, TaskFacts):
        said["networks"] = facts.networks
    return hashlib.sha256(json.dumps(msgspec.to_builtins(said), sort_keys=True).encode()).hexdigest()


def code(entry: Card[Facts]) -> dict[str, str]:
    """What :func:`code_hash` is a hash of: module to hash of its syntax, looked-up plugin to hash of its card."""
    named = frozenset(option.plugin for option in entry.options.values() if option.plugin)
    closure = Closure([home_of(entry)], HARNESS, named).follow(modules_of(entry))
    return closure.digests | {"object": entry.facts.object}


def code_hash(entry: Card[Facts]) -> str:
    """SHA-256 over a plugin's code and everything of ours that it needs, its recipes and the harness left out."""
    return combined(code(entry))


def named_code(entry: Card[Facts], options: Mapping[str, Value]) -> dict[str, str]:
    """Option to hash of the plugin that its value names, for options whose card says that it names one.

    Args:
        entry: the card with the options.
        options: values that differ from the card's defaults.
    """
    hashes = {}
    for name, option in entry.options.items():
        other = cards(option.plugin).get(str(options.get(name, option.default))) if option.plugin else None
        if other:
            hashes[name] = combined({"code": code_hash(other), "card": _card_hash(other)})
    return hashes


def combined(digests: Mapping[str, str]) -> str:
    """One hash of several."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
