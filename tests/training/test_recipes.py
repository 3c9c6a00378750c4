"""The recipes of the task networks: they learn, they resume to the byte, and two processes do what one does."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from fusionbench.training.trained import WEIGHTS

PAIRS = {  # what is trained, and a learning rate with which 8 pictures are learnt in seconds
    "segformer-tiny@fmb": ("optimiser.lr=0.003", "train.epochs=8"),
    "segformer-tiny@msrs": ("optimiser.lr=0.003", "train.epochs=8"),
    "yolov8-tiny@m3fd": ("optimiser.lr=0.003", "train.epochs=16"),
    "yolov5-tiny@llvip": ("optimiser.lr=0.01", "train.epochs=14"),
    "yolov8-tiny@msrs": ("optimiser.lr=0.003", "train.epochs=16"),
    "ctdnet-tiny@vt5000": ("optimiser.lr=0.003", "train.epochs=8"),
}
SMALL = ("resize=[96,128]", "schedule.warmup=2", "train.tensorboard=false")

Trees = Callable[[str], Path]


@pytest.fixture(autouse=True)
def alone(mm: None) -> Any:
    """One thread, as the processes that are compared have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """Generated trees of eight small training pairs, by name of the dataset; masks have pixels that do not count."""
    root = tmp_path_factory.mktemp("trees")

    @cache
    def grown(name: str) -> Path:
        synth(name, root / name, 8, 1, (96, 128), seed=0)
        data = open_dataset(name, root / name, exact=True)
        for number, ident in enumerate(data.ids("train")):
            if mask := data.files("train", ident).mask:
                ids = np.array(Image.open(mask))
                ids[: 10 * number] = 255
                Image.fromarray(ids).save(mask)
        return root / name

    return grown


def order(pair: str, trees: Trees, out: Path, *options: str, resume: bool = False) -> TrainRequest:
    network, _, dataset = pair.partition("@")
    return TrainRequest(
        name=network,
        datasets=(f"{dataset}={trees(dataset)}",),
        size="tiny",
        options=(*SMALL, *options),
        folder=out,
        resume=resume,
    )


def go(order: TrainRequest, max_steps: int | None = None) -> list[str]:
    return run(order, RunOptions(max_steps=max_steps, quiet=True))


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
    assert line.endswith("last.pt: 3 steps are done; the same command with resume=True goes on")
    assert not (torn.out / WEIGHTS).exists()
    torch.rand(3)  # what happens between two sessions must not matter
    go(order(pair, trees, torn.out, "train.epochs=3", resume=True))
    same(calm.out, torn.out)
