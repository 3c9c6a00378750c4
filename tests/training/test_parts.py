"""A batch in parts: the losses and gradients of the whole batch, and less memory; refused where that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.methods.cldyn.rsc import RSC
from fusionbench.plugins.cards import cards
from fusionbench.training.data import Batch, TrainingSplit
from fusionbench.training.options import RunOptions
from fusionbench.training.parts import take_in_parts
from fusionbench.training.recipe import Recipe
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from fusionbench.training.trained import recorded
from tests.training import toys

TAKE = {"densefuse": ("batch=4",), "refusion": ("patch=48", "batch=4", "meta_steps=0")}
REFUSE = {  # recipe to why
    "datfuse": r"DATFuseNet has batch statistics \(\S+\), which parts would change",
    "ydtr": r"YDTRNet has batch statistics \(\S+\), which parts would change",
    "cldyn vfn": r"VFN has batch statistics \(\S+\), which parts would change",
    "cldyn rsc": r"RSC has batch statistics \(\S+\), which parts would change",
    "tdfusion": "meta steps go through an update of the whole batch; see the setting checkpointing",
    "segmentation": "a task network computes its loss inside, of the whole batch",
    "detection": "a task network computes its loss inside, of the whole batch",
    "saliency": "a task network computes its loss inside, of the whole batch",
}


def test_every_recipe_is_named() -> None:
    """One that takes parts is compared below; one that does not has its reason, unless it takes batches as they are."""
    known = [*cards("method").values(), *cards("task").values()]
    names = {}
    for card in known:
        for t in card.data.get("training", ()):
            module, _, recipe = t["recipe"].partition(":")
            kind = getattr(import_module(f"{card.module}.{module}"), recipe)
            names[f"{card.name} {t.get('stage', '')}".strip()] = kind.divisible is Recipe.divisible
    assert names.keys() >= TAKE.keys() | REFUSE.keys()
    assert {name for name, plain in names.items() if not plain} <= TAKE.keys() | REFUSE.keys()
    assert not any(names[name] for name in TAKE)


def test_published_settings_are_not_taken_for_parts() -> None:
    """No recipe gives a setting of the loop another meaning: at full size a batch goes through its network whole."""
    for card in [*cards("method").values(), *cards("task").values()]:
        for t in card.data.get("training", ()):
            module, _, recipe = t["recipe"].partition(":")
            kind = getattr(import_module(f"{card.module}.{module}"), recipe)
            datasets = t["datasets"] if t.get("together") else t["datasets"][:1]
            settings = kind.presets.choose(datasets)
            assert (settings.accumulate, settings.resident, settings.cache) == (1, False, True), (card.name, recipe)
            assert kind.reads is not Recipe.reads, (card.name, recipe)  # else files are decoded anew in each epoch


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "MSRS"
    synth("msrs", root, 8, 1, (96, 112), 0)
    return root


def learn(name: str, scenes: Path, out: Path, accumulate: int) -> tuple[list[float], list[Tensor], float]:
    """Losses of two steps, the whole gradient of each update, MB that forward passes left for the way back."""
    options = (*TAKE[name], f"accumulate={accumulate}", "tensorboard=false", "picture_every=0")
    request = TrainRequest(name=name, datasets=(f"msrs={scenes}",), size="tiny", options=options, folder=out)
    gradients: list[Tensor] = []
    held: dict[int, int] = {}

    def note(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double())

    def left(value: Tensor) -> Tensor:
        held[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    hook = register_optimizer_step_pre_hook(note)
    try:
        with torch.autograd.graph.saved_tensors_hooks(left, lambda value: value):
            run(request, RunOptions(quiet=True, max_steps=2))
    finally:
        hook.remove()
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "step" in row], gradients, sum(held.values()) / 1e6


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.dtype]:
    """Networks and batches are of this type."""
    before = TrainingSplit.batch

    def batch(self: TrainingSplit, *given: Any) -> Batch:
        made = before(self, *given)
        return replace(made, ir=made.ir.to(request.param), vis=made.vis.to(request.param))

    monkeypatch.setattr(TrainingSplit, "batch", batch)
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", TAKE)
def test_parts_give_the_whole(name: str, precision: torch.dtype, scenes: Path, tmp_path: Path) -> None:
    """To 1e-6, and in float64 to 1e-11, which only rounding leaves over; three parts of four are two and two."""
    near, counts = (1e-6, (3, 4)) if precision == torch.float32 else (1e-11, (3,))
    losses, gradients, held = learn(name, scenes, tmp_path / "1", 1)
    for count in counts:
        others, found, less = learn(name, scenes, tmp_path / str(count), count)
        assert others == pytest.approx(losses, rel=near)
        assert len(found) == len(gradients) >= 2
        for one, two in zip(gradients, found, strict=True):
            assert float((one - two).norm() / one.norm()) < 5 * near  # levels of 0..255 cost float32 a digit
        assert less < 0.6 * held
    assert not torch.equal(gradients[0], gradients[-1])


@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize("name", REFUSE)
def test_refused_in_a_line(name: str, scenes: Path, tmp_path: Path) -> None:
    if name == "cldyn rsc":  # which begins with trained networks
        with pytest.raises(FusionbenchError, match=REFUSE[name]):
            take_in_parts([RSC(2)], 2)
        return
    networks = {"segmentation": "segformer-tiny", "detection": "yolov8-tiny", "saliency": "ctdnet-tiny"}
    method, _, stage = name.partition(" ")
    trained = networks.get(name, method)
    data = {"saliency": "vt5000", "tdfusion": "fmb"}.get(name, "msrs")
    root = scenes
    if data != "msrs":
        root = tmp_path / data
        synth(data, root, 4, 1, (96, 112), 0)
    request = TrainRequest(
        name=trained,
        datasets=(f"{data}={root}",),
        stage=stage or None,
        size="tiny",
        options=("accumulate=2", "tensorboard=false"),
        folder=tmp_path / "run",
    )
    with pytest.raises(FusionbenchError, match=rf"^accumulate=2: {REFUSE[name]}; take accumulate=1$"):
        run(request, RunOptions(quiet=True))
    assert not (tmp_path / "run/log.jsonl").exists()


def test_meta_steps_are_refused(scenes: Path, tmp_path: Path) -> None:
    request = TrainRequest(
        name="refusion", datasets=(f"msrs={scenes}",), size="tiny", options=("accumulate=2",), folder=tmp_path
    )
    with pytest.raises(FusionbenchError, match=r"accumulate=2: meta steps go through an update .* take accumulate=1"):
        run(request, RunOptions(quiet=True))


def test_random_layers_are_refused() -> None:
    with pytest.raises(FusionbenchError, match=r"Sequential drops at random \(1\), in parts otherwise than whole"):
        take_in_parts([nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout2d(0.1))], 2)


def test_a_recipe_that_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="accumulate=2: this recipe takes its batches as they are"):
        toys.run("toy", tmp_path, toys.settings(accumulate=2))


def test_records_of_runs_without_parts_are_as_they_were() -> None:
    """Their hashes stand in tables; `cache` changes no number, so it is in none."""
    assert recorded(toys.settings()) == recorded(toys.settings(cache=False))
    assert not {"cache", "accumulate"} & recorded(toys.settings()).keys()
    assert recorded(toys.settings(accumulate=2))["accumulate"] == 2
