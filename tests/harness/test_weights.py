"""Checkpoints: verified, never executed, one clear line when they are not what they should be."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from fusionbench import environment
from fusionbench.errors import WeightsError
from fusionbench.methods.timfusion.network import TIMFusionNet
from fusionbench.plugins.misfit import misfit
from fusionbench.plugins.tensors import read_tensors
from tests.conftest import fusionbench, process


class Evil:
    """Its unpickling would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    for name, save in (("zip.pth", torch.save), ("plain.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        save({"state": Evil(tmp_path / "executed")}, tmp_path / name)
        done = fusionbench("weights", "add", "refusion", tmp_path / name)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert name in done.stderr
        assert not (tmp_path / "executed").exists()
    torch.save({"state": Evil(tmp_path / "executed")}, tmp_path / "zip.pth")
    assert "refused, it holds pickled code" in fusionbench("weights", "add", "refusion", tmp_path / "zip.pth").stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a checkpoint", "damaged or no checkpoint"),
        (b"", "damaged or no checkpoint"),
        (b"PK\x03\x04 cut", "damaged or no checkpoint"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    done = fusionbench("weights", "add", "refusion", tmp_path / "w.pth")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_networks_tensors(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "w.pth")
    done = fusionbench("weights", "add", "refusion", tmp_path / "w.pth")
    assert done.returncode == 2
    assert "not a checkpoint of refusion" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.real
def test_arrays_of_numpy_hold_numbers_alone(shared: Path, tmp_path: Path) -> None:
    context = shared / "weights/LUT-Fuse/generator_context.pth"
    np.save(tmp_path / "code.npy", np.array([Evil(tmp_path / "executed")], dtype=object), allow_pickle=True)
    np.save(tmp_path / "small.npy", np.zeros((16, 16), dtype=np.float32))
    np.save(tmp_path / "cut.npy", np.zeros([16] * 4 + [1], dtype=np.float32))
    with open(tmp_path / "cut.npy", "r+b") as file:
        file.truncate(1000)
    for name, message in (("code", "damaged or no array of numbers"), ("cut", "damaged"), ("small", "lut has shape")):
        done = fusionbench("weights", "add", "lutfuse", context, tmp_path / f"{name}.npy")
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_matrices_of_matlab(tmp_path: Path, packed: bool) -> None:
    held = {
        "wide": np.arange(6.0).reshape(2, 3),
        "single": np.float32([[1, 2.5]]),
        "solid": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        "one": np.array([[7.0]]),
        "none": np.zeros((0, 3)),
    }
    others = {"text": "word", "complex": np.array([[1 + 2j]]), "struct": {"x": 1}, "cells": np.array([1, "a"], object)}
    savemat(tmp_path / "m.mat", held | others, do_compression=packed)
    found = read_tensors(tmp_path / "m.mat")
    assert set(found) == set(held)
    for name, array in held.items():
        assert np.array_equal(found[name].numpy(), array)
        assert found[name].dtype == (torch.float32 if name == "single" else torch.float64)


def test_matlab_files_that_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "bomb.mat", {"D": np.zeros((4000, 4000))}, do_compression=True)
    savemat(tmp_path / "whole.mat", {"D": np.eye(64, 256)})
    savemat(tmp_path / "packed.mat", {"D": np.eye(64, 256)}, do_compression=True)
    savemat(tmp_path / "word.mat", {"D": "word"})
    for name in ("whole", "packed"):
        content = (tmp_path / f"{name}.mat").read_bytes()
        (tmp_path / f"cut-{name}.mat").write_bytes(content[:-40])
    (tmp_path / "new.mat").write_bytes(b"\x89HDF\r\n" + bytes(200))
    (tmp_path / "other.mat").write_bytes(b"%PDF" + bytes(300))
    (tmp_path / "empty.mat").write_bytes(b"")
    for name, message in (
        ("bomb", "unpack to many more; refused"),
        ("cut-whole", "damaged MATLAB file"),
        ("cut-packed", "damaged MATLAB file"),
        ("new", "version 7.3; save it with -v7"),
        ("other", "no MATLAB file"),
        ("empty", "no MATLAB file"),
        ("word", "not a checkpoint of rp_sr"),
        ("whole", "an atom of the dictionary is zero throughout"),
    ):
        done = fusionbench("weights", "add", "rp_sr", tmp_path / f"{name}.mat")
        assert done.returncode == 2
        assert message in done.stderr, name
        assert done.stderr.count("\n") == 1


def test_a_damaged_matlab_file_ends_in_one_line(tmp_path: Path) -> None:
    savemat(tmp_path / "m.mat", {"D": np.eye(3, 5), "e": np.arange(3, dtype=np.int8)})
    content = (tmp_path / "m.mat").read_bytes()
    rng = np.random.default_rng(0)
    ends = set()
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(100, len(content), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        (tmp_path / "m.mat").write_bytes(changed)
        try:
            ends.add(bool(read_tensors(tmp_path / "m.mat")))
        except WeightsError as error:
            ends.add(str(error).partition(": ")[2])
    assert {True, "damaged MATLAB file; get it again"} <= ends


def test_no_such_file_and_no_such_need(tmp_path: Path) -> None:
    assert "no such file" in fusionbench("weights", "add", "refusion", tmp_path / "nope.pth").stderr
    (tmp_path / "w.pth").write_bytes(b"x")
    assert "average takes no weights" in fusionbench("weights", "add", "average", tmp_path / "w.pth").stderr


@pytest.mark.real
def test_released_checkpoints(shared: Path, tree: Path, tmp_path: Path) -> None:
    for name in ("IVIF", "MIF", "MFIF", "MEIF"):
        done = fusionbench("weights", "add", "refusion", shared / f"weights/ReFusion/ReFusion_{name}.pth")
        assert done.returncode == 0, done.stderr
        assert f"refusion[{name.lower()}] is ready" in done.stdout
        assert "as its authors released it" in done.stdout
    done = fusionbench(
        "eval", "--methods=refusion", "--metrics=en", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    assert all(f"refusion[{n}]" in done.stdout for n in ("ivif", "mif", "mfif", "meif"))


@pytest.mark.real
def test_a_kept_file_that_changed_is_noticed(
    shared: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    environment.apply()
    fusionbench("weights", "add", "refusion", shared / "weights/ReFusion/ReFusion_IVIF.pth")
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)
    done = fusionbench(
        "eval",
        "--methods=refusion,average",
        "--metrics=en",
        "--datasets=msrs",
        "--data-root",
        tree,
        "--out",
        tmp_path / "r",
    )
    assert done.returncode == 1
    assert "has changed since it was added" in done.stderr
    assert "| average |" in done.stdout


def test_what_a_training_run_goes_on_with_is_no_weights(tmp_path: Path) -> None:
    import torch

    torch.save({"epoch": 3, "state": {"w": torch.zeros(2)}, "losses": [0.5]}, tmp_path / "last.pt")
    for method in ("refusion", "tdfusion", "cldyn"):
        done = fusionbench("weights", "add", method, tmp_path / "last.pt")
        assert done.returncode == 2, done.stderr
        assert f"last.pt: not a checkpoint of {method}: " in done.stderr


@pytest.mark.real
def test_one_file_under_two_names_is_one_row_and_said(shared: Path, tree: Path, tmp_path: Path) -> None:
    file = shared / "weights/ReFusion/ReFusion_IVIF.pth"
    for words in ((), ("--name", "again")):
        fusionbench("weights", "add", "refusion", file, *words)
    both = (
        "eval",
        "--methods",
        "refusion[ivif],refusion[again]",
        "--datasets",
        "msrs",
        "--data-root",
        tree,
        "--dry-run",
    )
    text = fusionbench(*both, "--out", tmp_path / "r").stdout
    assert "refusion[ivif]" in text
    assert "skipped refusion[again]: the same file as refusion[ivif], which stands for both" in text


NET = """
import torch
from safetensors.torch import load_file
from fusionbench.colour import luma
from fusionbench.method import Method

class Net(Method):
    def load(self, weights):
        network = torch.nn.Module()
        network.layers = torch.nn.ModuleList(torch.nn.Conv2d(2, {channels}, {kernel}) for _ in range({layers}))
        network.load_state_dict(load_file(weights))

    def convert(self, state):
        return state

    def fuse(self, ir, vis, context=None):
        return luma(vis)
"""
CARD = """
kind = "method"
name = "net"
title = "Net"
summary = "A network"
object = "Net"
version = "1"
requires_weights = true
"""


def test_a_network_that_was_changed_is_one_line_for_all_images(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    environment.apply()
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "net.toml").write_text(CARD)
    (plugins / "net.py").write_text(NET.format(channels=4, kernel=3, layers=8))
    layers = torch.nn.ModuleList(torch.nn.Conv2d(2, 4, 3) for _ in range(8))
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, tmp_path / "net.pth")
    done = fusionbench("--plugins", plugins, "weights", "add", "net", tmp_path / "net.pth", "--name", "mine")
    assert done.returncode == 0, done.stderr
    command = ("--plugins", plugins, "eval", "--methods=net,average", "--metrics=en", "--data-root", tree)
    assert fusionbench(*command, "--out", tmp_path / "before").returncode == 0
    (plugins / "net.py").write_text(NET.format(channels=5, kernel=3, layers=9))
    done = process(
        "--plugins", plugins, *command[2:], "--out", tmp_path / "r", FUSIONBENCH_CACHE=str(tmp_path / "cache")
    )
    assert done.returncode == 1
    assert "| average |" in done.stdout
    (failed,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert "and 3 more images (net[mine])" in failed
    assert "16 tensors are of another shape (layers.0.weight [4, 2, 3, 3] for [5, 2, 3, 3], " in failed
    assert "2 tensors are missing (layers.8.weight, layers.8.bias)" in failed
    assert "train it again" in failed
    assert len(failed) < 1000


def test_what_torch_says_of_a_misfit_in_a_few_words() -> None:
    import torch

    ours, theirs = (torch.nn.Sequential(*(torch.nn.Linear(2, n) for n in sizes)) for sizes in ((3, 2, 2), (2, 2, 2, 2)))
    with pytest.raises(RuntimeError) as error:
        ours.load_state_dict(theirs.state_dict())
    assert misfit(str(error.value)) == (
        "2 tensors are of another shape (0.weight [2, 2] for [3, 2], 0.bias [2] for [3]), "
        "2 tensors are unknown to the network (3.weight, 3.bias)"
    )
    assert misfit("CUDA out of memory") == ""


@pytest.mark.parametrize("listed", ['name = "mine"\nfile = "net.pth"\ntrained_on = "x"', 'name = "mine"'])
def test_a_card_that_names_weights_without_their_hash_is_one_line(tmp_path: Path, listed: str) -> None:
    import torch

    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "net.toml").write_text(f"{CARD}\n[[weights]]\n{listed}\n")
    (plugins / "net.py").write_text(NET.format(channels=4, kernel=3, layers=1))
    torch.save({"a": torch.ones(1)}, tmp_path / "net.pth")
    for words in (("weights", "add", "net", tmp_path / "net.pth"), ("weights", "list"), ("list", "methods")):
        done = fusionbench("--plugins", plugins, *words, FUSIONBENCH_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "net.toml" in done.stderr
        assert "sha256" in done.stderr or "trained_on" in done.stderr


def test_one_file_that_training_wrote_for_several(tmp_path: Path) -> None:
    tensors = {name: value.contiguous() for name, value in TIMFusionNet().state_dict().items()}
    save_file(tensors, tmp_path / "plain.safetensors")
    save_file(tensors, tmp_path / "trained.safetensors", {"fusionbench": "{}"})
    refused = fusionbench("weights", "add", "timfusion", tmp_path / "plain.safetensors")
    assert "a checkpoint of timfusion is 2 files, in this order: model_1, model_2" in refused.stderr
    assert fusionbench("weights", "add", "timfusion", tmp_path / "trained.safetensors").returncode == 0
    assert "trained" in fusionbench("weights", "list").stdout
