"""What makes a stored number stale: changed behaviour of the code it depends on, wherever that lies, and only that."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import pytest

from fusionbench import environment
from fusionbench.data import open_dataset
from fusionbench.errors import PluginError
from fusionbench.evaluation import keys
from fusionbench.evaluation.entries import Entry, entries
from fusionbench.evaluation.protocol import metric
from fusionbench.plugins import fingerprint, syntax
from fusionbench.plugins.cards import Card, card, cards
from fusionbench.plugins.fingerprint import Closure, Home, code, code_hash, home_of, named_code
from fusionbench.plugins.records import Facts
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.syntax import Source, parsed, read
from fusionbench.runtime import locations
from tests.conftest import REPO

PLUGINS = [(kind, name) for kind in ("method", "metric", "dataset", "task") for name in cards(kind)]
Edit = Callable[[str], str]


def statement(text: str) -> str:
    return text + "\nADDED = 1\n"


def constant(text: str) -> str:
    """Another value in the place of the first number; where there is none, a further statement."""

    class Change(ast.NodeTransformer):
        done = False

        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            if self.done or type(node.value) not in (int, float):
                return node
            self.done = True
            return ast.Constant(node.value + 1)

    change, tree = Change(), ast.parse(text)
    changed = ast.unparse(change.visit(tree))
    return changed if change.done else statement(text)


def remarks(text: str) -> str:
    """Other formatting, other docstrings, comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            remark = ast.Expr(ast.Constant("Another text."))
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body[0] = remark
            elif not isinstance(node, ast.Module):
                node.body.insert(0, remark)
    return "# A remark.\n\n" + ast.unparse(ast.fix_missing_locations(tree)) + "  # and another\n"


@cache
def edition(path: Path, how: Edit) -> Source:
    return parsed(how(path.read_text(encoding="utf-8")).encode())


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Path], bool], Edit], None]]:
    """Call it with which files are to be read as if they had been edited, and how; no file is touched."""

    def edit(chosen: Callable[[Path], bool], how: Edit) -> None:
        keys.harness_hash.cache_clear()
        monkeypatch.setattr(
            fingerprint,
            "read",
            lambda path: edition(path, how) if chosen(path) else read(path),
        )

    yield edit
    keys.harness_hash.cache_clear()


def files(entry: Card[Facts]) -> list[Path]:
    """Every file of code that a plugin depends on."""
    modules = [name for name in code(entry) if name != "object" and " " not in name]
    found = [spec_file(name, entry) for name in modules]
    assert len(found) == len(modules)
    return found


def spec_file(module: str, entry: Card[Facts]) -> Path:
    import importlib.util

    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    return Path(spec.origin)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_dependency_of_every_plugin(kind: str, name: str, edited: Callable[..., None]) -> None:
    entry = card(kind, name)
    before, own = code_hash(entry), files(entry)
    assert entry.source in own
    for how in (statement, constant):
        for file in own:
            edited(lambda path, file=file: path == file, how)
            assert code_hash(entry) != before, (file, how)
    edited(lambda path: True, remarks)
    assert code_hash(entry) == before
    edited(lambda path: path not in own, statement)
    assert code_hash(entry) == before
    other = replace(entry, facts=msgspec.structs.replace(entry.facts, object="Another"))
    assert code_hash(other) != before


@pytest.mark.parametrize(("kind", "name"), [p for p in PLUGINS if getattr(card(*p).facts, "training", ())])
def test_recipes(kind: str, name: str, edited: Callable[..., None]) -> None:
    """How a network was trained is in its weights; of a task's networks it is recorded."""
    entry = card(kind, name)
    recipes = {rule.recipe.partition(":")[0] for rule in entry.facts.training}
    folder = {entry.source.parent / f"{module}.py" for module in recipes}
    assert all(file.is_file() for file in folder)
    before, trained = code_hash(entry), keys.training_code(name) if kind == "task" else ""
    edited(lambda path: path in folder, statement)
    assert code_hash(entry) == before
    if kind == "task":
        assert keys.training_code(name) != trained


def stored_keys() -> dict[str, str]:
    return {
        "score": metric("vif").code,
        "picture": entries("gff")[0][0].key,
        "task score": keys.task_code("detection", resolve("dataset", "m3fd")(Path("data"), card("dataset", "m3fd"))),
        "training": keys.training_code("detection"),
    }


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("metrics/vif.py", {"score"}),
        ("metrics/_planes.py", {"score"}),  # taken from the package, which looks names up when asked
        ("metrics/ssim.py", set()),
        ("methods/gff.py", {"picture"}),
        ("fusionbench/plugins/method.py", {"picture"}),
        ("fusionbench/pixels/output_rule.py", {"picture"}),
        ("fusionbench/pixels/images.py", {"picture", "score", "task score", "training"}),
        ("fusionbench/data/pairs.py", {"picture", "score", "task score"}),
        ("fusionbench/data/pairing.py", set()),
        ("fusionbench/evaluation/fusing.py", {"picture"}),
        ("fusionbench/evaluation/scoring.py", {"score"}),
        ("fusionbench/evaluation/plan.py", set()),
        ("fusionbench/results/store.py", set()),
        ("fusionbench/report/tables.py", set()),
        ("fusionbench/tasks/scores/average_precision.py", {"task score", "training"}),
        ("fusionbench/tasks/openmmlab/yolo.py", {"task score", "training"}),
        ("fusionbench/tasks/testing.py", {"task score", "training"}),
        ("fusionbench/evaluation/task_scores.py", {"task score"}),
        ("fusionbench/data/labels.py", {"task score"}),
        ("fusionbench/training/loop.py", {"training"}),
        ("fusionbench/tasks/recipe.py", {"training"}),
        ("fusionbench/tasks/detection/recipe.py", {"training"}),
    ],
)
def test_what_is_stored(file: str, changed: set[str], edited: Callable[..., None]) -> None:
    assert (REPO / file).is_file()
    before = stored_keys()
    edited(lambda path: str(path).endswith(f"/{file}"), remarks)
    assert stored_keys() == before
    edited(lambda path: str(path).endswith(f"/{file}"), statement)
    after = stored_keys()
    assert {name for name in before if after[name] != before[name]} - changed <= {"training"}
    assert changed <= {name for name in before if after[name] != before[name]}


LOADED = """
import json, sys, torch
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import load_module
ours = lambda: {name for name in sys.modules if name.startswith("fusionbench.")}
base, found = ours(), {}
for kind in ("method", "metric", "dataset", "task"):
    for name, entry in cards(kind).items():
        for module in ours() - base:
            del sys.modules[module]
        load_module(entry)
        found[f"{kind} {name}"] = sorted(ours() - base)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_whatever_importing_a_plugin_loads_is_in_its_key() -> None:
    """Python's own account of what a plugin imports."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(PLUGINS)
    for plugin, modules in found.items():
        known = code(card(*plugin.split()))
        within = [m for m in modules if any(m == p or m.startswith(f"{p}.") for p in fingerprint.HARNESS)]
        beside = Closure().follow(within, lookups=False).digests  # what the harness itself needs
        for module in modules:
            assert module in known or module in beside or empty(module), (plugin, module)


def empty(module: str) -> bool:
    """Whether a package's own file says nothing."""
    return not ast.parse(spec_file(module, card("metric", "en")).read_bytes()).body[1:]


# ---------------------------------------------------------------- plugins of a user

METRIC = 'kind = "metric"\ntitle = "Mine"\nsummary = "s"\nobject = "f"\nversion = "1"\ndirection = "up"\n'
METRIC += 'range = [0, 1]\ndefault = "a"\n'


def plugin(folder: Path, name: str, text: str, more: str = "", version: str = "1") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = METRIC.replace('version = "1"', f'version = "{version}"')
    (folder / f"{name}.toml").write_text(f'name = "{name}"\n{head}{more}[variants.a]\nformula = "x"\n')
    (folder / f"{name}.py").write_text(f'"""Mine."""\n{text}\n')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path))
    return tmp_path


def of(name: str) -> str:
    cards_again()
    return code_hash(card("metric", name))


def cards_again() -> None:
    """Cards of one set of folders are kept until others are asked for; a user edits them between two processes."""
    locations.use(locations.Locations())
    cards("metric")
    environment.apply()


@pytest.mark.parametrize(
    ("text", "helper"),
    [
        ("from .helper import value", "helper.py"),
        ("from . import helper", "helper.py"),
        ("def mine():\n    from .deep.helper import value", "deep/helper.py"),
        ("from .deep import helper", "deep/helper.py"),
        ("from . import deep\nvalue = deep.value", "deep/helper.py"),  # by way of deep/__init__.py, which is lazy
        ("from .deep import value", "deep/helper.py"),
        ("from .deep.helper import value", "deep/__init__.py"),
        ("import importlib\nvalue = importlib.import_module('.helper', __package__).value", "helper.py"),
        ("from .recipe_like import value", "recipe_like.py"),  # whatever the name: the metric needs it
    ],
)
def test_a_helper_in_the_users_folder(folder: Path, text: str, helper: str) -> None:
    plugin(folder, "mine", text)
    (folder / "deep").mkdir()
    (folder / "deep/__init__.py").write_text("def __getattr__(name):\n    ...\n")
    (folder / "deep/helper.py").write_text("value = 1\n")
    path = folder / helper
    path.write_text("value = 1\n")
    (folder / "other.py").write_text("other = 1\n")
    before = of("mine")
    (folder / "other.py").write_text("other = 200\n")
    path.write_text('"""Text."""\n\nvalue = 1  # a remark\n')
    assert of("mine") == before
    path.write_text("value = 20\n")
    assert of("mine") != before


LITERAL = [
    "from fusionbench.registry import resolve\nf = resolve('metric', 'helper')",
    "from fusionbench.registry import resolve as find\ndef f():\n    return find('metric', name='helper')",
    "from fusionbench import registry\nf = registry.resolve('metric', 'helper')",
    "import fusionbench.registry as r\nf = r.resolve(name='helper', kind='metric')",
    "import fusionbench.plugins.registry\nf = fusionbench.plugins.registry.resolve('metric', 'helper')",
    "from fusionbench.cards import card\nf = card('metric', 'helper').facts",
    "from .between import f",
    "from fusionbench.registry import resolve\ndef f(kind):\n    return resolve(kind, 'helper')",
]
COMPUTED = [
    "from fusionbench.registry import resolve\ndef f(name):\n    return resolve('metric', name)",
    "from fusionbench.registry import resolve\nfind = resolve\nf = find('metric', 'helper')",
    "from fusionbench.registry import resolve\nf = list(map(resolve, ['metric'], ['helper']))",
    "from fusionbench.registry import resolve\nf = resolve(*('metric', 'helper'))",
    "from fusionbench.cards import cards\nf = cards('metric')",
]


@pytest.mark.parametrize("text", LITERAL + COMPUTED)
def test_a_plugin_asked_for_by_name(folder: Path, text: str) -> None:
    """Also in a circle: the helper asks for the metric that asks for it."""
    plugin(folder, "mine", text)
    (folder / "between.py").write_text("from fusionbench.registry import resolve\nf = resolve('metric', 'helper')\n")
    circle = "from fusionbench.registry import resolve\nfrom .inner import f\ng = resolve('metric', 'mine')\n"
    plugin(folder, "helper", circle)
    plugin(folder, "other", "def f():\n    return 1")
    (folder / "inner.py").write_text("f = 1\n")
    before = of("mine")
    plugin(folder, "helper", circle + "# a remark")
    assert of("mine") == before
    (folder / "inner.py").write_text("f = 20\n")
    second = of("mine")
    assert second != before
    plugin(folder, "helper", circle, version="2")
    third = of("mine")
    assert third not in (before, second)
    plugin(folder, "helper", circle, more="", version="2")
    (folder / "helper.toml").write_text((folder / "helper.toml").read_text().replace('object = "f"', 'object = "g"'))
    assert of("mine") not in (before, second, third)
    last = of("mine")
    plugin(folder, "other", "def f():\n    return 20")
    assert (of("mine") != last) == (text in COMPUTED)


@pytest.mark.parametrize(
    "text",
    [
        "from fusionbench.tasks.task import task\nt = task('saliency')",
        "from fusionbench.tasks.task import task_of\nt = task_of('ctdnet-tiny')",
        "from fusionbench.tasks.task import task_of\ndef t(network):\n    return task_of(network)",
        "from fusionbench.tasks.loading import load_network\ndef t(path):\n    return load_network(path)",
    ],
)
def test_a_task_asked_for_by_name(folder: Path, text: str) -> None:
    plugin(folder, "mine", text)
    cards_again()
    known = code(card("metric", "mine"))
    assert {"task saliency", "fusionbench.tasks.saliency.ctdnet", "fusionbench.tasks.scores.saliency"} <= known.keys()
    assert ("task detection" in known) == ("path" in text or "(network)" in text)


def test_an_option_that_names_a_plugin(folder: Path) -> None:
    """The plugin that an entry's options name counts in its key, and no other."""
    text = "from fusionbench.registry import resolve\ndef f(name):\n    return resolve('metric', name)"
    plugin(folder, "mine", text, '[options.of]\ndefault = "none"\nhelp = "whose"\nplugin = "metric"\n')
    plugin(folder, "helper", "f = 1")
    plugin(folder, "other", "f = 1")
    before = of("mine")

    def named(value: str) -> dict[str, str]:
        cards_again()
        return named_code(card("metric", "mine"), {"of": value})

    first = named("helper")
    assert named("none") == {}
    assert named("other") != first
    plugin(folder, "helper", "f = 20")
    assert of("mine") == before
    assert named("helper") != first


def test_cldyn_depends_on_the_task_that_it_listens_to(edited: Callable[..., None]) -> None:
    def key(**options: str) -> str:
        return Entry(card("method", "cldyn"), options).key

    before = key(), key(task="saliency"), key(task="segmentation")
    edited(lambda path: path.name == "ctdnet.py", statement)
    after = key(), key(task="saliency"), key(task="segmentation")
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, True, False]


def test_code_that_is_no_python_is_one_line(folder: Path) -> None:
    plugin(folder, "mine", "def f(:")
    with pytest.raises(PluginError, match=r"mine\.py: not Python that can be read here") as error:
        of("mine")
    assert "\n" not in str(error.value)


def test_a_distribution_of_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plugins of an installed package import from that package counts, too, without being imported."""
    home = tmp_path / "ourlab" / "plugins"
    home.mkdir(parents=True)
    (tmp_path / "ourlab/__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "ourlab/core.py").write_text("value = 1\n")
    (home / "mine.py").write_text("from ourlab.core import value\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Closure([Home("ourlab.plugins", home)]).follow(["ourlab.plugins.mine"]).digests
    assert {"ourlab.plugins.mine", "ourlab.core"} <= found.keys()


@pytest.mark.parametrize(
    "text",
    [
        "from fusionbench.metrics import vif",
        "from fusionbench.metrics import VIF",
        "import fusionbench.metrics as m\nvalue = m.vif",
        "import fusionbench.metrics\nvalue = fusionbench.metrics.vif",
        "from fusionbench import metrics\nvalue = metrics.vif",
    ],
)
def test_a_metric_of_ours_behind_its_package(tmp_path: Path, text: str) -> None:
    """The package looks its names up when they are asked for; the module behind a name counts all the same."""
    (tmp_path / "mine.py").write_text(text)
    assert {"p.mine", "fusionbench.metrics.vif"} <= Closure([Home("p", tmp_path)]).follow(["p.mine"]).digests.keys()


def test_an_adapter_that_reads_in_its_own_way(folder: Path) -> None:
    """What it makes of the files is not in their bytes, so that its code counts with them."""
    text = (REPO / "fusionbench/datasets/folder.toml").read_text()
    for name, body in (("plain", "pass"), ("odd", "def pair(self, split, id):\n        return 1")):
        (folder / f"{name}.toml").write_text(text.replace('name = "folder"', f'name = "{name}"'))
        (folder / f"{name}.py").write_text(
            f"from fusionbench.data import Dataset\nclass Folder(Dataset):\n    {body}\n"
        )
    data = folder / "data"
    for role in ("ir", "vis"):
        (data / role).mkdir(parents=True)
        (data / role / "a.png").write_bytes(role.encode())

    def pair(name: str) -> str:
        cards_again()
        return open_dataset(name, data).hash("all", "a")

    assert pair("plain") == pair("folder")
    before = pair("odd")
    assert before != pair("folder")
    (folder / "odd.py").write_text((folder / "odd.py").read_text().replace("return 1", "return 2"))
    assert pair("odd") != before


# ---------------------------------------------------------------- every supported Python

HARD = '''
"""Text."""
import os as \\
    system
async def f(a, /, b: int = 1_000, *c, d=0x10, **e):
    """Text."""
    x = u"a" "b" 'c', rb"\\x00", 1e-3, 2j, ..., "\u00e9\U0001fae8\u2028", -0.0, 10**30
    y = f"{a!r:>{b}} {{}} {b=} " f"{c[0]['k']}" "tail" f"{d:%Y-%m}"
    if (n := len(x)) > 1 and not a is None: pass
    match a:
        case {"k": [1, *rest], **more} if rest: return lambda *p, q=1: (p, q)
        case str() | None: ...
    async with f(1) as g, f(2): yield {**e, "k": [*c]}
    try: del x[1:2, ...]
    except (OSError, ValueError) as error: raise RuntimeError from error
    else: global z
    finally: z: int = 1
    @property
    def inner(self) -> "int": return await_ if (await_ := 1) else {i for i in c if i}
class A(B, metaclass=C): a: int; "remark"; b: str = f""
'''
ELSEWHERE = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("syntax", sys.argv[1])
syntax = sys.modules["syntax"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(syntax)
print(json.dumps([syntax.parsed(pathlib.Path(p).read_bytes()).digest for p in json.load(sys.stdin)]))
"""


def interpreters() -> dict[str, str]:
    """Other supported Pythons of this machine, by version."""
    found = {}
    for version in ("3.10", "3.11", "3.12", "3.13"):
        here = [shutil.which(f"python{version}"), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
        found[version] = next((str(path) for path in here[::-1] if path and os.access(path, os.X_OK)), "")
    return found


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_the_same_on_every_python(version: str, tmp_path: Path) -> None:
    python = interpreters()[version]
    if not python or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    (tmp_path / "hard.py").write_text(HARD, encoding="utf-8")
    sources = [tmp_path / "hard.py", *sorted((REPO / "methods").rglob("*.py")), *(REPO / "metrics").rglob("*.py")]
    sources += [*(REPO / "fusionbench/tasks").rglob("*.py"), *(REPO / "fusionbench/evaluation").glob("*.py")]
    done = subprocess.run(
        [python, "-c", ELSEWHERE, str(Path(syntax.__file__))],
        input=json.dumps([str(p) for p in sources]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [read(path).digest for path in sources]


def test_a_home_is_the_folder_of_the_card(folder: Path) -> None:
    plugin(folder, "mine", "f = 1")
    cards_again()
    assert home_of(card("metric", "mine")).folder == folder
