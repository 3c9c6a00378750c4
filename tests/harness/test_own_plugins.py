"""Plugins in a folder that is in no package, on the command line: a method, a task's network, a dataset with labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench import environment
from fusionbench.data.synth import synth
from fusionbench.evaluation.entries import entries
from fusionbench.plugins.method import Context
from fusionbench.plugins.trainable import training
from fusionbench.tasks.loading import load_network
from tests.conftest import fusionbench

OWN = Path(__file__).parents[1] / "own_plugins"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example plugins, known in this process too."""
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(OWN))
    environment.apply()
    return OWN


def test_a_method(tmp_path: Path, own: Path) -> None:
    synth("msrs", tmp_path / "msrs", 6, 1, (32, 48), 0)
    command = ("--plugins", own, "train", "blend", "--dataset", f"msrs={tmp_path / 'msrs'}", "--size", "tiny")
    for more in (("--max-steps", 4), ("--resume",)):  # stopped within the second epoch
        done = fusionbench(*command, "--out", tmp_path / "run", *more)
        assert done.returncode == 0, done.stderr
    assert "blend[msrs-tiny] is an entry now" in done.stderr
    (entry,), _ = entries("blend[msrs-tiny]")
    ir, vis = torch.ones(1, 1, 4, 4), torch.zeros(1, 3, 4, 4)
    with torch.inference_mode():
        fused = entry.build("cpu").fuse(ir, vis, Context(["a"]))
    assert fused.shape == ir.shape
    assert float(fused.mean()) != pytest.approx(0.5)  # where it began


def test_a_task_network(tmp_path: Path, own: Path) -> None:
    synth("vt5000", tmp_path / "vt5000", 4, 1, (32, 48), 0)
    done = fusionbench(
        *("--plugins", own, "train", "glow-net", "--dataset", f"vt5000={tmp_path / 'vt5000'}"),
        *("--size", "tiny", "--out", tmp_path / "run"),
    )
    assert done.returncode == 0, done.stderr
    network, facts = load_network(tmp_path / "run")
    assert (facts["task"], facts["name"]) == ("glow", "glow-net")
    (prediction,) = network.predict(torch.from_numpy(np.zeros((1, 3, 8, 8), np.float32)))
    assert prediction.saliency.shape == (1, 8, 8)


def test_a_plugin_in_a_file_has_its_recipe_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = OWN / "blend"
    for old, new in (("card.toml", "blend.toml"), ("__init__.py", "blend.py")):
        shutil.copy(source / old, tmp_path / new)
    for name in ("network.py", "recipe.py"):
        shutil.copy(source / name, tmp_path / name)
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path))
    environment.apply()
    assert type(training("blend").make()).__name__ == "BlendRecipe"


def test_a_dataset(tmp_path: Path, own: Path) -> None:
    origin = synth("yard", tmp_path / "Yard", 1, 2, (32, 48), 0)
    assert origin.counts == {"train": 1, "val": 2}
    command = ("--plugins", own, "eval", "--methods", "average", "--data-root", tmp_path)
    done = fusionbench(*command, "--datasets", "yard", "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert "split val: 2 of 2 pairs" in done.stdout
    assert "under output rule clip-round for all" in done.stdout
    synth("msrs", tmp_path / "MSRS", 0, 1, (32, 48), 0)
    done = fusionbench(*command, "--datasets", "yard,msrs", "--out", tmp_path / "results")
    assert "scenes-yard clip-round and scenes-msrs released; choose one with --output-rule" in done.stderr


def test_task_networks_learn_from_any_dataset_with_their_label(own: Path) -> None:
    for network, code in (("yolov8-tiny", 0), ("segformer-tiny", 2)):
        done = fusionbench("--plugins", own, "train", network, "--dataset", "yard", "--show-config")
        assert done.returncode == code, done.stderr
    assert (
        "no recipe of segformer-tiny for yard; there are: msrs, fmb, others with mask, and those whose card says so"
        in done.stderr
    )


def test_a_fault_of_a_plugin_is_not_taken_for_ours(tmp_path: Path) -> None:
    synth("msrs", tmp_path / "msrs", 2, 0, (32, 48), 0)
    for old, new, text in (
        (
            "self.network(ir",
            "self.netwrok(ir",
            "line 43: AttributeError: 'BlendRecipe' object has no",
        ),
        ('{"batch": 2', '{"bach": 2', "BlendSettings has no field 'bach', which its presets change"),
    ):
        shutil.copytree(OWN / "blend", tmp_path / new[:6] / "blend")
        path = tmp_path / new[:6] / "blend/recipe.py"
        path.write_text(path.read_text().replace(old, new))
        done = fusionbench(
            *("--plugins", tmp_path / new[:6], "train", "blend", "--dataset", f"msrs={tmp_path / 'msrs'}"),
            *("--size", "tiny", "--out", tmp_path / "run" / new[:6]),
        )
        assert done.returncode != 0
        assert text in done.stderr
        assert "please report it" not in done.stderr


def test_what_a_recipe_exports_is_asked_before_the_first_step(tmp_path: Path) -> None:
    synth("msrs", tmp_path / "msrs", 2, 0, (32, 48), 0)
    shutil.copytree(OWN / "blend", tmp_path / "own/blend")
    path = tmp_path / "own/blend/recipe.py"
    path.write_text(path.read_text().replace('{"share":', '{"net.share":'))
    done = fusionbench(
        *("--plugins", tmp_path / "own", "train", "blend", "--dataset", f"msrs={tmp_path / 'msrs'}"),
        *("--size", "tiny", "--out", tmp_path / "run"),
    )
    assert done.returncode == 2
    assert "blend: the method cannot load what its recipe exports: " in done.stderr
    assert "share" in done.stderr
    assert not (tmp_path / "run/log.jsonl").exists()


def test_commands_in_messages_name_the_plugins_that_were_given(tmp_path: Path, own: Path) -> None:
    synth("msrs", tmp_path / "msrs", 2, 1, (32, 48), 0)
    train = ("train", "blend", "--dataset", f"msrs={tmp_path / 'msrs'}", "--size", "tiny", "--out", tmp_path / "run")
    done = fusionbench("--plugins", own, *train, FUSIONBENCH_PLUGINS="")
    assert f"is an entry now: fusionbench --plugins {own} eval --methods 'blend[msrs-tiny]'" in done.stderr
    assert f"fusionbench --plugins {own} train blend" in fusionbench("--plugins", own, "show", "blend").stdout
    done = fusionbench("--plugins", own, "leaderboard", "--out", tmp_path / "none", FUSIONBENCH_PLUGINS="")
    assert f"run `fusionbench --plugins {own} eval --out" in done.stderr
    done = fusionbench("leaderboard", "--out", tmp_path / "none")  # from the environment, which stays as it is
    assert "run `fusionbench eval --out" in done.stderr
