"""Decoded splits: the same batches with and without, nothing stale, nothing half written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench.data import Dataset, open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import DataError
from fusionbench.plugins.cards import card
from fusionbench.runtime import locations
from fusionbench.tasks.recipe import FusedSplit
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.decoded import keep_decoded
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from tests.training.test_data import make, painted
from tests.training.toys import CONTEXT, weights

LABELLED = {"fmb": "mask", "m3fd": "boxes", "vt5000": "saliency", "msrs": "boxes"}


def keep(split: TrainingSplit, folder: Path, workers: int = 2) -> list[str]:
    """Let it be decoded; what was said."""
    said: list[str] = []
    keep_decoded(split, folder, workers, said.append)
    return said


def fmb(root: Path, **options: Any) -> TrainingSplit:
    return TrainingSplit(open_dataset("fmb", root), "train", Augment(crop=(24, 32)), needs=("mask",), **options)


def only_decoded(split: TrainingSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it fail wherever a file is read."""

    def decode(index: int) -> Any:
        raise AssertionError("a file was read")

    monkeypatch.setattr(split, "decode", decode)


def same(a: Batch, b: Batch) -> None:
    assert a.ids == b.ids
    for x, y in ((a.ir, b.ir), (a.vis, b.vis)):
        assert x.dtype == y.dtype == torch.float32
        assert torch.equal(x, y)
    for one, two in zip(a.targets, b.targets, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[k], two[k]) and one[k].dtype == two[k].dtype for k in one)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "FMB")


# ---------------------------------------------------------------- the same batches


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("labels", [True, False])
def test_the_same_batches(name: str, labels: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synth(name, tmp_path / name, 4, 1, (64, 80), seed=0)
    data, needs = open_dataset(name, tmp_path / name, exact=True), (LABELLED[name],) if labels else ()
    options: dict[str, Any] = {"augment": Augment(scale=(0.7, 1.5), crop=(40, 48)), "needs": needs}
    plain, kept = (TrainingSplit(data, "train", **options) for _ in range(2))
    (line,) = keep(kept, tmp_path / "cache")
    assert line.startswith(f"{name} train: decoding 4 pairs once, 0.1 MiB into {tmp_path / 'cache'}")
    only_decoded(kept, monkeypatch)
    for epoch in range(3):
        same(plain.batch([3, 0, 2], 1, epoch), kept.batch([3, 0, 2], 1, epoch))
    for index in range(4):
        a, b = plain.read(index), kept.read(index)
        assert (a.boxes is None) == (b.boxes is None)
        if a.boxes is not None and b.boxes is not None:
            assert (a.boxes.difficult is None) == (b.boxes.difficult is None)
            for x, y in ((a.boxes.xyxy, b.boxes.xyxy), (a.boxes.labels, b.boxes.labels)):
                assert np.array_equal(x, y)
                assert x.dtype == y.dtype
        b.ir[:] = 0  # a copy: the next reading has the pixels again
        assert np.array_equal(kept.read(index).ir, a.ir)


def test_pairs_of_several_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Dataset(tmp_path / "FMB", card("dataset", "fmb"))
    for number, size in enumerate([(40, 64), (33, 47), (64, 40)]):
        writer.write(painted(f"0000{number}", size), "train")
    plain, kept = fmb(tmp_path / "FMB"), fmb(tmp_path / "FMB")
    keep(kept, tmp_path / "cache")
    only_decoded(kept, monkeypatch)
    same(plain.batch([0, 1, 2], 0, 0), kept.batch([0, 1, 2], 0, 0))
    assert kept.read(1).vis.shape == (3, 33, 47)


def test_fused_pictures_are_kept_in_the_place_of_the_visible(root: Path, tmp_path: Path) -> None:
    data, files = open_dataset("fmb", root), {"00002": tmp_path / "2.png"}
    Image.new("L", (64, 40), 9).save(files["00002"])
    visible, fused = FusedSplit(data, "train", needs=("mask",)), FusedSplit(data, "train", files, needs=("mask",))
    for split in (visible, fused):
        assert keep(split, tmp_path / "cache")
    assert (visible.read(1).vis.max(), fused.read(0).vis.max(), fused.read(0).vis.min()) == (100, 9, 9)
    assert fused.decoded
    assert visible.decoded
    assert len(list((tmp_path / "cache").iterdir())) == 2  # neither takes the other's place
    Image.new("L", (64, 40), 8).save(files["00002"])
    again = FusedSplit(data, "train", files, needs=("mask",))
    assert keep(again, tmp_path / "cache")
    assert again.read(0).vis.max() == 8
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_what_the_file_cannot_hold_is_read_as_ever(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, before = fmb(root), TrainingSplit.decode
    monkeypatch.setattr(
        TrainingSplit, "decode", lambda self, i: replace(s := before(self, i), mask=s.mask.astype(np.int64))
    )
    assert keep(split, tmp_path / "cache")[-1] == (
        "fmb train: 00001 has mask of int64 [40, 64], so it is not kept decoded; the images are read in each epoch "
        "instead"
    )
    assert split.decoded is None
    assert not list((tmp_path / "cache").iterdir())


# ---------------------------------------------------------------- nothing stale, nothing half


def test_a_changed_file_is_seen(root: Path, tmp_path: Path) -> None:
    """Of the same length and the same time."""
    first = fmb(root)
    assert len(keep(first, tmp_path / "cache")) == 1
    assert keep(fmb(root), tmp_path / "cache") == []  # there already
    path = first.dataset.files("train", "00002").mask
    assert path
    state, (old,) = path.stat(), (tmp_path / "cache").iterdir()
    mask = np.array(Image.open(path))
    for value in range(2, 14):  # until the file is as long as before
        Image.fromarray(mask * value).save(path)
        if path.stat().st_size == state.st_size:
            break
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    second = fmb(root)
    assert len(keep(second, tmp_path / "cache")) == 1
    assert second.read(1).mask.max() == value > first.read(1).mask.max() == 1
    (new,) = (tmp_path / "cache").iterdir()  # the old one, which `first` still reads, has gone
    assert new != old


def test_how_files_are_read_is_part_of_the_name(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for change in (
        None,
        ("PIL.__version__", "0"),
        ("fusionbench.training.decoded.READERS", ("fusionbench.pixels.images",)),
    ):
        if change:
            monkeypatch.setattr(*change)
        keep(fmb(root), tmp_path / "cache")
        names |= {path.name for path in (tmp_path / "cache").iterdir()}
    assert len(names) == 3


def test_a_file_that_changes_meanwhile(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, before = fmb(root), TrainingSplit.decode

    def decode(self: TrainingSplit, index: int) -> Any:
        os.utime(self.dataset.files("train", "00003").vis, (1, 1))
        return before(self, index)

    monkeypatch.setattr(TrainingSplit, "decode", decode)
    assert keep(split, tmp_path / "cache")[-1] == (
        "fmb train: some files changed meanwhile, so nothing is kept; the images are read instead"
    )
    assert not list((tmp_path / "cache").iterdir())


def cut(data: bytes) -> bytes:
    return data[:-1]


def flipped(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


def outside(data: bytes) -> bytes:
    return data.replace(b'"height":40', b'"height":99')


def negative(data: bytes) -> bytes:
    return data.replace(b'"begin":', b'"begin":-', 1)


@pytest.mark.parametrize("damage", [cut, flipped, outside, negative, lambda data: b"", lambda data: data[:60]])
def test_a_damaged_file(damage: Callable[[bytes], bytes], root: Path, tmp_path: Path) -> None:
    keep(fmb(root), tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    split, plain = fmb(root), fmb(root)
    said = keep(split, tmp_path / "cache")
    for _ in range(2):
        same(plain.batch([0, 1, 2], 0, 0), split.batch([0, 1, 2], 0, 0))
    if damage is flipped:  # found when the sample is read
        assert said == [f"{path}: damaged at 00001 and removed; the images are read instead"]
        assert not path.exists()
        keep(fmb(root), tmp_path / "cache")
    assert path.read_bytes() == whole


def slowly(root: Path, folder: Path) -> None:
    """Decode for ever."""
    before = TrainingSplit.decode

    def decode(self: TrainingSplit, index: int) -> Any:
        if index == 2:
            time.sleep(100)
        return before(self, index)

    TrainingSplit.decode = decode  # type: ignore[method-assign]  # in a process of its own
    keep(fmb(root), folder, workers=0)


def test_killed_while_writing(root: Path, tmp_path: Path) -> None:
    process = CONTEXT.Process(target=slowly, args=(root, tmp_path / "cache"))
    process.start()
    while not list((tmp_path / "cache").glob(".*.part")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (part,) = (tmp_path / "cache").iterdir()
    os.utime(part, (time.time() - 100,) * 2)
    split = fmb(root)
    assert len(keep(split, tmp_path / "cache")) == 1
    assert split.decoded
    assert list((tmp_path / "cache").iterdir()) == [split.decoded.path]
    same(split.batch([2, 1], 0, 0), fmb(root).batch([2, 1], 0, 0))


def test_several_at_once(root: Path, tmp_path: Path) -> None:
    processes = [CONTEXT.Process(target=keep, args=(fmb(root), tmp_path / "cache")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert keep(fmb(root), tmp_path / "cache") == []
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_threads_read_the_same(root: Path, tmp_path: Path) -> None:
    split, plain = fmb(root), fmb(root)
    keep(split, tmp_path / "cache")
    found: list[Batch] = []
    threads = [threading.Thread(target=lambda: found.append(split.batch([0, 1, 2], 0, 0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch in found:
        same(batch, plain.batch([0, 1, 2], 0, 0))


# ---------------------------------------------------------------- no room


def test_no_room(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(3 << 28))
    split = fmb(root)
    assert keep(split, tmp_path / "cache") == [
        f"fmb train: decoded it takes 0.0 MiB, and {tmp_path / 'cache'} has 0.8 GiB free, of which 1.0 GiB are left "
        "alone; the images are read in each epoch instead"
    ]
    same(split.batch([0], 0, 0), fmb(root).batch([0], 0, 0))


def test_the_disk_is_full_after_all(root: Path, tmp_path: Path) -> None:
    """The system refuses more than 20 kB in a file."""
    before, split = resource.getrlimit(resource.RLIMIT_FSIZE), fmb(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        said = keep(split, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said[-1] == (
        f"{tmp_path / 'cache'}: cannot be written (File too large); the images are read in each epoch instead"
    )
    assert not list((tmp_path / "cache").iterdir())
    same(split.batch([0], 0, 0), fmb(root).batch([0], 0, 0))


def test_no_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert keep(fmb(root), tmp_path / "cache")[-1].startswith(f"{tmp_path / 'cache'}: cannot be written (File exists)")


def test_a_broken_image_is_said_before_the_first_step(root: Path, tmp_path: Path) -> None:
    split = fmb(root)
    path = split.dataset.files("train", "00002").vis
    assert path
    path.write_bytes(path.read_bytes()[:-40])
    split.check()  # its header is whole
    with pytest.raises(DataError, match=r"00002\.png"):
        keep(split, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


# ---------------------------------------------------------------- whole runs

RUNS = {
    "ydtr@msrs": ("patch=32",),
    "refusion@msrs": ("patch=32", "meta_steps=1"),
    "cldyn@msrs": ("crop=32", "validate=1"),
    "tdfusion@fmb": ("meta_steps=1", "task_size=(32,40)", "crop=(32,32)"),
    "segformer-tiny@fmb": ("resize=[64,80]",),
    "yolov8-tiny@m3fd": ("resize=[64,80]",),
}


@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize("pair", RUNS)
def test_runs_have_the_same_losses(pair: str, tmp_path: Path) -> None:
    name, _, dataset = pair.partition("@")
    synth(dataset, tmp_path / dataset, 8, 1, (64, 80), seed=0)
    logs, states = [], []
    for number, options in enumerate((("cache=false",), ("workers=2",), ("workers=2", "resident=true"))):
        said: list[str] = []
        request = TrainRequest(
            name=name,
            datasets=(f"{dataset}={tmp_path / dataset}",),
            stage="vfn" if name == "cldyn" else None,
            size="tiny",
            options=(*RUNS[pair], *options, "tensorboard=false"),
            folder=tmp_path / str(number),
        )
        run(request, RunOptions(quiet=True, note=said.append, max_steps=3))
        assert any("decoding" in line for line in said) == (number == 1)
        assert any("lie on cpu" in line for line in said) == (number == 2)
        logs.append((request.out / "log.jsonl").read_bytes())
        states.append(weights(request.out))
    assert logs[0] == logs[1] == logs[2]
    for other in states[1:]:
        assert states[0].keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in states[0].items())
    assert len(list((locations.current().cache / "decoded").iterdir())) == 1
