"""The contract of a recipe: a few steps on generated pairs at size tiny, in one go, and stopped and resumed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.contract.report import Report, SkippedCheck, need
from fusionbench.plugins.cards import cards
from fusionbench.plugins.trainable import Training, trainings
from fusionbench.training.checkpoint import Checkpoint
from fusionbench.training.options import RunOptions
from fusionbench.training.recipe import Recipe
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from fusionbench.training.settings import kinds

PAIRS, SIZE = 8, (128, 160)
STEPS, STOP = 3, 1
OPTIONS = ("epochs=50", "workers=0", "tensorboard=false")  # so many epochs never end in the few steps


def check_recipes(name: str, report: Report) -> None:
    """Every recipe of a method or of a task's network: it starts, steps with a finite loss, and resumes exactly."""
    for training in trainings():
        if training.name == name:
            label = f"{name} {training.stage}".strip()
            with report.check(f"training of {label}: stop and resume"), tempfile.TemporaryDirectory() as scratch:
                _check(training, Path(scratch))


def _check(training: Training, scratch: Path) -> None:
    _check_weights(training)
    data = _dataset(training, scratch)
    straight = _request(training, data, scratch / "straight")
    try:
        run(straight, RunOptions(quiet=True, max_steps=STEPS))
    except FusionbenchError as error:
        if isinstance(error, PluginError) or (straight.out / "sessions.jsonl").exists():  # its own fault, or it began
            raise
        raise SkippedCheck(f"cannot start from generated pairs alone: {error}") from None
    run(_request(training, data, scratch / "stopped"), RunOptions(quiet=True, max_steps=STOP))
    run(_request(training, data, scratch / "stopped", resume=True), RunOptions(quiet=True, max_steps=STEPS))
    first, second = (Checkpoint.read(scratch / name / "last.pt") for name in ("straight", "stopped"))
    need(first.step == second.step == STEPS, f"{first.step} and {second.step} steps instead of {STEPS}")
    differing = list(_differing(first.state, second.state))
    need(
        not differing,
        f"stopped after step {STOP} and resumed, {', '.join(differing[:3])} differ from those of the run in one go; "
        "everything a step depends on belongs in state()",
    )


def _check_weights(training: Training) -> None:
    """That what the card says of other runs' weights names settings and stages that there are."""
    recipe = training.make()
    known = kinds(recipe.presets.record) if isinstance(recipe, Recipe) and training.weights else {}
    stages = {other.stage for other in trainings() if other.name == training.name and other.stage}
    for setting, source in training.weights.items():
        need(setting in known, f"{training.card.path}: weights: {setting} is no setting of {training.recipe}")
        need(
            source in stages or source in known,
            f"{training.card.path}: weights: {setting} = {source!r} is neither a stage nor a setting",
        )


def _dataset(training: Training, scratch: Path) -> str:
    """Generated pairs in the layout of the first dataset that allows it, as ``name=folder``."""
    drawn = [name for name in training.datasets if name in cards("dataset") and cards("dataset")[name].facts.scenes]
    if not drawn:
        raise SkippedCheck(f"no pairs can be generated like {', '.join(training.datasets)}")
    synth(drawn[0], scratch / "data", PAIRS, 2, SIZE, 0)
    return f"{drawn[0]}={scratch / 'data'}"


def _request(training: Training, data: str, folder: Path, resume: bool = False) -> TrainRequest:
    return TrainRequest(
        name=training.name,
        datasets=(data,),
        stage=training.stage or None,
        size="tiny",
        options=OPTIONS,
        folder=folder,
        resume=resume,
    )


def _differing(a: object, b: object, where: str = "") -> Iterator[str]:
    """Names of what is not the same in two states."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or not torch.equal(a, b):
            yield where
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}, key=str):
            yield from _differing(a.get(key), b.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str) and len(a) == len(b):
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _differing(x, y, f"{where}.{number}".lstrip("."))
    elif a != b:
        yield where
