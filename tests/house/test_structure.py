"""Rules for the sources that no linter checks, counted by benchmarks/structure.py; and that it counts rightly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks import structure
from tests.conftest import REPO


def none(places: Iterable[str]) -> None:
    lines = list(places)
    assert not lines, "\n".join([f"{len(lines)}:", *lines])


@pytest.fixture(scope="module")
def checkout() -> structure.Checkout:
    return structure.Checkout(REPO)


def test_no_function_is_long(checkout: structure.Checkout) -> None:
    none(
        f"{checkout.where(module, function.lineno)} {function.name}: {structure.length(function)} lines"
        for module in checkout.modules.values()
        for function in module.functions
        if structure.length(function) > structure.LONG_FUNCTION
    )


def test_a_long_file_says_why_it_is_one_file(checkout: structure.Checkout) -> None:
    none(checkout.where(m, 1) for m in checkout.modules.values() if m.long() and not m.states_reason())


def test_the_type_checker_is_hardly_ever_silenced_and_never_without_a_reason(checkout: structure.Checkout) -> None:
    silenced = [
        (checkout.where(module, line), reason)
        for module in checkout.modules.values()
        for line, reason in structure.ignores(module)
    ]
    assert len(silenced) <= 10
    none(place for place, reason in silenced if not reason)


def test_only_the_way_in_reads_environment_and_command_line(checkout: structure.Checkout) -> None:
    """The command line, and fusionbench/environment.py on its behalf."""
    none(
        checkout.where(module, line)
        for name, module in checkout.modules.items()
        if not name.startswith("fusionbench.cli") and name != "fusionbench.environment"
        for line in structure.surroundings(module)
    )


def test_every_text_is_printed_through_one_place() -> None:
    """Where what a terminal obeys is written out; JSON escapes it itself."""
    direct = re.compile(r"click\.s?echo\((?!json\.dumps\([^\n]*\)\)$)|(?<![\w.])print\(", re.MULTILINE)
    none(
        f"{path.relative_to(REPO)}: {text[found.start() :].splitlines()[0]}"
        for path in sorted((REPO / "fusionbench" / "cli").glob("*.py"))
        if path.name not in ("spelling.py", "__init__.py")
        for text in [path.read_text()]
        for found in direct.finditer(text)
        if not text[: found.start()].endswith("def ")
    )


def test_tests_use_public_names(checkout: structure.Checkout) -> None:
    none(
        f"{checkout.where(test, line)} {name}"
        for test in checkout.tests
        for line, name in structure.private_names(test)
    )


def test_no_module_imports_itself_by_a_detour(checkout: structure.Checkout) -> None:
    assert not structure.circles(edge for edge in checkout.imports if not edge.typing_only)


# ---------------------------------------------------------------- the counting itself

FILES = {
    "fusionbench/__init__.py": "",
    "fusionbench/cli/__init__.py": "import os\nfrom sys import argv\nHOME = os.environ, argv\n",
    "fusionbench/data/__init__.py": "from . import a\nfrom .b import f\n",
    "fusionbench/data/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fusionbench import cli\n",
    "fusionbench/data/b.py": "def f(a, b):\n    from fusionbench.data import c\n    import json\n    return c, json\n",
    "fusionbench/data/c.py": "from typing import Any\nfrom .b import f\nx: Any = f  # type: ignore[misc]  # why not\n",
    "methods/mean.py": "import fusionbench.cli  # type: ignore\ny: 'dict[str, Any]' = {}\n",
    "methods/long.py": '"""One file: it is a table."""\n' + "\n" * 400,
    "metrics/en.py": "class En:\n    def call(self, a, b, c, d, e, f, *, g, h=1):\n" + "        a = 1\n" * 60,
    "tests/test_a.py": "from fusionbench.data import _hidden, b\nimport fusionbench.data._c\n"
    "def test_a():\n    b._x, b.f\n",
    ".importlinter": "[importlinter:contract:layers]\nlayers =\n    fusionbench.cli\n    fusionbench.methods\n"
    "    fusionbench.data | fusionbench.metrics\n",
    "docs/upgrading.md": "| `fusionbench.old` | `fusionbench.data.a` (and others) |\n",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_counts(small: Path) -> None:
    counted = structure.measure(structure.Checkout(small), structure.Layers.read(small))
    numbers = {title.strip(): number for title, (number, _) in counted.items()}
    assert numbers == {
        "rooms": "4",
        "modules flat at the top": "1",
        "import circles": "1",
        "with imports for the type checker": "1",
        "imports upwards": "2",
        "imports inside functions": "2",
        "of the package's own modules": "1",
        "longest function": "call, 61 lines",
        "functions over 60 lines": "1",
        "functions with over 7 parameters": "1",
        "files over 350 lines": "1",
        "without a reason": "0",
        "`Any` in types": "2",
        "`type: ignore`": "2",
        "test functions": "1",
        "private names of the package in them": "3",
    }
    assert counted["import circles"][1] == ["fusionbench.data.b fusionbench.data.c"]
    assert counted["imports upwards"][1] == [
        "fusionbench.data.a:3 -> fusionbench.cli",
        "fusionbench.methods.mean:1 -> fusionbench.cli",
    ]


def test_reasons_and_surroundings(small: Path) -> None:
    modules = structure.Checkout(small).modules
    assert list(structure.ignores(modules["fusionbench.data.c"])) == [(3, "why not")]
    assert list(structure.ignores(modules["fusionbench.methods.mean"])) == [(1, "")]
    assert list(structure.surroundings(modules["fusionbench.cli"])) == [2, 3]


def test_an_old_module_counts_as_the_room_it_moved_to(small: Path) -> None:
    layers = structure.Layers.read(small)
    assert layers.layer("fusionbench.old") == layers.layer("fusionbench.data.b")
    assert layers.layer("fusionbench.nowhere") is None
