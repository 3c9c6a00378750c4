"""Recipes of one loss, or of one for each of two stages: it falls, resume is exact, the trained weights fuse."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.authors_losses import fill
from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.methods.losses.perceptual import VGG16, vgg16
from fusionbench.methods.pair_recipe import PairRecipe
from fusionbench.methods.staged_recipe import StagedSettings
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from fusionbench.training.settings import kinds as kinds_of_settings
from tests.training.toys import weights

PATCH = {"ydtr": 16, "swinfusion": 8}  # side with which a run takes seconds, where it is not 32
LEAST = 16  # side with which there is something to learn
QUICK = {"cddfuse": ["patch=16", "batch=2"], "didfuse": ["patch=16"], "emma": ["patch=16", "width=2"]}  # to resume
# To which share a loss falls is 0.8, and 0.9 in a second stage, which begins with what the first has learnt; that of
# EMMA hangs more on the windows of a step than on what is learnt so far, so that quarters are compared.
FALLS = {"emma": (0.95, 0.95)}


def kinds() -> dict[str, type[PairRecipe[Any]]]:
    """The recipes of all methods that are of this kind."""
    found = {}
    for name, card in cards("method").items():
        for training in card.data.get("training", ()):
            module, _, recipe = training["recipe"].partition(":")
            kind = getattr(import_module(f"{card.module}.{module}"), recipe)
            if issubclass(kind, PairRecipe):
                found[name] = kind
    return found


KINDS = kinds()


def test_there_are_some() -> None:
    assert KINDS.keys() >= {"densefuse", "datfuse", "ydtr", "didfuse", "cddfuse", "rfnnest", "lrrnet", "emma"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated training pairs in the layout of MSRS, 64x80."""
    root = tmp_path_factory.mktemp("scenes") / "MSRS"
    synth("msrs", root, 8, 1, (64, 80), 0)
    return root


def vgg(folder: Path) -> Path:
    """A file of VGG-16 with weights by a formula."""
    if not (file := folder / "vgg.safetensors").exists():
        network = VGG16()
        fill(network)
        save_file(network.state_dict(), file)
    return file


def run(
    name: str,
    root: Path,
    out: Path,
    epochs: int,
    *more: str,
    resume: bool = False,
    max_steps: int | None = None,
    least: int = 0,
) -> Any:
    recipe = KINDS[name]()
    recipe.datasets = {"msrs": open_dataset("msrs", root, exact=True)}
    options = [f"patch={max(least, PATCH.get(name, 32))}", *more]
    if "vgg" in kinds_of_settings(recipe.presets.record):
        options.append(f"vgg={vgg(root.parent)}")
    chosen = recipe.presets.choose(["msrs"], size="tiny", options=options)
    short = isinstance(chosen, StagedSettings) and chosen.first >= epochs
    stages = {"first": epochs // 2} if short else {}
    settings = replace(chosen, epochs=epochs, tensorboard=False, picture_every=0, save_every=2, **stages)
    end = train(recipe, settings, out, resume=resume, options=RunOptions(quiet=True, max_steps=max_steps))
    return recipe, end


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_loss_falls_and_weights_fuse(name: str, scenes: Path, tmp_path: Path) -> None:
    recipe, end = run(name, scenes, tmp_path, recipe_epochs(name), least=LEAST)
    assert end.finished
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    stages = getattr(recipe, "stages", [None])
    for stage, most in zip(stages, FALLS.get(name, (0.8, 0.9)), strict=False):
        found = [row["loss"] for row in rows if "loss" in row and row.get("kind") == stage]
        part = len(found) // 4 if name in FALLS else min(8, len(found) // 3)
        assert np.mean(found[-part:]) < most * np.mean(found[:part]), stage
    method = resolve("method", name)()
    save_file(method.convert(recipe.export()), tmp_path / "weights.safetensors")
    method.load(tmp_path / "weights.safetensors")
    held = recipe.result()
    assert all(torch.equal(value, held[key]) for key, value in method.network.state_dict().items())
    fused = method.fuse(torch.rand(1, 1, 32, 40), torch.rand(1, 3, 32, 40))
    assert fused.shape in ((1, 1, 32, 40), (1, 3, 32, 40))


def recipe_epochs(name: str) -> int:
    """As many as the size tiny has."""
    return int(KINDS[name].presets.choose(["msrs"], size="tiny").epochs)


@pytest.mark.parametrize("name", KINDS)
def test_resume_is_exact(name: str, scenes: Path, tmp_path: Path) -> None:
    quick = QUICK.get(name, ())
    run(name, scenes, tmp_path / "calm", 2, *quick)
    for steps in (1, 3, None):
        torch.rand(3)  # what happens between two sessions must not matter
        _, end = run(name, scenes, tmp_path / "torn", 2, *quick, resume=steps != 1, max_steps=steps)
    assert end.finished
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    one, two = (weights(tmp_path / part) for part in ("calm", "torn"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_second_stage_without_an_epoch_is_refused(scenes: Path, tmp_path: Path) -> None:
    recipe = KINDS["cddfuse"]()
    recipe.datasets = {"msrs": open_dataset("msrs", scenes, exact=True)}
    settings = recipe.presets.choose(["msrs"], size="tiny", options=["epochs=5"])
    with pytest.raises(FusionbenchError, match=r"epochs=5: the first 5 .* none is left for the stage fuse"):
        train(recipe, settings, tmp_path, options=RunOptions(quiet=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "setting 'vgg' is empty: .* give vgg=FILE"),
        ("vgg=nowhere.pth", "vgg=nowhere.pth: no such file; give a file of VGG-16"),
        ("vgg={other}", "has no conv1_1.weight of shape .*; give a file of VGG-16"),
    ],
)
def test_no_file_of_vgg(scenes: Path, tmp_path: Path, given: str, message: str) -> None:
    save_file({"features.0.weight": torch.zeros(3)}, other := tmp_path / "other.safetensors")
    recipe = KINDS["lrrnet"]()
    recipe.datasets = {"msrs": open_dataset("msrs", scenes, exact=True)}
    settings = recipe.presets.choose(["msrs"], size="tiny", options=[given.format(other=other)] if given else [])
    with pytest.raises(FusionbenchError, match=message):
        train(recipe, settings, tmp_path / "run", options=RunOptions(quiet=True))


def test_a_file_of_vgg_with_the_names_of_torchvision(tmp_path: Path) -> None:
    network, places = VGG16(), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
    fill(network)
    held = {"classifier.0.weight": torch.zeros(3), "features.24.weight": torch.zeros(3)}  # later layers, not read
    for place, layer in zip(places, network.children(), strict=True):
        held |= {f"features.{place}.{part}": value for part, value in layer.state_dict().items()}
    torch.save(held, file := tmp_path / "vgg16.pth")
    found = vgg16(str(file), "vgg").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
