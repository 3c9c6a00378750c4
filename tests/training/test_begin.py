"""`train ... --from WEIGHTS`: what a file has of the networks is taken wholly, or one line says what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.methods.refusion.recipe import ReFusionRecipe
from fusionbench.methods.tdfusion import convert as of_tdfusion
from fusionbench.training.begin import begin
from fusionbench.training.recipe import Recipe
from fusionbench.training.trained import start_file
from tests.conftest import fusionbench, make_tree


class Two(Recipe):
    """F and G as TDFusion exports them, and a network that is not exported."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.fusion, self.proposal, self.task = ReFusionNet(), LossProposal(), nn.Linear(2, 2)

    def state(self):
        return {
            "fusion": self.fusion,
            "proposal": self.proposal,
            "task": self.task,
            "adam": torch.optim.Adam([nn.Parameter(torch.ones(1))]),
        }

    def export(self):
        parts = {"F.": self.fusion, "G.": self.proposal}
        return {p + k: v for p, part in parts.items() for k, v in part.state_dict().items()}


def weights(seed: int = 1) -> tuple[dict, dict]:
    torch.manual_seed(seed)
    return dict(ReFusionNet().state_dict()), dict(LossProposal().state_dict())


def same(module: nn.Module, state: dict) -> bool:
    return all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("way", ["exported", "F alone", "flat", "wrapped", "half"])
def test_networks_are_filled(tmp_path: Path, way: str) -> None:
    f, g = weights()
    whole = {**{f"F.{k}": v for k, v in f.items()}, **{f"G.{k}": v for k, v in g.items()}}
    content = {
        "exported": whole,
        "F alone": {f"F.{k}": v for k, v in f.items()},
        "flat": f,  # as the authors release it
        "wrapped": {"epoch": 1, "model": {f"module.{k}": v for k, v in whole.items()}},
        "half": {k: v.half() for k, v in whole.items()},
    }[way]
    torch.save(content, tmp_path / "w.pth")
    recipe = Two()
    before = {name: value.clone() for name, value in recipe.proposal.state_dict().items()}
    line = begin(recipe, tmp_path / "w.pth", of_tdfusion)
    assert same(recipe.fusion, {k: v.half().float() for k, v in f.items()} if way == "half" else f)
    alone = way in ("F alone", "flat")
    assert same(recipe.proposal, before) if alone else not same(recipe.proposal, before)
    rest = "fusion; proposal, task begin anew" if alone else "fusion, proposal; task begins anew"
    assert line == f"starting from {tmp_path / 'w.pth'}: {rest}"


@pytest.mark.parametrize("kind", ["missing", "shape", "extra", "other"])
def test_one_line_on_what_does_not_fit(tmp_path: Path, kind: str) -> None:
    f, _ = weights()
    state = {f"F.{k}": v for k, v in f.items()}
    name = next(iter(state))
    if kind == "missing":
        del state[name]
    elif kind == "shape":
        state[name] = torch.zeros(1, 2, 3)
    elif kind == "extra":
        state["F.more"] = torch.zeros(1)
    else:
        state = {"conv.weight": torch.zeros(2)}
    torch.save(state, tmp_path / "w.pth")
    recipe = Two()
    before = {n: v.clone() for n, v in recipe.fusion.state_dict().items()}
    with pytest.raises(WeightsError, match=r"w\.pth: not a checkpoint of what is trained here: ") as caught:
        begin(recipe, tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert same(recipe.fusion, before), "nothing is filled by half"


def test_what_is_meant(tmp_path: Path) -> None:
    torch.save(weights()[0], tmp_path / "w.pth")
    assert start_file(str(tmp_path / "w.pth"), None) == tmp_path / "w.pth"
    (tmp_path / "run").mkdir()
    torch.save(weights()[0], tmp_path / "run/weights.safetensors")
    assert start_file(str(tmp_path / "run"), None) == tmp_path / "run/weights.safetensors"
    assert fusionbench("weights", "add", "refusion", tmp_path / "w.pth", "--name", "mine").returncode == 0
    assert start_file("mine", "refusion") == start_file("refusion[mine]", "refusion")
    with pytest.raises(FusionbenchError, match="did you mean mine"):
        start_file("mime", "refusion")
    with pytest.raises(FusionbenchError, match="no such file, run or weights"):
        start_file("mine", None)


def test_a_run_starts_from_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path, 2)
    f, _ = weights()
    torch.save(f, tmp_path / "w.pth")
    monkeypatch.setattr(ReFusionRecipe, "step", lambda self, batch: {"loss": torch.zeros(())})  # learns nothing
    words = [
        "--cfg-options",
        "split=test",
        "patch=32",
        "batch=2",
        "meta_steps=0",
        "passes=1",
        "epochs=1",
        "picture_every=0",
    ]
    where = ("--data", f"msrs={tmp_path / 'MSRS'}", "--size", "tiny", "--out", tmp_path / "run")
    done = fusionbench("train", "refusion", *where, "--from", tmp_path / "w.pth", *words)
    assert done.returncode == 0, done.stderr
    assert f"starting from {tmp_path / 'w.pth'}: fusion; reconstruction, proposal begin anew" in done.stderr
    from safetensors.torch import load_file

    trained = load_file(tmp_path / "run/weights.safetensors")
    assert all(torch.equal(trained[name], value) for name, value in f.items())
    assert ", from w.pth@" in fusionbench("weights", "list").stdout
    done = fusionbench("train", "refusion", *where[:-1], tmp_path / "b", "--from", "nothing", *words)
    assert done.returncode == 2
    assert "--from nothing: no such file, run or weights" in done.stderr
