"""The recipes of the task networks: they learn, they resume to the byte, and two processes do what one does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fusionbench.errors import FusionbenchError
from fusionbench.synth import synth
from fusionbench.tasks import _mm
from fusionbench.tasks._recipe import TaskRecipe
from fusionbench.train_run import WEIGHTS, Order, run
from fusionbench.training.data import Batch
from fusionbench.training.loop import train
from fusionbench.training.order import Step
from tests.conftest import _absent
from tests.training.toys import CONTEXT, together

PAIRS = {  # what is trained, and a learning rate with which 8 pictures are learnt in seconds
    "segformer-tiny@fmb": ("optimiser.lr=0.003", "train.epochs=8"),
    "segformer-tiny@msrs": ("optimiser.lr=0.003", "train.epochs=8"),
    "yolov8-tiny@m3fd": ("optimiser.lr=0.003", "train.epochs=24"),
    "yolov5-tiny@llvip": ("optimiser.lr=0.01", "train.epochs=20"),
    "yolov8-tiny@msrs": ("optimiser.lr=0.003", "train.epochs=24"),
    "ctdnet-tiny@vt5000": ("optimiser.lr=0.003", "train.epochs=8"),
}
KINDS = ("segformer-tiny@msrs", "yolov8-tiny@m3fd", "ctdnet-tiny@vt5000")  # one of each task
TWO = ("segformer-tiny@fmb", "yolov8-tiny@m3fd", "yolov5-tiny@llvip", "ctdnet-tiny@vt5000")
SMALL = ("resize=[96,128]", "schedule.warmup=2", "train.tensorboard=false")

Trees = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _alone() -> Any:
    """One thread, as the processes that are compared have."""
    for package in ("mmseg", "mmdet"):
        try:
            _mm.load(package)
        except FusionbenchError as error:
            _absent("tasks", str(error))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """Generated trees of eight small training pairs, by name of the dataset."""
    root = tmp_path_factory.mktemp("trees")

    @cache
    def grown(name: str) -> Path:
        synth(name, root / name, 8, 1, (96, 128), seed=0)
        return root / name

    return grown


def order(pair: str, trees: Trees, out: Path, *options: str, resume: bool = False) -> Order:
    network, _, dataset = pair.partition("@")
    return Order(
        network, (f"{dataset}={trees(dataset)}",), size="tiny", options=(*SMALL, *options), folder=out, resume=resume
    )


def go(order: Order, max_steps: int | None = None) -> list[str]:
    return run(order, "", lambda text: None, max_steps, quiet=True)


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "step" in row]


def same(one: Path, two: Path) -> None:
    for name in ("log.jsonl", WEIGHTS):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize("pair", PAIRS)
def test_the_loss_falls(pair: str, trees: Trees, tmp_path: Path) -> None:
    go(order(pair, trees, tmp_path, "flip=0.0", *PAIRS[pair]))
    found = losses(tmp_path)
    quarter = len(found) // 4
    assert quarter >= 4
    assert sum(found[-quarter:]) < 0.9 * sum(found[:quarter])


@pytest.mark.parametrize("pair", PAIRS)
def test_stopped_within_an_epoch(pair: str, trees: Trees, tmp_path: Path) -> None:
    calm, torn = (order(pair, trees, tmp_path / name, "train.epochs=3") for name in ("calm", "torn"))
    go(calm)
    assert len(losses(calm.out)) == 6
    (line,) = go(torn, max_steps=3)
    assert line.endswith("last.pt: 3 steps are done; the same command with --resume goes on")
    assert not (torn.out / WEIGHTS).exists()
    torch.rand(3)  # what happens between two sessions must not matter
    go(order(pair, trees, torn.out, "train.epochs=3", resume=True))
    same(calm.out, torn.out)


@pytest.mark.slow
@pytest.mark.parametrize("pair", KINDS)
def test_kill_9(pair: str, trees: Trees, tmp_path: Path) -> None:
    options = ("train.epochs=12", "train.save_every=3")
    calm, torn = (order(pair, trees, tmp_path / name, *options) for name in ("calm", "torn"))
    go(calm)
    (spec,) = torn.datasets
    command = ["-m", "fusionbench", "train", torn.name, "--dataset", spec, "--size", "tiny"]
    command += ["--cfg-options", *torn.options, "--out", str(torn.out)]
    process = subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log, goal = torn.out / "log.jsonl", random.Random(pair).randint(7, 11)
    while process.poll() is None and not (log.is_file() and log.read_bytes().count(b"\n") >= goal):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(log.read_bytes()) < len((calm.out / "log.jsonl").read_bytes())
    go(order(pair, trees, torn.out, *options, resume=True))
    same(calm.out, torn.out)


# ---------------------------------------------------------------- two processes


class Still(TaskRecipe):
    """Without dropout and drop path, which each process draws for itself; in double precision, so that only a wrong
    divisor can make a difference.
    """

    def build(self, config: Any, device: torch.device) -> None:
        super().build(config, device)
        for part in self.network.modules():
            if isinstance(part, (nn.Dropout, nn.Dropout2d)):
                part.p = 0.0
            if hasattr(part, "drop_prob"):
                part.drop_prob = 0.0
        self.network.double()

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        batch = super().load(step, epoch, seed)
        return replace(batch, vis=batch.vis.double())


def learn(order: Order) -> None:
    recipe = Still()
    recipe.datasets = order.opened
    train(recipe, order.config, order.out, quiet=True, note=lambda text: None)


def member(orders: list[Order], environments: list[dict[str, str]]) -> None:
    torch.set_num_threads(1)
    for each, environment in zip(orders, environments, strict=True):
        os.environ.update(environment)
        learn(each)


def two_orders(trees: Trees, out: Path) -> list[Order]:
    return [order(pair, trees, out / pair, "train.epochs=2") for pair in TWO]


@pytest.fixture(scope="module")
def shares(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes that share each batch."""
    out = tmp_path_factory.mktemp("shares")
    orders = two_orders(trees, out)
    environments = list(zip(*(together(2) for _ in orders), strict=True))  # by process
    processes = [CONTEXT.Process(target=member, args=(orders, list(mine))) for mine in environments]
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
