"""Images that lie on the device of a run: here the processor, with the bits of those that are loaded batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.data import Dataset, open_dataset
from fusionbench.errors import FusionbenchError
from fusionbench.methods.cldyn.recipe_vfn import turned
from fusionbench.plugins.cards import card
from fusionbench.training.augment import Augment
from fusionbench.training.data import TrainingSplit
from fusionbench.training.order import randomness
from fusionbench.training.resident import reside
from tests.training.test_data import painted
from tests.training.test_decoded import same

CPU = torch.device("cpu")
WAYS = {
    "as they are": None,
    "mirrored": Augment(flip=1.0),
    "cut": Augment(crop=(20, 24)),
    "made smaller": Augment(resize=(24, 40)),
    "made larger": Augment(resize=(70, 90), flip=0.0),
    "scaled and cut": Augment(scale=(0.6, 2.0), crop=(24, 36)),
}


def split(folder: Path, augment: Augment | None = None) -> TrainingSplit:
    """Noisy pairs with masks as FMB's training split."""
    writer, rng = Dataset(folder / "FMB", card("dataset", "fmb")), randomness(3)
    for number in range(4):
        sample = painted(f"0000{number}")
        sample.ir, sample.vis = (rng.integers(0, 256, x.shape, np.uint8) for x in (sample.ir, sample.vis))
        writer.write(sample, "train")
    return TrainingSplit(open_dataset("fmb", folder / "FMB"), "train", augment, needs=("mask",))


def on_device(plain: TrainingSplit, monkeypatch: pytest.MonkeyPatch) -> TrainingSplit:
    """The same pairs, which nothing reads any more."""
    resident = TrainingSplit(plain.dataset, "train", plain.augment, needs=("mask",))
    said: list[str] = []
    reside(resident, CPU, 2, said.append)
    assert said == ["fmb train: 4 pairs lie on cpu, 0 MiB"]

    def read(index: int) -> Any:
        raise AssertionError("a file was read")

    monkeypatch.setattr(resident, "read", read)
    return resident


@pytest.mark.parametrize("way", WAYS)
def test_the_same_batches(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = split(tmp_path, WAYS[way])
    resident = on_device(plain, monkeypatch)
    for epoch in range(3):
        same(plain.batch([3, 0, 2], 1, epoch, epoch), resident.batch([3, 0, 2], 1, epoch, epoch))


def test_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = split(tmp_path, Augment(crop=(32, 32)))
    resident, seen = on_device(plain, monkeypatch), set()
    for index in range(4):
        for epoch in range(6):
            keys = (0, epoch, index)
            a, b = (turned(s.sample(index, 0, epoch), randomness(*keys)) for s in (plain, resident))
            for x, y in ((a.ir, b.ir), (a.vis, b.vis)):
                assert np.array_equal(x, np.asarray(y))
            seen.add(a.ir.tobytes())
    assert len(seen) > 12


def test_nothing_on_the_device_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = split(tmp_path, Augment(resize=(24, 40)))
    resident = on_device(plain, monkeypatch)
    first = resident.batch([0, 1], 0, 0)
    first.ir.zero_()
    first.vis.zero_()
    first.targets[0]["mask"].zero_()
    same(plain.batch([0, 1], 0, 0), resident.batch([0, 1], 0, 0))


def test_no_room_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = split(tmp_path)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2048, 9999))
    said: list[str] = []
    reside(plain, torch.device("cuda", 0), 0, said.append)
    assert said == ["fmb train: over 0.0 GiB, 40% of what cuda:0 has free; loaded batch by batch"]
    assert plain.resident is None


def test_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = split(tmp_path)

    def read(index: int) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(plain, "read", read)
    with pytest.raises(FusionbenchError, match="fmb train: no memory on cpu for its images; take resident=false"):
        reside(plain, CPU, 0, print)
