"""A file of code as what it does: a hash of its syntax, what it imports, and which plugins it looks up by name.

Comments, docstrings and formatting do not count, and the hash is the same on every supported Python. Nothing is
imported or run; this module itself needs nothing but the standard library.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SILENT = ("type_comment", "kind", "ctx")  # fields of the syntax without effect on behaviour
ANY = ""  # a kind or name that is not written out
# Functions that hand out plugins by name: the kind, or None where it is the first argument.
FINDERS = {
    "fusionbench.registry.resolve": None,
    "fusionbench.plugins.registry.resolve": None,
    "fusionbench.plugins.registry.load_module": ANY,
    "fusionbench.cards.card": None,
    "fusionbench.plugins.cards.card": None,
    "fusionbench.cards.cards": None,
    "fusionbench.plugins.cards.cards": None,
    "fusionbench.tasks.task.task": "task",
    "fusionbench.tasks.task.task_of": "network",
    "fusionbench.tasks.loading.load_network": "task",
}
_FILES = ("fusionbench.tasks.loading.load_network",)  # whose argument is no name


@dataclass(frozen=True)
class Import:
    """Names that a module takes from another: ``from ..module import names``, or ``module.name`` in an expression."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lookup:
    """A plugin asked for by name: ``resolve("task", "saliency")``.

    Attributes:
        kind: of the plugin, ``network`` for a task by its network, or :data:`ANY`.
        name: as written, or :data:`ANY` where it is computed.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class Source:
    """One file of code.

    Attributes:
        digest: hash of its syntax.
        imports: all of them, also inside functions.
        defines: names of its functions, classes and variables.
        lookups: plugins that it asks for.
    """

    digest: str
    imports: tuple[Import, ...]
    defines: frozenset[str]
    lookups: tuple[Lookup, ...]

    @property
    def lazy(self) -> bool:
        """Whether the module looks names up when they are asked for."""
        return "__getattr__" in self.defines


def read(path: Path) -> Source:
    """A file of code; parsed once until it changes."""
    state = path.stat()
    return _read(path, (state.st_mtime_ns, state.st_size))


@cache
def _read(path: Path, _changed: tuple[int, int]) -> Source:
    return parsed(path.read_bytes())


def parsed(code: bytes) -> Source:
    """What a file says.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(code)
    local = _modules(tree)
    imports, lookups = tuple(_imports(tree, local)), tuple(dict.fromkeys(_lookups(tree, local)))
    defines = frozenset(name for node in tree.body for name in _names(node))
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, field, None), list):
                setattr(node, field, [s for s in statements if not _is_text(s)])
    return Source(hashlib.sha256(_written(tree).encode()).hexdigest(), imports, defines, lookups)


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a bare string: a docstring, or a remark under an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _written(node: object) -> str:
    """A syntax tree as text that is the same on every supported Python: empty and absent fields are left out."""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(_pieces(node))})"
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields if name not in _SILENT)
        inside = ",".join(f"{name}={_written(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    return ascii(node)  # which characters repr escapes depends on Python's edition of Unicode


def _pieces(node: ast.JoinedStr) -> Iterator[str]:
    """The parts of an f-string; how its text is cut into pieces, empty ones among them, depends on the Python."""
    text = ""
    for value in node.values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        if text:
            yield ascii(text)
        text = ""
        yield _written(value)
    if text:
        yield ascii(text)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement at the top of a module defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (t.id for t in targets if isinstance(t, ast.Name))


Local = dict[str, tuple[int, str]]  # local name to level and dotted name


def _modules(tree: ast.Module) -> Local:
    """Names that a module imports."""
    local: Local = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for a in node.names:
                local[a.asname or a.name] = node.level, ".".join(filter(None, [node.module, a.name]))
        elif isinstance(node, ast.Import):
            for a in node.names:
                local[a.asname or a.name.partition(".")[0]] = 0, a.name if a.asname else a.name.partition(".")[0]
    return local


def _imports(tree: ast.Module, local: Local) -> Iterator[Import]:
    """The imports of a module, and the attributes of imported modules that it uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield Import(node.level, node.module or "", tuple(a.name for a in node.names))
        elif isinstance(node, ast.Import):
            for a in node.names:
                yield Import(0, a.name)
        elif isinstance(node, ast.Attribute):
            first, *between = _dotted(node.value)
            if first in local:
                level, module = local[first]
                yield Import(level, ".".join([module, *between]), (node.attr,))
        elif isinstance(node, ast.Call) and _dotted(node.func)[-1] in ("import_module", "__import__"):
            name = _literal(node.args[0]) if node.args else ""
            within = len(name) - len(name.lstrip("."))
            yield Import(within, name[within:])


def _lookups(tree: ast.Module, local: Local) -> Iterator[Lookup]:
    """The plugins that a module asks for; whoever passes a finder on may ask for any."""
    called = set()
    for node in ast.walk(tree):  # a call comes before its parts
        if isinstance(node, ast.Call) and (finder := _finder(node.func, local)):
            called.add(id(node.func))
            yield _lookup(finder, node)
        elif isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in called and _finder(node, local):
            yield Lookup(ANY, ANY)


def _finder(node: ast.expr, local: Local) -> str:
    first, *rest = _dotted(node)
    name = ".".join([local[first][1], *rest]) if first in local and not local[first][0] else ""
    return name if name in FINDERS else ""


def _lookup(finder: str, call: ast.Call) -> Lookup:
    """What is asked for, as far as it is written out."""
    kind = FINDERS[finder]
    by_name = {k.arg: k.value for k in call.keywords}
    given = [*call.args, *(by_name[n] for n in ("kind", "name", "network") if n in by_name)]
    if kind is None:
        kind, given = (_literal(given[0]) if given else ANY), given[1:]
    return Lookup(kind, ANY if finder in _FILES or not given else _literal(given[0]))


def _literal(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ANY


def _dotted(node: ast.expr) -> list[str]:
    """The names of ``a.b.c``, or one empty name for another expression."""
    if isinstance(node, ast.Name):
        return [node.id]
    return [*_dotted(node.value), node.attr] if isinstance(node, ast.Attribute) else [""]
