"""Count the structure of a checkout: rooms, imports, long functions, loose types. Standard library only.

    python benchmarks/structure.py [DIR] [--beside OTHER] [--list]

DIR is any commit's checkout or installed copy (default: the one this file lies in). Nothing of it is imported:
every number comes from its syntax trees, so it needs no environment. Whether an import goes upwards is judged by
the layers in this file's own checkout, and an old module by the room it moved to (docs/upgrading.md).
"""

from __future__ import annotations

import argparse
import ast
import configparser
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PACKAGE = "fusionbench"
# Folders of a checkout, and where each is installed.
FOLDERS = {PACKAGE: PACKAGE, "methods": f"{PACKAGE}.methods", "metrics": f"{PACKAGE}.metrics"}
LONG_FUNCTION, MANY_PARAMETERS, LONG_FILE = 60, 7, 350
REASON = re.compile(r"one file|350 lines", re.IGNORECASE)  # in the first lines of a file that is long on purpose
IGNORE = re.compile(r"#\s*type:\s*ignore(?:\[[^\]]*\])?\s*(?P<reason>.*)")
TYPE = r"[\w., |\[\]]*\[[\w., |\[\]]*\bAny\b[\w., |\[\]]*"  # a type in quotes that mentions Any
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Import:
    """One module imports another, both by name; where, and whether only for the type checker."""

    importer: str
    imported: str
    line: int
    inside_function: bool
    typing_only: bool


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def long(self) -> bool:
        return len(self.lines) > LONG_FILE

    def states_reason(self) -> bool:
        return any(REASON.search(line) for line in self.lines[:12])


@dataclass(frozen=True)
class Checkout:
    """All source files of a checkout, or of an installed copy."""

    root: Path

    @cached_property
    def modules(self) -> dict[str, Module]:
        listed = {}
        for folder, package in FOLDERS.items():
            for path in sorted((self.root / folder).rglob("*.py")):
                parts = path.relative_to(self.root / folder).with_suffix("").parts
                name = ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])
                listed[name] = Module(name=name, path=path)
        return listed

    @cached_property
    def tests(self) -> list[Module]:
        return [Module(name=path.stem, path=path) for path in sorted((self.root / "tests").rglob("*.py"))]

    @cached_property
    def imports(self) -> list[Import]:
        return [found for module in self.modules.values() for found in imports(module, self.modules)]

    def where(self, module: Module, line: int) -> str:
        return f"{module.path.relative_to(self.root)}:{line}"


def statements(tree: ast.AST, inside: bool = False, typing: bool = False) -> Iterator[tuple[ast.stmt, bool, bool]]:
    """Every import statement, with whether it lies in a function and below ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, inside, typing
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from statements(ast.Module([child], []), inside, True)
            for child in node.orelse:
                yield from statements(ast.Module([child], []), inside, typing)
        else:
            yield from statements(node, inside or isinstance(node, Function), typing)


def imports(module: Module, known: Iterable[str]) -> Iterator[Import]:
    """What `module` imports of the modules in `known`, once per statement and module."""
    package = module.name if module.path.stem == "__init__" else module.name.rpartition(".")[0]
    for node, inside, typing in statements(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert isinstance(node, ast.ImportFrom)
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [node.module])])
            # `from a import b`: b is a module of a, or a name in it.
            names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        for name in dict.fromkeys(names):
            if name in known and name != module.name:
                yield Import(
                    importer=module.name, imported=name, line=node.lineno, inside_function=inside, typing_only=typing
                )


def circles(edges: Iterable[Import]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    graph: dict[str, set[str]] = {}
    for edge in edges:
        graph.setdefault(edge.importer, set()).add(edge.imported)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(graph.get(node, ())):
            if after not in index:
                visit(after)
            if after in stack:
                low[node] = min(low[node], low[after])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                components.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return components


@dataclass(frozen=True)
class Layers:
    """The layers of .importlinter, top first, and the new names of old modules."""

    order: dict[str, tuple[int, str]]  # module -> number of its layer, and the module again: one layer may hold several
    moved: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, checkout: Path) -> Layers:
        config = configparser.ConfigParser()
        config.read(checkout / ".importlinter", encoding="utf-8")
        lines = config["importlinter:contract:layers"]["layers"].split("\n")
        layers = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        order = {name.strip(): (i, name.strip()) for i, line in enumerate(layers) for name in re.split(r"[|:]", line)}
        guide = checkout / "docs/upgrading.md"
        rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)`", guide.read_text(encoding="utf-8"), re.M)
        return cls(order, dict(rows))

    def layer(self, module: str) -> tuple[int, str] | None:
        """The layer of `module` by the longest prefix; None for one in no layer."""
        module = self.moved.get(module, module)
        parts = module.split(".")
        prefixes = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
        return next((self.order[prefix] for prefix in prefixes if prefix in self.order), None)

    def upward(self, edges: list[Import]) -> list[Import]:
        """The imports of a higher layer, or of a neighbour in the same one.

        A module in no layer (a public name that passes another module on) counts as the highest it imports.
        """

        def floor(module: str, seen: frozenset[str]) -> tuple[int, str] | None:
            own = self.layer(module)
            if own is not None or module in seen:
                return own
            below = (floor(edge.imported, seen | {module}) for edge in edges if edge.importer == module)
            return min((found for found in below if found is not None), default=None)

        def goes_up(edge: Import) -> bool:
            lower, upper = self.layer(edge.importer), floor(edge.imported, frozenset())
            return lower is not None and upper is not None and lower[1] != upper[1] and upper[0] <= lower[0]

        return [edge for edge in edges if goes_up(edge)]


def length(function: Function) -> int:
    """Lines from `def` to the last one, decorators aside."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """Number of parameters, `self` and `cls` aside."""
    a = function.args
    plain = [argument.arg for argument in [*a.posonlyargs, *a.args]]
    return len([name for name in plain if name not in ("self", "cls")]) + len(a.kwonlyargs) + bool(a.vararg or a.kwarg)


def annotations_any(module: Module) -> Iterator[int]:
    """The lines that use `Any` in a type."""
    for node in ast.walk(module.tree):
        if (isinstance(node, ast.Name) and node.id == "Any") or (
            isinstance(node, ast.Attribute) and node.attr == "Any" and ast.unparse(node) == "typing.Any"
        ):
            yield node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(TYPE, node.value):
            yield node.lineno  # a type in quotes


def ignores(module: Module) -> Iterator[tuple[int, str]]:
    """Lines with `type: ignore`, and the reason each gives behind it."""
    for number, line in enumerate(module.lines, 1):
        if found := IGNORE.search(line):
            yield number, found["reason"].strip(" #")


def surroundings(module: Module) -> Iterator[int]:
    """Lines that read the environment or the command line of the process."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "sys.argv"):
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "sys"):
            yield from (node.lineno for alias in node.names if alias.name in ("environ", "getenv", "argv"))


def private_names(test: Module) -> Iterator[tuple[int, str]]:
    """The package's private names that a test imports, or reaches for in a module it imports."""

    def private(name: str) -> bool:
        return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))

    bound: set[str] = set()  # names by which the test knows the package's modules and what is in them
    for node, _, _ in statements(test.tree):
        assert isinstance(node, ast.Import | ast.ImportFrom)
        base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if f"{base}{alias.name}".split(".")[0] == PACKAGE:
                bound.add(alias.asname or alias.name)
                if private(f"{base}{alias.name}"):
                    yield node.lineno, f"{base}{alias.name}"
    for node in ast.walk(test.tree):
        if isinstance(node, ast.Attribute) and private(node.attr) and ast.unparse(node.value) in bound:
            yield node.lineno, ast.unparse(node)


def measure(checkout: Checkout, layers: Layers) -> dict[str, tuple[str, list[str]]]:
    """Every number by its title, with the places it counts."""
    modules = list(checkout.modules.values())
    functions = [(module, function) for module in modules for function in module.functions]
    edges = checkout.imports
    run = [edge for edge in edges if not edge.typing_only]
    rooms = sorted(p.parent.name for p in (checkout.root / PACKAGE).glob("*/__init__.py"))
    rooms = sorted({*rooms, "methods", "metrics"} - {"leaderboards"})
    flat = [m.path.name for m in modules if m.path.parent == checkout.root / PACKAGE]
    inside = [(m, node) for m in modules for node, within, _ in statements(m.tree) if within]
    longest = max(functions, key=lambda pair: length(pair[1]))
    typed = [" ".join(circle) for circle in circles(edges)]
    circular = [" ".join(circle) for circle in circles(run)]

    def places(title: str, found: Iterable[tuple[Module, Function]]) -> list[str]:
        size = length if title == "lines" else parameters
        ordered = sorted(found, key=lambda pair: -size(pair[1]))
        return [f"{checkout.where(m, f.lineno)} {f.name}: {size(f)} {title}" for m, f in ordered]

    long = [m for m in modules if m.long()]
    texts = {
        "rooms": rooms,
        "modules flat at the top": flat,
        "import circles": circular,
        "  with imports for the type checker": typed,
        "imports upwards": [f"{e.importer}:{e.line} -> {e.imported}" for e in layers.upward(edges)],
        "imports inside functions": [checkout.where(m, node.lineno) for m, node in inside],
        "  of the package's own modules": [
            f"{e.importer}:{e.line} -> {e.imported}" for e in edges if e.inside_function
        ],
        f"functions over {LONG_FUNCTION} lines": places(
            "lines", (p for p in functions if length(p[1]) > LONG_FUNCTION)
        ),
        f"functions with over {MANY_PARAMETERS} parameters": places(
            "parameters", (p for p in functions if parameters(p[1]) > MANY_PARAMETERS)
        ),
        f"files over {LONG_FILE} lines": [f"{checkout.where(m, 1)} {len(m.lines)} lines" for m in long],
        "  without a reason": [checkout.where(m, 1) for m in long if not m.states_reason()],
        "`Any` in types": [checkout.where(m, line) for m in modules for line in annotations_any(m)],
        "`type: ignore`": [f"{checkout.where(m, n)} {why or '(no reason)'}" for m in modules for n, why in ignores(m)],
        "test functions": [
            checkout.where(t, f.lineno) for t in checkout.tests for f in t.functions if f.name.startswith("test_")
        ],
        "  private names of the package in them": [
            f"{checkout.where(t, line)} {name}" for t in checkout.tests for line, name in private_names(t)
        ],
    }
    numbers = {"longest function": (f"{longest[1].name}, {length(longest[1])} lines", places("lines", [longest]))}
    return {title: (str(len(lines)), lines) for title, lines in texts.items()} | numbers


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--beside", type=Path, metavar="OTHER", help="a second checkout, in a second column")
    parser.add_argument("--list", action="store_true", help="name the places behind the numbers (of DIR)")
    arguments = parser.parse_args()
    layers = Layers.read(HERE)
    columns = [measure(Checkout(arguments.dir.resolve()), layers)]
    heads = ["", str(arguments.dir) if arguments.beside else "count"]
    if arguments.beside:
        columns.append(measure(Checkout(arguments.beside.resolve()), layers))
        heads.append(str(arguments.beside))
    rows = [heads, *([title, *(column[title][0] for column in columns)] for title in columns[0])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if arguments.list:
        for title, (_, lines) in columns[0].items():
            if not title.startswith(("rooms", "test functions")):
                print(f"\n{title.strip()}", *lines, sep="\n    ")


if __name__ == "__main__":
    main()
