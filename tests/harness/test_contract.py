"""One contract over every registered plugin, and that it catches what it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.evaluation.contract import validate
from fusionbench.plugins.cards import KINDS, card, cards
from tests.conftest import fusionbench
from tests.harness.test_cards import CARD, plugin

EVERY = [(kind, name) for kind in KINDS for name in cards(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{k}-{n}" for k, n in EVERY])
def test_plugin(kind: str, name: str) -> None:
    report = validate(card(kind, name))
    assert report.ok, [row for row in report.rows if row[1] == "fail"]


METHOD = (
    "from fusionbench.plugins.method import Method\nimport torch\n\n\nclass Mine(Method):\n"
    "    def fuse(self, ir, vis, context=None):\n        "
)
METRIC = (
    'kind = "metric"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "mine"\nversion = "1"\ndirection = "up"\n'
    'range = [0.0, 1.0]\ndefault = "a"\n[variants.a]\nformula = "f"\n'
)


@pytest.mark.parametrize(
    ("card", "code", "message"),
    [
        (CARD, METHOD + "return ir[..., 1:]\n", "fuse returned [2, 1, 48, 63]"),
        (CARD, METHOD + "return ir + torch.rand(1)\n", "inference must be deterministic"),
        (CARD, METHOD + "return ir - ir.mean()\n", "a batch of two differs"),
        (CARD, METHOD + "ir *= 0.5\n        return ir\n", "fuse changed its input"),
        (CARD, METHOD + "return ir / 0\n", "not finite"),
        (CARD + '[output]\nstretch = "much"\n', METHOD + "return ir\n", "stretch is 'much'"),
        (METRIC, "def mine(f, a, b):\n    return f.double().mean()[None] / 255\n", "returned [1] for a batch of 3"),
        (METRIC, "def mine(f, a, b):\n    return f.double().mean((1, 2, 3))\n", "outside [0.0, 1.0]"),
        (METRIC, "def mine(f, a, b):\n    return (f + f).double().mean((1, 2, 3)) / 510\n", "different values"),
        (METRIC.replace('default = "a"', 'default = "b"'), "mine = None\n", "default 'b' is none of its variants"),
    ],
)
def test_a_broken_plugin_is_caught(tmp_path: Path, card: str, code: str, message: str) -> None:
    plugin(tmp_path / "p", card, code)
    done = fusionbench("--plugins", tmp_path / "p", "validate", "mine")
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_json() -> None:
    done = fusionbench("validate", "average", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["ok"] is True
