"""One contract over every registered plugin, and that it catches what it should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fusionbench import environment
from fusionbench.evaluation.contract import Report, validate
from fusionbench.plugins.cards import KINDS, card, cards
from tests.conftest import fusionbench
from tests.harness.test_cards import CARD, plugin

OWN = Path(__file__).parents[1] / "own_plugins"
# A quarter of a minute and more; others of their kind stay.
LONG = {"refusion", "cldyn", "tardal", "uaafusion", "detfusion", "detection", "segmentation"}
EVERY = [
    pytest.param(kind, name, id=f"{kind}-{name}", marks=[pytest.mark.slow] * (name in LONG))
    for kind in KINDS
    for name in cards(kind)
]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_plugin(kind: str, name: str) -> None:
    report = validate(card(kind, name))
    assert report.ok, failures(report)


def failures(report: Report) -> list[str]:
    return [f"{row.name}: {row.detail}" for row in report.rows if row.state == "fail"]


def report_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The contract over the plugin in a folder."""
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(folder))
    environment.apply()
    (own,) = (entry for kind in KINDS for entry in cards(kind).values() if entry.path.is_relative_to(folder))
    return validate(own)


METHOD = (
    "from fusionbench.plugins.method import Method\nimport time, torch\n\n\nclass Mine(Method):\n"
    "    def fuse(self, ir, vis, context=None):\n        "
)
METRIC = (
    'kind = "metric"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "mine"\nversion = "1"\ndirection = "up"\n'
    'range = [0.0, 1.0]\ndefault = "a"\n[variants.a]\nformula = "f"\n'
)
DATASET = """kind = "dataset"
name = "mine"
title = "Mine"
summary = "s"
object = "Dataset"
version = "1"
[layout]
ir = "ir"
vis = "vi"
mask = "mask"
[[splits]]
name = "test"
[classes]
segmentation = ["other", "road"]
palette = [[0, 0, 0], [9, 9, 9]]
[protocols.mine-fusion]
version = 1
split = "test"
colour = "grey"
output = "released"
profile = "default"
metrics = ["en"]
[scenes]
preset = "street"
[scenes.masks]
road = "road"
"""
STATE = "self.ir = ir\n        time.sleep(0.05)\n        return self.ir[..., :1, :1] + torch.zeros_like(ir)\n"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (CARD, METHOD + "return ir[..., 1:]\n", "fuse returned [2, 1, 48, 63]"),
        (CARD, METHOD + "return ir + torch.rand(1)\n", "inference must be deterministic"),
        (CARD, METHOD + "return ir - ir.mean()\n", "a batch of two differs"),
        (CARD, METHOD + "ir *= 0.5\n        return ir\n", "fuse changed its input"),
        (CARD, METHOD + "return ir / 0\n", "not finite"),
        (CARD, METHOD + "return (ir + vis.mean(1, True)) * 127.5\n", "most above 1, which is white; divide levels"),
        (CARD, METHOD + STATE, "with another thread beside it fuse returned another picture"),
        (METRIC, "def mine(f, a, b):\n    return f.double().mean()[None] / 255\n", "returned [1] for a batch of 3"),
        (METRIC, "def mine(f, a, b):\n    return f.double().mean((1, 2, 3))\n", "outside [0.0, 1.0]"),
        (METRIC, "def mine(f, a, b):\n    return (f + f).double().mean((1, 2, 3)) / 510\n", "different values"),
        (
            METRIC,
            "def mine(f, a, b):\n    return f.double().mean((1, 2, 3)) / 255\n",
            "decorate it with per_image or begin",
        ),
        (METRIC.replace('default = "a"', 'default = "b"'), "mine = None\n", "default 'b' is none of its variants"),
        (CARD.replace("mine", "Mine"), "Mine = None\n", "name 'Mine': lower case"),
        (CARD + 'urls = ["ftp://x"]\n', "Mine = None\n", "url 'ftp://x' is no web address"),
    ],
)
def test_a_broken_plugin_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str, message: str
) -> None:
    report = report_of(plugin(tmp_path / "p", text, code), monkeypatch)
    assert any(message in line for line in failures(report)), report.rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", ""),
        ('mask = "mask"', 'masks = "mask"', "[layout] names 'masks'; did you mean mask?"),
        ('mask = "mask"', 'mask = "mask/{splt}"', "[layout] mask: 'mask/{splt}' has another {} than {split}"),
        ('segmentation = ["other", "road"]', "", "[layout] has mask, and [classes] does not name theirs"),
        (", [9, 9, 9]", "", "palette has 1 colours for 2 classes"),
        ("[classes]", "[classes.box_aliases]\nman = 'person'\n[classes]", "[classes.box_aliases] names 'person'"),
        ("[classes]", "[tasks.box]\ntrain = 'train'\n[classes]", "[tasks] names 'box'"),
        ("[classes]", "[conditions]\nD = 'dawn'\n[classes]", "[conditions] names 'dawn'"),
        ('split = "test"', 'split = "tset"', "[protocols.mine-fusion] names 'tset'; did you mean test?"),
        ('metrics = ["en"]', 'metrics = ["enn"]', "no metric 'enn'; did you mean en?"),
        ('preset = "street"', 'preset = "road"', "[scenes] names 'road'; there are: street"),
        ('road = "road"', 'roads = "road"', "[scenes.masks] names 'roads'; did you mean road?"),
        ('road = "road"', 'road = "rode"', "[scenes.masks] names 'rode'; did you mean road?"),
    ],
)
def test_a_broken_card_of_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    assert old in DATASET
    code = "from fusionbench.data import Dataset as Dataset\n"
    report = report_of(plugin(tmp_path / "p", DATASET.replace(old, new), code), monkeypatch)
    assert any(message in line for line in failures(report)) == bool(message), report.rows


def test_on_the_command_line(tmp_path: Path) -> None:
    plugin(tmp_path / "p", CARD, METHOD + "return ir[..., 1:]\n")
    done = fusionbench("--plugins", tmp_path / "p", "validate", "mine")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "fail  mine: fuses 48x64: fuse returned [2, 1, 48, 63]" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


# ---------------------------------------------------------------- tasks and recipes


def changed(name: str, folder: Path, file: str = "card.toml", old: str = "", new: str = "") -> Path:
    """One of our example plugins in a folder of its own, with a change."""
    shutil.copytree(OWN / name, folder / name)
    path = folder / name / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("__init__.py", 'needs = "glow"', 'needs = "glaw"', "the class is called 'glaw', the card 'glow'"),
        ("card.toml", '"agreement", "A', '"agree", "A', "columns names 'agree', which compute() does not return"),
        ("__init__.py", "1 - float(", "float(", "agreement of the truth is 0.0, of something wrong"),
        ("network.py", "super().__init__()", "raise OSError('no such file')", "glow-net: builds: OSError: no such fi"),
        ("network.py", "TaskNetwork)", "nn.Module)", "make returned GlowNet, which is no TaskNetwork"),
        ("network.py", "self(images), truth", "self(images), truth, reduction='none'", "expected a scalar"),
        ("network.py", "logits(self(images)", "logits(self(images) / 0", "loss is nan"),
        (
            "network.py",
            "logits(self(images)",
            "logits(self(images).detach()",
            "loss cannot be differentiated in the im",
        ),
        (
            "network.py",
            "return nn.functional",
            "return images.abs().mean() or nn.functional",
            "no finite second derivative",
        ),
        (
            "network.py",
            "saliency in self(images)",
            "saliency in self(images)[:1]",
            "returned 1 predictions for 2 images",
        ),
        (
            "network.py",
            "saliency in self(images).sigmoid()",
            "saliency in self(images) * 9 + 9",
            "saliency lies in [0,1]",
        ),
        ("network.py", "self(images).sigmoid()", "self(images)[..., 1:].sigmoid()", "a map of (1, 64, 96) is expected"),
        (
            "network.py",
            "with evaluating(self)",
            "self.eval()\n        with torch.no_grad()",
            "left the network in another",
        ),
        (
            "network.py",
            "return self.backbone(images)",
            "return self.backbone(images.detach()).detach()",
            "features cannot",
        ),
        (
            "network.py",
            "with evaluating(self):",
            "self.seen = images\n        __import__('time').sleep(0.05)\n        images = self.seen\n"
            "        with evaluating(self):",
            "with another thread beside it predict returned another prediction",
        ),
    ],
)
def test_a_broken_task_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, message: str
) -> None:
    changed("glow", tmp_path, file, old, new)
    path = tmp_path / "glow/card.toml"
    path.write_text(path.read_text().partition("[[training]]")[0])  # the networks alone
    report = report_of(tmp_path, monkeypatch)
    assert any(message in line for line in failures(report)), report.rows


def test_a_task_without_its_libraries_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import fusionbench.tasks.openmmlab as m\n        raise m.MissingExtra('mmdet', ModuleNotFoundError())"
    changed("glow", tmp_path, "__init__.py", "return GlowNet(channels)", code)
    report = report_of(tmp_path, monkeypatch)
    assert report.ok
    skipped = [row for row in report.rows if row.state == "skip"]
    assert [row.name for row in skipped] == ["glow-net: builds"]
    assert "mmdet is missing: pip install" in skipped[0].detail


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (', "optimiser": self.optimiser}', "}", "network.share differ from those of the run in one go"),
        ("(self.network(ir, vis) -", "(self.network(ir, vis) / 0 -", "the loss is inf"),
        ("build(self, settings, device):", "build(self, settings, device):\n        raise KeyError('x')", "KeyError"),
        ("class BlendRecipe", "class Other", "recipe defines no 'BlendRecipe'"),
        ("import torch\n", "import torhc\n", "importing recipe failed: ModuleNotFoundError"),
    ],
)
def test_a_broken_recipe_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    report = report_of(changed("blend", tmp_path, "recipe.py", old, new), monkeypatch)
    assert any(message in line for line in failures(report)), report.rows


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('{ teacher = "lr" }', "weights: teacher is no setting of recipe:BlendRecipe"),
        ('{ lr = "vfn" }', "weights: lr = 'vfn' is neither a stage nor a setting"),
    ],
)
def test_weights_of_other_runs_that_nothing_takes_are_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, message: str
) -> None:
    old = 'datasets = ["msrs"]'
    report = report_of(changed("blend", tmp_path, "card.toml", old, f"{old}\nweights = {rule}"), monkeypatch)
    assert any(message in line for line in failures(report)), report.rows


@pytest.mark.parametrize("name", ["blend", "glow"])
def test_our_examples_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    report = report_of(changed(name, tmp_path), monkeypatch)
    assert report.ok, failures(report)
    assert report.rows[-1].state == "ok"
    assert "stop and resume" in report.rows[-1].name


def test_json() -> None:
    done = fusionbench("validate", "average", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["ok"] is True
