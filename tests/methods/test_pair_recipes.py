"""Recipes of one network and one loss: the loss falls, resume is exact, the trained weights fuse."""

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

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.methods.pair_recipe import PairRecipe
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from tests.training.toys import weights

PATCH = {"ydtr": 16, "swinfusion": 8}  # side with which a run takes seconds, where it is not 32
LEAST = 16  # side with which there is something to learn


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
    assert KINDS.keys() >= {"densefuse", "datfuse", "ydtr"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated training pairs in the layout of MSRS, 64x80."""
    root = tmp_path_factory.mktemp("scenes") / "MSRS"
    synth("msrs", root, 8, 1, (64, 80), 0)
    return root


def run(
    name: str, root: Path, out: Path, epochs: int, resume: bool = False, max_steps: int | None = None, least: int = 0
) -> Any:
    recipe = KINDS[name]()
    recipe.datasets = {"msrs": open_dataset("msrs", root, exact=True)}
    chosen = recipe.presets.choose(["msrs"], size="tiny", options=[f"patch={max(least, PATCH.get(name, 32))}"])
    settings = replace(chosen, epochs=epochs, tensorboard=False, picture_every=0, save_every=2)
    end = train(recipe, settings, out, resume=resume, options=RunOptions(quiet=True, max_steps=max_steps))
    return recipe, end


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_loss_falls_and_weights_fuse(name: str, scenes: Path, tmp_path: Path) -> None:
    recipe, end = run(name, scenes, tmp_path, recipe_epochs(name), least=LEAST)
    assert end.finished
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(found[-8:]) < 0.8 * np.mean(found[:8])
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
    run(name, scenes, tmp_path / "calm", 2)
    for steps in (1, 3, None):
        torch.rand(3)  # what happens between two sessions must not matter
        _, end = run(name, scenes, tmp_path / "torn", 2, resume=steps != 1, max_steps=steps)
    assert end.finished
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    one, two = (weights(tmp_path / part) for part in ("calm", "torn"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
