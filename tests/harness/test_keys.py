"""What makes a stored number stale: changed behaviour of the code it depends on, wherever that lies, and only that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench import environment
from fusionbench.plugins.cards import card
from fusionbench.plugins.fingerprint import Closure, Home, code_hash
from tests.conftest import REPO

KEYS = """
import json
from fusionbench.evaluation import keys
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.cards import card
from fusionbench.plugins.fingerprint import code_hash

found = {f"{kind} {name}": code_hash(card(kind, name)) for kind, name in (
    ("metric", "vif"), ("metric", "mse"), ("method", "gff"), ("method", "tdfusion"), ("method", "refusion"),
    ("task", "detection"), ("task", "segmentation"))}
found["score"] = metric("vif").code
found["picture"] = entries("gff")[0][0].key
found["task score"] = keys.task_code("detection")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed, to be changed."""
    root = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for source, target in (("fusionbench", ""), ("methods", "methods"), ("metrics", "metrics")):
        shutil.copytree(REPO / source, root / "fusionbench" / target, ignore=skip, dirs_exist_ok=True)
    return root


def keys(root: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", KEYS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return keys(copy)


EVERY_SCORE = {"score", "metric vif", "metric mse"}
PICTURES = {"picture", "method gff", "method tdfusion", "method refusion"}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("metrics/vif.py", {"metric vif", "score"}),
        ("metrics/_planes.py", EVERY_SCORE),  # taken from the package, which looks names up when asked
        ("metrics/filters.py", EVERY_SCORE),
        ("metrics/ssim.py", set()),
        ("methods/gff.py", {"method gff", "picture"}),
        ("methods/refusion/fast.py", {"method tdfusion", "method refusion"}),
        ("methods/refusion/recipe.py", set()),  # how it was trained is in its weights
        ("methods/tdfusion/recipe_settings.py", set()),
        ("pixels/output_rule.py", {"picture"}),
        ("evaluation/fusing.py", {"picture"}),
        ("evaluation/scoring.py", {"score"}),
        ("evaluation/plan.py", set()),
        ("results/store.py", set()),
        ("report/tables.py", set()),
        ("tasks/scores/average_precision.py", {"task detection", "task score"}),
        ("tasks/openmmlab/yolo.py", {"task detection", "task score"}),
        ("training/loop.py", {"task score"}),
    ],
)
def test_changed_code(copy: Path, before: dict[str, str], file: str, changed: set[str]) -> None:
    path = copy / "fusionbench" / file
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text + "\nADDED = 1\n", encoding="utf-8")
        after = keys(copy)
    finally:
        path.write_text(text, encoding="utf-8")
    assert {name for name in before if after[name] != before[name]} == changed


@pytest.mark.parametrize("file", ["metrics/_planes.py", "methods/gff.py", "evaluation/fusing.py", "pixels/images.py"])
def test_comments_and_docstrings(copy: Path, before: dict[str, str], file: str) -> None:
    path = copy / "fusionbench" / file
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""')
    try:
        path.write_text('"""Another' + text[3:].replace("\n\n\n", "\n\n\n# A remark.\n"), encoding="utf-8")
        assert keys(copy) == before
    finally:
        path.write_text(text, encoding="utf-8")


CARD = 'kind = "metric"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "mine"\nversion = "1"\n'
CARD += 'direction = "up"\nrange = [0, 1]\ndefault = "a"\n[variants.a]\nformula = "x"\n'


@pytest.mark.parametrize(
    ("code", "helper"),
    [
        ("from .helper import value", "helper.py"),
        ("from . import helper", "helper.py"),
        ("def mine():\n    from .deep.helper import value", "deep/helper.py"),
        ("from .deep import helper", "deep/helper.py"),
        ("from . import deep\nvalue = deep.value", "deep/helper.py"),  # by way of deep/__init__.py, which is lazy
        ("from .deep import value", "deep/helper.py"),
    ],
)
def test_a_helper_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, helper: str) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    (tmp_path / "mine.py").write_text(f'"""Mine."""\n{code}\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/__init__.py").write_text("def __getattr__(name):\n    ...\n")
    path = tmp_path / helper
    path.write_text("value = 1\n")
    (tmp_path / "other.py").write_text("other = 1\n")
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path))
    environment.apply()
    before = code_hash(card("metric", "mine"))
    (tmp_path / "other.py").write_text("other = 200\n")
    path.write_text('"""Text."""\n\nvalue = 1  # a remark\n')
    assert code_hash(card("metric", "mine")) == before
    path.write_text("value = 20\n")
    assert code_hash(card("metric", "mine")) != before


@pytest.mark.parametrize(
    "code",
    [
        "from fusionbench.metrics import vif",
        "from fusionbench.metrics import VIF",
        "import fusionbench.metrics as m\nvalue = m.vif",
        "import fusionbench.metrics\nvalue = fusionbench.metrics.vif",
        "from fusionbench import metrics\nvalue = metrics.vif",
    ],
)
def test_a_metric_of_ours_behind_its_package(tmp_path: Path, code: str) -> None:
    """The package looks its names up when they are asked for; the module behind a name counts all the same."""
    (tmp_path / "mine.py").write_text(code)
    assert {"p.mine", "fusionbench.metrics.vif"} <= Closure([Home("p", tmp_path)]).follow(["p.mine"]).digests.keys()
