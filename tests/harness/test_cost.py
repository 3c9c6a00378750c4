"""``fusionbench cost``. Oracle: operations counted by hand from the shapes of the convolutions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.evaluation.cost import Cost
from fusionbench.report.cost_table import groups, keep, kept
from tests.conftest import fusionbench, make_tree

CARD = """kind = "method"
name = "{name}"
title = "Own"
summary = "A network of one's own"
object = "Own"
version = "1"
family = "cnn"
licence = "MIT"

[output]
stretch = "none"
quantise = "round"
chroma = "opencv"
"""
NETWORK = """import torch
from torch import nn
from fusionbench.colour import luma
from fusionbench.method import Method

class Own(Method):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 1, 1))

    def fuse(self, ir, vis, context=None):
        return self.net(torch.cat([ir, luma(vis)], 1))
"""
FAULTS = {
    "gone": ("import os\n", "os._exit(9)", "its process was ended"),
    "broken": ("", "raise ValueError('no\\nnetwork')", "ValueError: no network"),
}


def plugin(folder: Path, name: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(CARD.format(name=name))
    (folder / f"{name}.py").write_text(code)


def rows(folder: Path) -> dict[str, Cost]:
    return {row.entry: row for row in kept(folder)}


def test_operations_parameters_time_and_memory(tmp_path: Path) -> None:
    plugin(tmp_path / "own", "own", NETWORK)
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own,average", "--size=64x96", "--out", tmp_path / "out")
    done = fusionbench(*words, "--runs=2")
    assert done.returncode == 0, done.stderr
    own, average = rows(tmp_path / "out")["own"], rows(tmp_path / "out")["average"]
    assert own.flops == 2 * 64 * 96 * (2 * 8 * 9 + 8)
    assert own.parameters == 2 * 8 * 9 + 8 + 8 + 1
    assert (average.flops, average.parameters) == (None, None)
    assert own.milliseconds > 0
    assert own.peak_mib is not None
    assert "| own | 161 |" in done.stdout

    # measured once; --again measures anew
    changed = json.loads((tmp_path / "out/costs.json").read_text())
    for row in changed:
        row["milliseconds"] = 12345.0
    (tmp_path / "out/costs.json").write_text(json.dumps(changed))
    assert "12,345.0" in fusionbench(*words).stdout
    assert "12,345.0" not in fusionbench(*words, "--again").stdout
    assert len(kept(tmp_path / "out")) == 2


def test_memory_of_a_large_array_is_seen(tmp_path: Path) -> None:
    plugin(
        tmp_path / "own", "own", NETWORK.replace("        return", "        torch.ones(64 << 20).sum()\n        return")
    )
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x32", "--out", tmp_path / "out")
    assert fusionbench(*words).returncode == 0
    assert 256 <= rows(tmp_path / "out")["own"].peak_mib < 400


@pytest.mark.parametrize("name", FAULTS)
def test_a_plugin_that_fails_costs_its_own_row(tmp_path: Path, name: str) -> None:
    head, line, said = FAULTS[name]
    plugin(tmp_path / "own", name, head + NETWORK.replace("return self", f"{line}\n        return self"))
    words = ("--plugins", tmp_path / "own", "cost", f"--methods={name},average", "--size=32x32")
    done = fusionbench(*words, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"- {name}: {said}" in done.stdout
    assert "| average |" in done.stdout


def test_quality_beside_cost(tmp_path: Path) -> None:
    make_tree(tmp_path / "data", 2)
    out = ("--out", tmp_path / "out")
    done = fusionbench("eval", "--methods=average,gff", "--metrics=en,sf", "--data-root", tmp_path / "data", *out)
    assert done.returncode == 0, done.stderr
    fusionbench("cost", "--methods=average,gff", "--size=32x48", *out)
    picture = tmp_path / "cost.png"
    done = fusionbench("cost", "--datasets=msrs", "--metrics=sf", "--picture", picture, *out)
    assert done.returncode == 0, done.stderr
    assert "| SF@mean ↑ |" in done.stdout
    assert "2 entries in" in done.stderr
    assert picture.read_bytes()[:4] == b"\x89PNG"
    for more, said in (
        (("--datasets=msrs", "--metrics=vif"), "the table of msrs has no column 'vif'"),
        (("--picture", picture), "name the table with --datasets"),
        (("--datasets=msrs", "--picture", tmp_path / "x.nosuch"), "x.nosuch"),
        (("--methods=nosuch",), "no method 'nosuch'"),
        (("--size=99999x99999",), "more than 64 million pixels"),
    ):
        done = fusionbench("cost", *more, *out)
        assert done.returncode == 2
        assert said in done.stderr
        assert "internal error" not in done.stderr


@pytest.mark.parametrize("text", ["{", "[{}]", '[{"entry": 3}]', "\x00", "[" * 2000])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "costs.json").write_text(text)
    done = fusionbench("cost", "--out", tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "costs.json") in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "costs.json").read_text() == text


def test_other_machines_stand_apart(tmp_path: Path) -> None:
    facts = {"key": "k", "height": 32, "width": 32, "device": "cpu", "threads": 1, "torch": "2", "made": "now"}
    both = [Cost(entry="a", processor=name, milliseconds=1.0, **facts) for name in ("One", "Two")]
    keep(tmp_path, [*both, both[0]])
    assert len(kept(tmp_path)) == 2
    assert [title.partition(" on ")[2] for title in groups(both)] == [
        "One, 1 thread; torch 2",
        "Two, 1 thread; torch 2",
    ]


@pytest.mark.real
def test_densefuse_by_hand(shared: Path, tmp_path: Path) -> None:
    """Encoder on both pictures: 1-16, then 16, 32 and 48 to 16; decoder 64-64-32-16-1; all 3x3 at full size."""
    settings = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}
    fusionbench("weights", "add", "densefuse", shared / "weights/DenseFuse/densefuse_gray.model", **settings)
    done = fusionbench("cost", "--methods=densefuse", "--size=48x64", "--runs=1", "--out", tmp_path / "out", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    encoder, decoder = 9 * (16 + (16 + 32 + 48) * 16), 9 * (64 * 64 + 64 * 32 + 32 * 16 + 16)
    (row,) = kept(tmp_path / "out")
    assert row.flops == 2 * 48 * 64 * (2 * encoder + decoder)
    assert row.parameters == encoder + 4 * 16 + decoder + 64 + 32 + 16 + 1
