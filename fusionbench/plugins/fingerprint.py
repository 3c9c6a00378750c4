"""A hash of the code that a number depends on: a plugin's own, and everything of ours that it imports.

Compared is the syntax, without comments, docstrings and formatting, so that it moves only when behaviour can. How a
network was trained is in its weights: recipes (``recipe*.py``) do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from fusionbench.plugins.cards import Card

ROOT = "fusionbench"
_SILENT = ("type_comment", "kind", "ctx")  # fields that say nothing of behaviour
HARNESS = ("fusionbench.evaluation", "fusionbench.plugins", "fusionbench.results", "fusionbench.data")


def of_training(module: str) -> bool:
    """Whether a module is how something is trained, which is in the weights, and not how it is used."""
    return module.rpartition(".")[2].startswith("recipe")


@cache
def _syntax(path: Path, _changed: tuple[int, int]) -> tuple[str, tuple[tuple[int, str, tuple[str, ...]], ...]]:
    """Hash of a file's syntax, and its imports as (level, module, names)."""
    tree = ast.parse(path.read_bytes())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
        if isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(a.name for a in node.names)))
        elif isinstance(node, ast.Import):
            imports += [(0, a.name, ()) for a in node.names]
    return hashlib.sha256(_written(tree).encode()).hexdigest(), tuple(imports)


def _written(node: object) -> str:
    """A syntax tree as text that is the same on every supported Python: empty and absent fields are left out."""
    if isinstance(node, ast.AST):
        fields = (
            (name, getattr(node, name, None)) for name in node._fields if name not in ("type_comment", "kind", "ctx")
        )
        inside = ",".join(f"{name}={_written(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    return repr(node)


def _file(module: str, home: tuple[str, Path] | None) -> Path | None:
    """The source of a module of ours or of a plugin folder outside any package; None for others."""
    if home and (module == home[0] or module.startswith(home[0] + ".")):
        path = home[1].joinpath(*module.split(".")[home[0].count(".") + 1 :])
        found = [path.with_suffix(".py"), path / "__init__.py"]
        return next((p for p in found if p.is_file()), None)
    parts = module.split(".")
    if parts[0] != ROOT or len(parts) < 2:
        return None
    spec = importlib.util.find_spec(".".join(parts[:2]))  # a package's own folder; nothing below it is imported
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    if parts[2:]:
        path = path.parent.joinpath(*parts[2:])
        return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)
    return path


def _imported(module: str, path: Path, imports: Iterable[tuple[int, str, tuple[str, ...]]]) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for level, name, names in imports:
        base = name
        if level:
            above = package.split(".")
            base = ".".join([*above[: len(above) - level + 1], *([name] if name else [])])
        yield base
        yield from (f"{base}.{n}" for n in names)


def closure(
    modules: Iterable[str], home: tuple[str, Path] | None = None, leave_out: tuple[str, ...] = ()
) -> dict[str, str]:
    """Module to hash of its syntax, for some modules and everything of ours that they import.

    Args:
        modules: dotted names.
        home: name and folder of a plugin folder that is in no package.
        leave_out: packages whose modules are not followed.
    """
    todo, found = list(modules), dict[str, str]()
    while todo:
        module = todo.pop()
        if module in found or any(module == p or module.startswith(p + ".") for p in leave_out):
            continue
        path = _file(module, home)
        if path is None:
            continue
        state = path.stat()
        found[module], imports = _syntax(path, (state.st_mtime_ns, state.st_size))
        todo += [m for m in _imported(module, path, imports) if not of_training(m)]
    return found


def code_hash(entry: Card) -> str:
    """SHA-256 over a plugin's code and everything of ours that it imports, its recipes and the harness left out."""
    outer = entry.path.parent.parent if entry.path.name == "card.toml" else entry.path.parent
    home = (entry.module.rpartition(".")[0], outer)
    modules = [entry.module]
    if entry.source.name == "__init__.py":
        below = sorted(p for p in entry.source.parent.rglob("*.py") if p.name != "__init__.py")
        named = (".".join([entry.module, *p.relative_to(entry.source.parent).with_suffix("").parts]) for p in below)
        modules += [m for m in named if not of_training(m)]
    return digest(closure(modules, home, HARNESS))


def digest(found: dict[str, str]) -> str:
    """One hash of several."""
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()
