"""A hash of the code that a number depends on: a plugin's own, and everything of ours that it imports.

Compared is the syntax, without comments, docstrings and formatting, so that it moves only when behaviour can. Nothing
is imported. Not seen is what a plugin looks up by name through the registry: that name's own hash is for its user to
record. How a network was trained is in its weights: recipes (``recipe*.py``) do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fusionbench.plugins.cards import Card
from fusionbench.plugins.records import Facts

ROOT = "fusionbench"
HARNESS = ("fusionbench.evaluation", "fusionbench.plugins", "fusionbench.results", "fusionbench.data")
_SILENT = ("type_comment", "kind", "ctx")  # fields of the syntax without effect on behaviour


@dataclass(frozen=True)
class Import:
    """Names that a module takes from another: ``from ..module import names``, or ``module.name`` in an expression."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One file of code.

    Attributes:
        digest: hash of its syntax.
        imports: all of them, also inside functions.
        defines: names of its functions, classes and variables.
    """

    digest: str
    imports: tuple[Import, ...]
    defines: frozenset[str]

    @property
    def lazy(self) -> bool:
        """Whether the module looks names up when they are asked for."""
        return "__getattr__" in self.defines


def of_training(module: str) -> bool:
    """Whether a module is how something is trained, which is in the weights, and not how it is used."""
    return module.rpartition(".")[2].startswith("recipe")


def read(path: Path) -> Source:
    """A file of code; parsed once until it changes."""
    state = path.stat()
    return _parsed(path, (state.st_mtime_ns, state.st_size))


@cache
def _parsed(path: Path, _changed: tuple[int, int]) -> Source:
    tree = ast.parse(path.read_bytes())
    imports = tuple(_imports(tree))
    defines = frozenset(name for node in tree.body for name in _names(node))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            text = first.value if isinstance(first, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                node.body = node.body[1:]
    return Source(hashlib.sha256(_written(tree).encode()).hexdigest(), imports, defines)


def _written(node: object) -> str:
    """A syntax tree as text that is the same on every supported Python: empty and absent fields are left out."""
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields if name not in _SILENT)
        inside = ",".join(f"{name}={_written(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    return repr(node)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement at the top of a module defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (t.id for t in targets if isinstance(t, ast.Name))


def _imports(tree: ast.Module) -> Iterator[Import]:
    """The imports of a module, and the attributes of imported modules that it uses."""
    modules: dict[str, tuple[int, str]] = {}  # local name to level and module
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield Import(node.level, node.module or "", tuple(a.name for a in node.names))
            for a in node.names:
                modules[a.asname or a.name] = node.level, ".".join(filter(None, [node.module, a.name]))
        elif isinstance(node, ast.Import):
            for a in node.names:
                yield Import(0, a.name)
                modules[a.asname or a.name.partition(".")[0]] = 0, a.name if a.asname else a.name.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *between = _dotted(node.value)
            if first in modules:
                level, module = modules[first]
                yield Import(level, ".".join([module, *between]), (node.attr,))


def _dotted(node: ast.expr) -> list[str]:
    """The names of ``a.b.c``, or one empty name for another expression."""
    if isinstance(node, ast.Name):
        return [node.id]
    return [*_dotted(node.value), node.attr] if isinstance(node, ast.Attribute) else [""]


@dataclass(frozen=True)
class Home:
    """A plugin folder: its package's name, and where it lies."""

    package: str
    folder: Path


def _file(module: str, home: Home | None) -> Path | None:
    """The source of a module of ours or of a plugin folder; None for others, and for names that are no modules."""
    parts = module.split(".")
    if home and (module == home.package or module.startswith(home.package + ".")):
        return _below(home.folder, parts[home.package.count(".") + 1 :])
    if parts[0] != ROOT or len(parts) < 2:
        return None
    spec = importlib.util.find_spec(".".join(parts[:2]))  # a package's own folder; nothing below it is imported
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    return _below(path.parent, parts[2:]) if parts[2:] else path


def _below(folder: Path, parts: list[str]) -> Path | None:
    path = folder.joinpath(*parts)
    candidates = ([path.with_suffix(".py")] if parts else []) + [path / "__init__.py"]
    return next((p for p in candidates if p.is_file()), None)


def _needed(module: str, path: Path, home: Home | None) -> Iterator[str]:
    """Modules that a module imports, and names that may be modules."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for i in read(path).imports:
        above = package.split(".")[: package.count(".") + 2 - i.level] if i.level else []
        base = ".".join([*above, *([i.module] if i.module else [])])
        yield base
        yield from (f"{base}.{name}" for name in i.names)
        yield from _behind(base, i.names, home)


def _behind(package: str, names: tuple[str, ...], home: Home | None) -> Iterator[str]:
    """Modules that define what a package looks up in them when it is asked for a name."""
    path = _file(package, home)
    if path is None or path.name != "__init__.py" or not read(path).lazy:
        return
    for file in sorted(path.parent.glob("*.py")):
        if file != path and read(file).defines.intersection(names):
            yield f"{package}.{file.stem}"


def closure(modules: Iterable[str], home: Home | None = None, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Module to hash of its syntax, for some modules and everything of ours that they import.

    Args:
        modules: dotted names.
        home: a plugin folder whose modules count, too.
        leave_out: packages whose modules are not followed.
    """
    todo, digests = list(modules), dict[str, str]()
    while todo:
        module = todo.pop()
        if module in digests or any(module == p or module.startswith(p + ".") for p in leave_out):
            continue
        path = _file(module, home)
        if path is not None:
            digests[module] = read(path).digest
            todo += [m for m in _needed(module, path, home) if not of_training(m)]
    return digests


def code_hash(entry: Card[Facts]) -> str:
    """SHA-256 over a plugin's code and everything of ours that it imports, its recipes and the harness left out."""
    modules = [entry.module]
    if entry.source.name == "__init__.py":
        below = sorted(p for p in entry.source.parent.rglob("*.py") if p.name != "__init__.py")
        named = (".".join([entry.module, *p.relative_to(entry.source.parent).with_suffix("").parts]) for p in below)
        modules += [m for m in named if not of_training(m)]
    return combined(closure(modules, Home(entry.module.rpartition(".")[0], entry.folder), HARNESS))


def combined(digests: Mapping[str, str]) -> str:
    """One hash of several."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
