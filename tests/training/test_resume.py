"""Killed, stopped, damaged: a resumed run ends with the bytes of a calm one."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.training.checkpoint import Checkpoint, Checkpoints
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from tests.training import toys
from tests.training.toys import run, settings, start, weights


def lines(out: Path) -> int:
    return (out / "log.jsonl").read_bytes().count(b"\n") if (out / "log.jsonl").is_file() else 0


def same(one: Path, two: Path) -> None:
    assert (one / "log.jsonl").read_bytes() == (two / "log.jsonl").read_bytes()
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", ["toy", "bilevel"])
def test_kill_9(tmp_path: Path, name: str) -> None:
    config = settings(epochs=8, save_every=3)
    start(name, tmp_path / "calm", config).join()
    rng, killed = random.Random(name), 0
    for _ in range(3):
        goal = lines(tmp_path / "torn") + rng.randint(0, 9)
        process = start(name, tmp_path / "torn", config, resume=True)
        while lines(tmp_path / "torn") < goal and process.is_alive():
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 1
    last = start(name, tmp_path / "torn", config, resume=True)
    last.join()
    assert last.exitcode == 0
    same(tmp_path / "calm", tmp_path / "torn")


@pytest.mark.parametrize("name", ["toy", "bilevel"])
def test_every_stop_within_an_epoch(tmp_path: Path, name: str) -> None:
    calm = run(name, tmp_path / "calm")
    steps = 0
    while not run(name, tmp_path / "steps", resume=steps > 0, max_steps=(steps := steps + 1)).finished:
        torch.rand(3)  # what happens between two sessions must not matter
    assert steps == calm.step == run(name, tmp_path / "steps", resume=True).step
    same(tmp_path / "calm", tmp_path / "steps")
    assert Checkpoint.read(tmp_path / "calm/best.pt").best == calm.best


def test_workers_change_nothing(tmp_path: Path) -> None:
    run("toy", tmp_path / "calm")
    run("toy", tmp_path / "threads", settings(workers=3), max_steps=4)
    run("toy", tmp_path / "threads", settings(workers=2), resume=True)
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "threads/log.jsonl").read_bytes()


def test_validation_and_pictures_change_nothing(tmp_path: Path) -> None:
    run("toy", tmp_path / "often")
    run("toy", tmp_path / "seldom", settings(validate_every=3, picture_every=0))
    assert torch.equal(weights(tmp_path / "often")["net.0.weight"], weights(tmp_path / "seldom")["net.0.weight"])
    assert len(list((tmp_path / "often/pictures/first").glob("*.png"))) == 3
    assert not (tmp_path / "seldom/pictures").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: toys.Toy, batch: torch.Tensor) -> object:
        values = before(self, batch)
        self.rounds += 1
        if self.rounds == 5:
            os.kill(os.getpid(), number)
        return values

    run("toy", tmp_path / "calm")
    before = toys.Toy.step
    with monkeypatch.context() as patch:
        patch.setattr(toys.Toy, "step", step)
        with pytest.raises(KeyboardInterrupt):
            run("toy", tmp_path / "torn", settings(save_every=100))
    assert Checkpoint.read(tmp_path / "torn/last.pt").step == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # save_every may differ on resume
    run("toy", tmp_path / "torn", resume=True)
    same(tmp_path / "calm", tmp_path / "torn")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_damaged_checkpoint(tmp_path: Path, damage: str) -> None:
    run("toy", tmp_path / "calm")
    out, notes = tmp_path / "torn", []
    run("toy", out, max_steps=5)
    spoil(out / "last.pt", damage)
    train(toys.Toy(), settings(), out, resume=True, options=RunOptions(note=notes.append))
    assert notes[0].startswith(f"{out / 'last.pt'}: damaged checkpoint (")
    assert notes[0].endswith("; going on from previous.pt, step 4")
    same(tmp_path / "calm", out)
    for name in ("last.pt", "previous.pt"):
        spoil(out / name, damage)
    with pytest.raises(WeightsError, match=r"previous.pt: damaged checkpoint .*train anew into another folder"):
        run("toy", out, resume=True)


def spoil(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello"}.get(damage, data))


def test_killed_between_two_renames(tmp_path: Path) -> None:
    run("toy", tmp_path / "calm")
    run("toy", tmp_path / "torn", max_steps=5)
    (tmp_path / "torn/last.pt").rename(tmp_path / "torn/previous.pt")
    run("toy", tmp_path / "torn", resume=True)
    same(tmp_path / "calm", tmp_path / "torn")


def test_plain_tensors_only(tmp_path: Path) -> None:
    run("toy", tmp_path, max_steps=2)
    held = torch.load(tmp_path / "last.pt", weights_only=True)
    assert {"state", "precision", "rng", "config", "order", "epoch", "position", "step", "log_bytes"} <= held.keys()
    with pytest.raises(FusionbenchError, match=r"state.net.f is a function: a checkpoint holds tensors and plain"):
        Checkpoints(tmp_path).add(Checkpoint({"net": {"f": spoil}}, {}, [], "", ""))
    Checkpoint.read(tmp_path / "last.pt")


def test_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("toy", tmp_path, max_steps=2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FusionbenchError, match=r"cannot be written \(No space left on device\); the checkpoint before"):
        run("toy", tmp_path, resume=True)
    assert Checkpoint.read(tmp_path / "last.pt").step == 2
    assert not list(tmp_path.glob(".*.part"))


def test_what_the_system_says_of_a_file_that_cannot_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource, save = pytest.importorskip("resource"), torch.save

    def limited(*given: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        try:
            save(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(torch, "save", limited)
    with pytest.raises(FusionbenchError, match=r"cannot be written \(File too large\); the checkpoint before"):
        run("toy", tmp_path, max_steps=2)


def test_resume_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("toy", tmp_path, max_steps=5)
    with pytest.raises(FusionbenchError, match=r"holds a training run; go on with resume=True, or choose another out="):
        run("toy", tmp_path)
    with pytest.raises(FusionbenchError, match=r"the run has other settings: lr 0.01, now 0.02; resume with its own"):
        run("toy", tmp_path, settings(lr=0.02), resume=True)
    monkeypatch.setattr(toys.Bilevel, "batches", toys.Toy.batches)
    with pytest.raises(WeightsError, match=r"holds net, optimiser, schedule, this recipe needs .*weights"):
        run("bilevel", tmp_path, resume=True)
    monkeypatch.setattr(toys.Toy, "names", lambda self, step: ["other.png"])
    with pytest.raises(FusionbenchError, match=r"the training images or their order differ"):
        run("toy", tmp_path, resume=True)
