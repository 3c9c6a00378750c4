"""Recipes of several networks, orders of updates or labels: what falls, exact resume, weights that fuse as an entry."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.trainable import training
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from tests.training.toys import weights

pytestmark = pytest.mark.usefixtures("mm")


@dataclass(frozen=True)
class Case:
    """A recipe on generated scenes.

    Attributes:
        method: whose.
        stage: of several.
        dataset: in whose layout the scenes lie.
        options: of a run that takes seconds.
        falls: the logged term that has to.
        to: at most this share of where it begins.
        slow: also to resume.
        epochs: of the run in which it falls; 0 for those of the size tiny.
        options_long: of that run.
    """

    method: str
    stage: str | None = None
    dataset: str = "msrs"
    options: tuple[str, ...] = ()
    falls: str = "loss"
    to: float = 0.8
    slow: bool = False
    epochs: int = 0
    options_long: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.method}-{self.stage}" if self.stage else self.method


CASES = {
    case.name: case
    for case in (
        Case("tardal", "dt", options=("patch=32",), falls="source"),
        Case("tardal", "ct", dataset="m3fd", options=("patch=32",)),
        Case("uaafusion", options=("patch=32", "batch=4"), falls="segmentation", to=0.92, slow=True),
        Case("detfusion", dataset="m3fd", falls="content", slow=True),
    )
}

QUICK = [pytest.param(name, marks=[pytest.mark.slow] if case.slow else []) for name, case in CASES.items()]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Eight generated training pairs of 64x80 in the layout of a dataset."""
    root = tmp_path_factory.mktemp("scenes")

    @cache
    def grown(name: str) -> Path:
        synth(name, root / name, 8, 1, (64, 80), 0)
        return root / name

    return grown


def run(
    case: Case,
    root: Path,
    out: Path,
    epochs: int,
    options: tuple[str, ...],
    resume: bool = False,
    max_steps: int | None = None,
) -> Any:
    recipe: Any = training(case.method, case.stage).make()
    recipe.datasets = {case.dataset: open_dataset(case.dataset, root, exact=True)}
    chosen = recipe.presets.choose([case.dataset], size="tiny", options=list(options))
    changes = {"epochs": epochs or chosen.epochs, "tensorboard": False, "picture_every": 0, "save_every": 2}
    settings = replace(chosen, **changes)
    return recipe, train(recipe, settings, out, resume=resume, options=RunOptions(quiet=True, max_steps=max_steps))


def logged(folder: Path, name: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_learns_and_the_weights_fuse(name: str, scenes: Any, tmp_path: Path) -> None:
    case = CASES[name]
    recipe, end = run(case, scenes(case.dataset), tmp_path, case.epochs, case.options_long)
    assert end.finished
    found = logged(tmp_path, case.falls)
    part = max(1, len(found) // 6)
    assert np.mean(found[-part:]) < case.to * np.mean(found[:part])
    method = resolve("method", case.method)()
    exported = recipe.export()
    save_file(method.convert(dict(exported)), tmp_path / "weights.safetensors")
    method.load(tmp_path / "weights.safetensors")
    held = method.network.state_dict()
    assert exported.keys() <= held.keys() or held.keys() <= exported.keys()
    assert all(torch.equal(held[key], exported[key]) for key in held.keys() & exported.keys())
    fused = method.fuse(torch.rand(1, 1, 64, 64), torch.rand(1, 3, 64, 64))
    assert fused.shape[-2:] == (64, 64)
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize("name", QUICK)
def test_resume_is_exact(name: str, scenes: Any, tmp_path: Path) -> None:
    case = CASES[name]
    root = scenes(case.dataset)
    run(case, root, tmp_path / "calm", 2, case.options)
    for steps in (1, 3, None):
        torch.rand(3)  # what happens between two sessions must not matter
        _, end = run(case, root, tmp_path / "torn", 2, case.options, resume=steps != 1, max_steps=steps)
    assert end.finished
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    one, two = (weights(tmp_path / part) for part in ("calm", "torn"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", QUICK)
def test_names_of_the_export_start_a_run(name: str, scenes: Any, tmp_path: Path) -> None:
    """``--from`` a run's folder: what is exported finds its networks again."""
    from fusionbench.training.begin import begin

    case = CASES[name]
    recipe, _ = run(case, scenes(case.dataset), tmp_path / "run", 1, case.options, max_steps=1)
    exported = {key: value + (0.5 if value.is_floating_point() else 1) for key, value in recipe.export().items()}
    save_file(exported, tmp_path / "weights.safetensors")
    assert begin(recipe, tmp_path / "weights.safetensors").startswith("starting from ")
    assert all(torch.equal(value, exported[key]) for key, value in recipe.export().items())


def test_tardal_refuses_a_side_that_cannot_be_halved(scenes: Any, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="patch=36: must be a multiple of 8"):
        run(CASES["tardal-dt"], scenes("msrs"), tmp_path, 1, ("patch=36",))


def test_tardal_critics_move_and_the_generator_waits(scenes: Any, tmp_path: Path) -> None:
    """While the generator does not listen to the critics its loss is the weighted distance alone."""
    recipe, _ = run(CASES["tardal-dt"], scenes("msrs"), tmp_path, 2, ("patch=32", "warm=1"))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    warm, listening = ([row for row in rows if row.get("epoch") == epoch and "loss" in row] for epoch in (1, 2))
    s = recipe.settings
    for row in warm:
        assert row["loss"] == pytest.approx(s.source * row["source"], rel=1e-6)
    for row in listening:
        expected = s.source * row["source"] + s.adversarial * row["verdict"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
    assert len({row["critic_target"] for row in rows if "critic_target" in row}) > 2


def test_tardal_detector_reaches_the_generator_after_the_warm_up_only(scenes: Any, tmp_path: Path) -> None:
    recipe, _ = run(CASES["tardal-ct"], scenes("m3fd"), tmp_path, 1, ("patch=32", "fuse=0"), max_steps=1)
    batch = recipe.pairs.batch([0, 1], 0, 0)
    for time, reached in ((0.5, False), (1.0, True)):
        recipe.sgd.zero_grad(set_to_none=True)
        recipe.accumulate(batch, time)
        slopes = [p.grad for p in recipe.gan.networks["generator"].parameters() if p.grad is not None]
        assert any(bool(slope.any()) for slope in slopes) == reached


def test_sage_learns_from_a_teachers_pictures(scenes: Any, tmp_path: Path) -> None:
    """They are cut and mirrored with their pair; what is not there, or of another size, is one line."""
    root, folder = scenes("msrs"), tmp_path / "teacher"
    folder.mkdir()
    dataset = open_dataset("msrs", root, exact=True)
    for ident in dataset.ids("train"):
        Image.fromarray(dataset.pair("train", ident).ir[0]).save(folder / f"{ident}.png")
    case = Case("sage", options=("patch=32", f"teacher={folder}"))
    recipe, end = run(case, root, tmp_path / "run", 1, case.options)
    assert end.finished
    batch = recipe.pairs.batch([0, 1, 2, 3], 0, 0)
    teacher = torch.stack([target["saliency"] for target in batch.targets])
    assert torch.equal(teacher, batch.ir)
    recipe.step(batch)
    with torch.no_grad():
        taught = recipe.losses(batch.ir, batch.vis[:, :1])["intensity"]
        recipe.teacher = None
        assert taught > recipe.losses(batch.ir, batch.vis[:, :1])["intensity"]
    victim = sorted(folder.iterdir())[0]
    Image.new("L", (8, 8)).save(victim)
    with pytest.raises(FusionbenchError, match="is 8x8, the pair is 64x80"):
        run(case, root, tmp_path / "size", 1, case.options)
    victim.unlink()
    with pytest.raises(FusionbenchError, match="the teacher's folder has no picture of that name"):
        run(case, root, tmp_path / "none", 1, case.options)
    with pytest.raises(FusionbenchError, match="no such folder of pictures"):
        run(case, root, tmp_path / "folder", 1, ("patch=32", "teacher=/none"))


def test_idf_tddt_leaves_what_a_text_drives_without_effect(scenes: Any, tmp_path: Path) -> None:
    case = Case("idf_tddt", options=("patch=32", "whole=64"))
    recipe, _ = run(case, scenes("msrs"), tmp_path, 1, case.options)
    save_file(recipe.export(), tmp_path / "weights.safetensors")  # no tensor under two names
    driven = {name: value for name, value in recipe.export().items() if name.startswith("T_dpi.")}
    assert driven
    assert not any(bool(value.any()) for name, value in driven.items() if name.endswith(("weight", "bias")))
    net = recipe.net.eval()
    with torch.no_grad():
        assert torch.equal(net(*(images := torch.rand(2, 1, 1, 32, 32))), net(*images, torch.rand(1, 4096)))
    assert [group["lr"] for group in recipe.adam.param_groups] != [recipe.settings.lr]
