"""The recipes of the task networks, killed and resumed, and shared by two processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fusionbench import environment
from fusionbench.tasks.recipe import TaskRecipe, TaskSettings
from fusionbench.training.data import Batch
from fusionbench.training.loop import train
from fusionbench.training.options import Launch, RunOptions
from fusionbench.training.order import Step
from fusionbench.training.request import TrainRequest
from tests.training.test_recipes import Trees, alone, go, losses, order, same, trees
from tests.training.toys import CONTEXT, join, together

__all__ = ["alone", "trees"]  # fixtures

KINDS = {  # one of each task, and the methods that start from nothing
    "segformer-tiny@msrs": ("train.epochs=12",),
    "yolov8-tiny@m3fd": ("train.epochs=12",),
    "ctdnet-tiny@vt5000": ("train.epochs=12",),
    "tdfusion@fmb": ("train.epochs=2", "meta_steps=4", "task_size=(48,64)", "crop=(32,32)"),
    "refusion@msrs": ("train.epochs=3", "meta_steps=3", "patch=32"),
    "cldyn@msrs": ("train.epochs=10",),
}
TWO = ("segformer-tiny@fmb", "yolov8-tiny@m3fd", "yolov5-tiny@llvip", "retinanet-r18@m3fd", "ctdnet-tiny@vt5000")


@pytest.mark.slow
@pytest.mark.parametrize("pair", KINDS)
def test_kill_9(pair: str, trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))  # a trained method becomes an entry
    environment.apply()
    options = (*KINDS[pair], "train.save_every=3", "train.tensorboard=false")
    name, _, dataset = pair.partition("@")
    stage = "vfn" if name == "cldyn" else None
    calm, torn = (
        TrainRequest(
            name=name,
            datasets=(f"{dataset}={trees(dataset)}",),
            stage=stage,
            size="tiny",
            options=options,
            folder=tmp_path / folder,
        )
        for folder in ("calm", "torn")
    )
    go(calm)
    command = ["-m", "fusionbench", "train", name, "--dataset", *torn.datasets, "--size", "tiny"]
    command += [*(["--stage", stage] if stage else []), "--cfg-options", *options, "--out", str(torn.out)]
    process = subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log, goal = torn.out / "log.jsonl", random.Random(pair).randint(7, 11)
    while process.poll() is None and not (log.is_file() and log.read_bytes().count(b"\n") >= goal):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(log.read_bytes()) < len((calm.out / "log.jsonl").read_bytes())
    go(replace(torn, resume=True))
    same(calm.out, torn.out)


# ---------------------------------------------------------------- two processes


class Still(TaskRecipe[TaskSettings]):
    """Without dropout and drop path, which each process draws for itself; in double precision, so that only a wrong
    divisor can make a difference.
    """

    def build(self, settings: TaskSettings, device: torch.device) -> None:
        super().build(settings, device)
        for part in self.network.modules():
            if isinstance(part, (nn.Dropout, nn.Dropout2d)):
                part.p = 0.0
            if hasattr(part, "drop_prob"):
                part.drop_prob = 0.0
        self.network.double()

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        batch = super().load(step, epoch, seed)
        return replace(batch, vis=batch.vis.double())


def learn(order: TrainRequest, launch: Launch | None = None) -> None:
    recipe, settings = Still(), order.settings
    assert isinstance(settings, TaskSettings)
    recipe.datasets = order.opened
    train(recipe, settings, order.out, options=RunOptions(quiet=True, launch=launch or Launch()))


def member(orders: list[TrainRequest], variables: list[dict[str, str]]) -> None:
    for request, own in zip(orders, variables, strict=True):
        learn(request, join(own))


def two_orders(trees: Trees, out: Path) -> list[TrainRequest]:
    return [order(pair, trees, out / pair, "train.epochs=2") for pair in TWO]


@pytest.fixture(scope="module")
def shares(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes that share each batch."""
    out = tmp_path_factory.mktemp("shares")
    orders = two_orders(trees, out)
    environments = list(zip(*(together(2) for _ in orders), strict=True))  # by process
    processes = [CONTEXT.Process(target=member, args=(orders, list(own))) for own in environments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("pair", TWO)
def test_two_processes(pair: str, trees: Trees, tmp_path: Path, shares: Path) -> None:
    learn(next(o for o in two_orders(trees, tmp_path) if o.out.name == pair))
    assert losses(shares / pair) == pytest.approx(losses(tmp_path / pair), rel=1e-9)
