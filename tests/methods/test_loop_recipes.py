"""Recipes with a task network in the loop: its loss counts from the second round on, resume is exact, weights fuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.methods.mrfs.recipe import MRFSRecipe
from fusionbench.methods.semantic_loop import PARTS, LoopRecipe, Part, Turn
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.training.data import Batch
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from tests.conftest import fusionbench
from tests.training.toys import weights

pytestmark = pytest.mark.usefixtures("mm")

QUICK: dict[str, list[str]] = {  # a run of two rounds in seconds
    "seafusion": ["batch=4", "passes=1", "task_steps=1"],
    "irfs": ["size=(16,32)", "passes=1", "task_passes=1"],
    "mrfs": ["crop=(32,32)", "batch=4"],
    "segmif": ["batch=1", "steps_first=1", "steps_later=1", "task_steps=1"],
}


def kinds() -> dict[str, tuple[str, type[Any]]]:
    """Dataset and recipe of all methods whose recipe is of this kind, or learns fusion and a task at once."""
    found = {}
    for name, card in cards("method").items():
        for training in card.data.get("training", ()):
            module, _, recipe = training["recipe"].partition(":")
            kind = getattr(import_module(f"{card.module}.{module}"), recipe)
            if issubclass(kind, (LoopRecipe, MRFSRecipe)):
                found[name] = (training["datasets"][0], kind)
    return found


KINDS = kinds()


def test_there_are_some() -> None:
    assert KINDS.keys() >= QUICK.keys()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated training pairs with labels in the layout of each dataset, 64x80."""
    root = tmp_path_factory.mktemp("scenes")
    for dataset in sorted({dataset for dataset, _ in KINDS.values()}):
        synth(dataset, root / dataset, 8, 1, (64, 80), 0)
    return root


def run(name: str, root: Path, out: Path, resume: bool = False, max_steps: int | None = None, **changes: Any) -> Any:
    dataset, kind = KINDS[name]
    recipe = kind()
    recipe.datasets = {dataset: open_dataset(dataset, root / dataset, exact=True)}
    settings = recipe.presets.choose([dataset], size="tiny", options=changes.pop("options", ()))
    settings = replace(settings, tensorboard=False, picture_every=0, **changes)
    return recipe, train(recipe, settings, out, resume=resume, options=RunOptions(quiet=True, max_steps=max_steps))


def log(out: Path) -> list[dict[str, Any]]:
    """The lines of the steps."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_losses_fall_and_weights_fuse(name: str, scenes: Path, tmp_path: Path) -> None:
    recipe, end = run(name, scenes, tmp_path)
    assert end.finished
    rows = log(tmp_path)
    task = [row["loss"] for row in rows if row.get("kind") != "fusion"]
    first = [row["loss"] for row in rows if row.get("kind") == "fusion" and row["epoch"] == 1] or task
    assert np.mean(first[-2:]) < np.mean(first[:2])
    assert np.mean(task[-4:]) < 0.95 * np.mean(task[:4])
    method = resolve("method", name)()
    converted = method.convert(recipe.export())
    save_file(converted, tmp_path / "weights.safetensors")
    method.load(tmp_path / "weights.safetensors")
    assert all(torch.equal(value, converted[key]) for key, value in method.network.state_dict().items())
    assert method.fuse(torch.rand(1, 1, 32, 40), torch.rand(1, 3, 32, 40)).shape[2:] == (32, 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_trained_weights_are_an_entry(name: str, scenes: Path, tmp_path: Path) -> None:
    dataset, _ = KINDS[name]
    data = f"{dataset}={scenes / dataset}"
    options = ["--cfg-options", *QUICK[name], "epochs=1"]
    done = fusionbench("train", name, "--dataset", data, "--size", "tiny", "--out", tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr
    done = fusionbench("eval", "--methods", name, "--datasets", data, "--metrics", "en", "--out", tmp_path / "results")
    assert f"| {name}[{dataset}-tiny] |" in done.stdout, done.stderr


@pytest.mark.parametrize("name", KINDS)
def test_resume_is_exact(name: str, scenes: Path, tmp_path: Path) -> None:
    two = {"options": QUICK[name], "epochs": 2, "save_every": 2}
    run(name, scenes, tmp_path / "calm", **two)
    total = len(rows := log(tmp_path / "calm"))
    fusion = [row for row in rows if row.get("kind") == "fusion"]
    assert ["semantic" in row for row in fusion] == [row["epoch"] == 2 for row in fusion]
    for steps in (1, total - 2, None):
        torch.rand(3)  # what happens between two sessions must not matter
        _, end = run(name, scenes, tmp_path / "torn", resume=steps != 1, max_steps=steps, **two)
    assert end.finished
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    one, other = (weights(tmp_path / part) for part in ("calm", "torn"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("seafusion", ["network=ctdnet-tiny"], "network=ctdnet-tiny: a network of saliency learns from saliency"),
        ("irfs", ["network=segformer-tiny"], "takes one that learns from saliency"),
        ("irfs", ["size=(8,32)"], "size=8,32: needs 16 or more each way"),
        ("irfs", ["batch=9"], "8 training samples are fewer than a batch of 9"),
        ("segmif", ["task_crop=(32,16)"], "task_crop=32,16: needs 32 or more each way"),
        ("mrfs", ["crop=(16,16)"], "crop=16,16: needs 32 or more each way"),
        ("seafusion", ["batch=9"], "8 training samples are fewer than a batch of 9"),
    ],
)
def test_what_cannot_be_trained_is_said_first(
    name: str, options: list[str], message: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(FusionbenchError, match=re.escape(message)):
        run(name, scenes, tmp_path, options=options)
    assert not (tmp_path / "log.jsonl").exists() or not log(tmp_path)


def built(name: str, scenes: Path, **changes: Any) -> Any:
    """A recipe at its published settings, but for a few."""
    dataset, kind = KINDS[name]
    recipe = kind()
    recipe.datasets = {dataset: open_dataset(dataset, scenes / dataset, exact=True)}
    recipe.build(replace(recipe.presets.choose([dataset]), **changes), torch.device("cpu"))
    return recipe


def turn(part: Part, round: int, number: int) -> Turn:
    return Turn(part, round, number, Batch([], torch.empty(0), torch.empty(0)))


def test_rates_of_seafusion(scenes: Path) -> None:
    recipe = built("seafusion", scenes, network="segformer-tiny", batch=4)  # two steps a pass
    rates = [recipe.rate(turn("fusion", 2, number)) for number in (0, 1, 2, 19)]
    assert rates == pytest.approx([1e-3 / 0.75, 1e-3 / 0.75, 1e-3, 1e-3 * 0.75**8])
    task = [recipe.rate(turn("task", *at)) for at in ((0, 0), (0, 500), (0, 1000), (2, 500))]
    assert task == pytest.approx([6e-7, 6e-4 * 1e-3**0.5, 6e-4, 6e-4 * 0.5**0.9], rel=1e-3)
    assert [recipe.semantic_weight(turn("fusion", round, 0)) for round in (1, 3)] == [1, 3]
    assert [len([s for s in recipe.batches(1, 0) if s.kind == part]) for part in PARTS] == [20, 20000]


def test_rates_of_segmif_and_irfs(scenes: Path) -> None:
    recipe = built("segmif", scenes, network="tiny")
    assert recipe.rate(turn("fusion", 1, 2000)) == pytest.approx(1e-4 / 2 * 0.9)
    assert [recipe.rate(turn("task", *at)) for at in ((0, 1500), (2, 0))] == pytest.approx([4e-5, 8e-5 * 0.875])
    assert [recipe.steps("fusion", round) for round in (0, 1)] == [6000, 4000]
    recipe = built("irfs", scenes, network="ctdnet-tiny")  # two steps a pass
    assert [recipe.rate(turn("task", 3, number)) for number in (0, 2, 19)] == pytest.approx([5e-6, 1e-5, 5e-5])
    assert [recipe.steps(part, 0) for part in PARTS] == [6, 20]


@pytest.mark.parametrize(("name", "fusion_anew"), [("seafusion", True), ("segmif", False), ("irfs", False)])
def test_what_begins_anew_after_a_round(name: str, fusion_anew: bool, scenes: Path, tmp_path: Path) -> None:
    recipe, _ = run(name, scenes, tmp_path, options=QUICK[name], epochs=1)
    before = [{key: value.clone() for key, value in part.state_dict().items()} for part in (recipe.net, recipe.task)]
    recipe.settings = replace(recipe.settings, epochs=2)
    recipe.epoch_end(0)
    same = [
        all(torch.equal(value, old[key]) for key, value in part.state_dict().items())
        for part, old in zip((recipe.net, recipe.task), before, strict=True)
    ]
    assert same == [not fusion_anew, True]
    assert not recipe.moves["task"].state
    assert bool(recipe.moves["fusion"].state) == (name == "irfs")


def test_the_other_network_is_frozen(scenes: Path, tmp_path: Path) -> None:
    recipe, _ = run("seafusion", scenes, tmp_path, options=QUICK["seafusion"], epochs=1)
    for step in (recipe.batches(1, 0)[0], recipe.batches(1, 0)[-1]):
        held = {"fusion": recipe.task, "task": recipe.net}[step.kind]
        before = {key: value.clone() for key, value in held.state_dict().items()}
        moved = {"fusion": recipe.net, "task": recipe.task}[step.kind]
        first = next(moved.parameters()).detach().clone()
        recipe.step(recipe.load(step, 1, 0))
        assert all(torch.equal(value, before[key]) for key, value in held.state_dict().items())
        assert not torch.equal(next(moved.parameters()), first)
