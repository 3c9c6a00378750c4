"""Checkpoints as training programs save them: one wrapping dict, prefixes, averages, half precision, numpy scalars."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusionbench.errors import WeightsError
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.plugins import weights
from fusionbench.plugins.tensors import fitting, read_tensors


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)


def fit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    Net().load_state_dict(state)
    return state


def state(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in Net().state_dict().items()}


def prefixed(prefix: str, seed: int = 0) -> dict[str, Tensor]:
    return {prefix + k: v for k, v in state(seed).items()}


BESIDE = {
    "epoch": 3,
    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]},
    "best": np.float64(0.5),
    "history": np.arange(3.0),
    "args": argparse.Namespace(lr=1e-3),
    "folder": Path("runs"),
}
WAYS = {
    "plain": lambda: state(),
    "ordered": lambda: OrderedDict(state()),
    "module.": lambda: prefixed("module."),
    "_orig_mod.": lambda: prefixed("_orig_mod."),
    "both": lambda: prefixed("_orig_mod.module."),
    "both, the other way": lambda: prefixed("module._orig_mod."),
    "compiled inside": lambda: {k.replace("conv.", "conv._orig_mod."): v for k, v in state().items()},
    "lightning": lambda: {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.0", **BESIDE},
    "averaged model": lambda: {"model_ema": {**prefixed("module."), "n_averaged": torch.tensor(4)}, **BESIDE},
    "numpy": lambda: {"model": state(), **BESIDE},
    "empty dict beside": lambda: {"params": state(), "metrics": {}},
    "another network beside": lambda: {"generator": state(), "discriminator": {"w": torch.ones(3)}},
    "the same twice": lambda: {"net": state(), "params": state()},
    **{key: lambda key=key: {key: state(), "epoch": 1} for key in ("state_dict", "model", "params", "ema", "anything")},
}


@pytest.mark.parametrize("way", WAYS)
def test_unwrapped(tmp_path: Path, way: str) -> None:
    torch.save(WAYS[way](), tmp_path / "a.pth")
    found, remark = fitting(read_tensors(tmp_path / "a.pth"), tmp_path / "a.pth", "net", fit)
    assert remark == ""
    assert found.keys() == state().keys()
    assert all(torch.equal(found[name], value) for name, value in state().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision(tmp_path: Path, kind: torch.dtype) -> None:
    half = {k: v.to(kind) if v.is_floating_point() else v for k, v in state().items()}
    torch.save({"state_dict": half}, tmp_path / "a.pth")
    found, _ = fitting(read_tensors(tmp_path / "a.pth"), tmp_path / "a.pth", "net", fit)
    assert {v.dtype for v in found.values()} == {torch.float32, torch.int64}
    assert torch.equal(found["conv.weight"], half["conv.weight"].float())


def test_averages_come_first_and_it_is_said(tmp_path: Path) -> None:
    content = {"model": state(0), "ema_state_dict": state(1)}
    found, remark = fitting(content, tmp_path / "a.pth", "net", fit)
    assert torch.equal(found["conv.weight"], state(1)["conv.weight"])
    assert remark == f"{tmp_path / 'a.pth'}: the averaged weights 'ema_state_dict' are taken, not 'model'"


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ({"a": state(0), "b": state(1)}, "'a' and 'b' both fit net and differ"),
        ({"state_dict": {"conv.weight": torch.ones(2, 1, 3, 3)}}, "Missing key"),
        ({"state_dict": {**state(), "more": torch.ones(1)}}, "Unexpected key"),
        ({"deep": {"deeper": {"deepest": state()}}}, "other things than tensors by name"),
        ({"epoch": 3}, "other things than tensors by name"),
        ([state()], "other things than tensors by name"),
        (torch.ones(3), "other things than tensors by name"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, content: object, want: str) -> None:
    with pytest.raises(WeightsError, match=want) as caught:
        fitting(content, tmp_path / "a.pth", "net", fit)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["numpy", "namespace", "deep"])
def test_nothing_is_executed(tmp_path: Path, how: str) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    inside = {"numpy": np.array([Evil()], object), "namespace": argparse.Namespace(x=Evil()), "deep": {"a": [Evil()]}}
    for name, save in (("z.pth", torch.save), ("p.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        save({"model": state(), "x": inside[how]}, tmp_path / name)
        with pytest.raises(WeightsError, match=r"refused, it holds pickled code|damaged or no checkpoint"):
            read_tensors(tmp_path / name)
        assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("way", ["module.", "epoch", "half", "compiled and averaged"])
def test_weights_of_a_method(tmp_path: Path, way: str) -> None:
    torch.manual_seed(0)
    own = ReFusionNet().state_dict()
    content = {
        "module.": {f"module.{k}": v for k, v in own.items()},
        "epoch": {"epoch": 3, "model": own, "optimizer": {"state": {}, "param_groups": []}, "best": np.float64(1)},
        "half": {"params": {k: v.half() for k, v in own.items()}},
        "compiled and averaged": {"ema": {f"_orig_mod.module.{k}": v for k, v in own.items()}, "steps": 3},
    }[way]
    torch.save(content, tmp_path / "ckpt.pth")
    added = weights.add("refusion", tmp_path / "ckpt.pth")
    kept = read_tensors(weights.verify(added))
    assert kept.keys() == own.keys()
    exact = way != "half"
    assert all(torch.equal(kept[k], v if exact else v.half().float()) for k, v in own.items())
