"""Recipes of methods, shared by two processes that are stopped half way and go on, beside one process.

In double precision, so that only a wrong sum can make a difference; without dropout and stochastic depth, which each
process draws for itself; and with a large epsilon in Adam, which else makes steps of rounding errors where the
gradient is zero (a bias before batch normalisation).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.plugins.cards import cards
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from tests.training.test_recipes import Trees, alone, trees
from tests.training.toys import CONTEXT, join, together

__all__ = ["alone", "trees"]  # fixtures
pytestmark = pytest.mark.slow

COMMON = ("train.epochs=2", "log_every=1", "workers=0", "train.tensorboard=false", "cache=false")
RUNS = {  # what is compared, with settings with which a run has all of its parts and takes seconds
    "cddfuse": ("first=1", "patch=16", "batch=2"),
    "cldyn vfn": (),
    "datfuse": (),
    "densefuse": (),
    "didfuse": (),
    "irfs": ("passes=1", "task_passes=1"),
    "refusion": ("meta_steps=2", "patch=32", "epochs=1"),
    "rfnnest": ("first=1", "patch=32"),
    "seafusion": ("passes=1", "task_steps=2"),
    "tardal dt": ("warm=1",),
    "tdfusion": ("meta_steps=2", "task_size=(48,64)", "crop=(32,32)", "batch=4", "epochs=1"),
    "ydtr": (),
}


def still(recipe: Any) -> Any:
    """The recipe without what is left out at random, and with optimisers that take small steps by small gradients."""
    build = recipe.build

    def built(*arguments: Any) -> None:
        build(*arguments)
        for thing in recipe.state().values():
            for part in thing.modules() if isinstance(thing, nn.Module) else ():
                for rate in ("drop_prob", "skipped"):
                    if hasattr(part, rate):
                        setattr(part, rate, 0.0)
            for group in getattr(thing, "param_groups", ()):
                if "eps" in group:
                    group["eps"] = 1e-4

    recipe.build = built
    return recipe


def learn(request: TrainRequest, sessions: Sequence[tuple[Mapping[str, str], int | None]]) -> None:
    """Train in double precision, in sessions with an environment and a step to stop at; in a process of its own."""
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    F.dropout = F.dropout2d = lambda x, *_, **__: x  # type: ignore[assignment]
    for number, (environment, steps) in enumerate(sessions):
        recipe = still(request.recipe())
        recipe.datasets = request.opened
        options = RunOptions(quiet=True, launch=join(environment), max_steps=steps, note=print)
        train(recipe, request.settings, request.out, resume=number > 0, options=options)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested states, by dotted name."""
    pairs = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else None
    if pairs is None:
        yield name, state
    for key, value in pairs or ():
        yield from leaves(value, f"{name}.{key}")


def alike(one: Any, two: Any, name: str) -> None:
    """Numbers agree to 1e-9, tensors to 1e-9 of their largest value where that is above 1."""
    if isinstance(one, Tensor) and one.is_floating_point():
        assert float((one - two).abs().max()) <= 1e-9 * max(float(one.abs().max()), 1.0), name
    elif isinstance(one, float):
        assert math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-12), (name, one, two)
    else:
        assert torch.equal(one, two) if isinstance(one, Tensor) else one == two, name


@pytest.mark.parametrize("name", RUNS)
def test_two_equal_one(name: str, trees: Trees, tmp_path: Path) -> None:
    method, _, stage = name.partition(" ")
    dataset = next(t["datasets"][0] for t in cards("method")[method].data["training"] if t.get("stage", "") == stage)
    tree = f"{dataset}={trees(dataset)}"

    def asked(folder: str) -> TrainRequest:
        return TrainRequest(
            name=method,
            datasets=(tree,),
            stage=stage or None,
            size="tiny",
            options=(*COMMON, *RUNS[name]),
            folder=tmp_path / folder,
        )

    shared = zip(together(2), together(2), strict=True)
    runs = [(asked("one"), [({}, None)]), *((asked("two"), [(first, 3), (then, None)]) for first, then in shared)]
    processes = [CONTEXT.Process(target=learn, args=run) for run in runs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    one, two = (list(leaves(rows(tmp_path / folder))) for folder in ("one", "two"))
    assert [key for key, _ in one] == [key for key, _ in two]
    for (key, a), (_, b) in zip(one, two, strict=True):
        alike(a, b, key)
    states = [torch.load(tmp_path / folder / "last.pt", weights_only=True) for folder in ("one", "two")]
    one, two = (list(leaves(state["state"])) for state in states)
    assert [key for key, _ in one] == [key for key, _ in two]
    for (key, a), (_, b) in zip(one, two, strict=True):
        alike(a, b, key)
