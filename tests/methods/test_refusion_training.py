"""ReFusion's recipe: the second-order gradient, falling losses, exact resume, several processes, what is exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.methods.refusion import ReFusion, modules
from fusionbench.methods.refusion.modules import LossProposal, Reconstruction, proposed_loss, reconstruction_loss
from fusionbench.methods.refusion.recipe import PRESETS, Pair, ReFusionRecipe, ReFusionSettings
from fusionbench.plugins.cards import card
from fusionbench.training.checkpoint import Checkpoint
from fusionbench.training.functional import second_order
from fusionbench.training.loop import train
from fusionbench.training.meta import outer_step
from fusionbench.training.options import Launch, RunOptions
from fusionbench.training.precision import Precision
from tests.training.toys import CONTEXT, join, together, weights

MODULES = ("fusion", "reconstruction", "proposal")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated training pairs in the layout of MSRS, 64x80."""
    root = tmp_path_factory.mktemp("scenes") / "MSRS"
    synth("msrs", root, 8, 1, (64, 80), 0)
    return root


def settings(*options: str, **changes: Any) -> ReFusionSettings:
    """The tiny settings, smaller still."""
    chosen = PRESETS.choose(["msrs"], size="tiny", options=["patch=16", "meta_steps=1", *options])
    return replace(chosen, **({"epochs": 2, "tensorboard": False, "picture_every": 0, "save_every": 2} | changes))


def made(root: Path, name: str = "msrs", kind: type[ReFusionRecipe] = ReFusionRecipe) -> ReFusionRecipe:
    recipe = kind()
    recipe.datasets = {name: open_dataset(name, root, exact=True)}
    return recipe


def run(
    recipe: ReFusionRecipe,
    out: Path,
    settings: ReFusionSettings,
    resume: bool = False,
    max_steps: int | None = None,
    launch: Launch | None = None,
) -> Any:
    options = RunOptions(quiet=True, max_steps=max_steps, launch=launch or Launch())
    return train(recipe, settings, out, resume=resume, options=options)


def log(out: Path, kind: str = "") -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row.get("kind", "") == kind] if kind else rows


# ---------------------------------------------------------------- modules and losses


def test_proposal_and_reconstruction() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 2, 1, 20, 24)
    proposal = LossProposal()
    assert sum(p.numel() for p in proposal.parameters()) == 44_529
    both = proposal(a, b)
    assert both.shape == (2, 2, 20, 24)
    assert both.min() > 0
    torch.testing.assert_close(both.sum(1), torch.ones(2, 20, 24))
    rebuilt = Reconstruction()(a)
    assert [r.shape for r in rebuilt] == [a.shape, a.shape]
    assert not torch.equal(*rebuilt)
    assert all(0 < r.min() <= r.max() < 1 for r in rebuilt)


def test_losses_by_hand() -> None:
    rng = np.random.default_rng(0)
    a, b, fused, w = rng.random((4, 1, 1, 5, 6))
    padded = [np.pad(x[0, 0], 1) for x in (fused, a, b)]
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gradient = 0.0
    for k in (kernel, kernel.T):
        f, of_a, of_b = (
            np.array([[(x[i : i + 3, j : j + 3] * k).sum() for j in range(6)] for i in range(5)]) for x in padded
        )
        gradient += np.abs(f - np.where(np.abs(of_a) >= np.abs(of_b), of_a, of_b)).mean()
    intensity = (w * (fused - a) ** 2 + (1 - w) * (fused - b) ** 2).mean()
    both = torch.from_numpy(np.concatenate([w, 1 - w], 1))
    tensors = [torch.from_numpy(x) for x in (fused, a, b)]
    assert float(proposed_loss(*tensors, both, 0.5)) == pytest.approx(intensity + 0.5 * gradient, rel=1e-12)
    error = reconstruction_loss((tensors[0], tensors[0]), *tensors[1:])
    assert float(error) == pytest.approx(((fused - a) ** 2).mean() + ((fused - b) ** 2).mean(), rel=1e-12)


@pytest.mark.real
def test_proposal_is_tdfusions(shared: Path) -> None:
    data = np.load(shared / "reference/parity/tdfusion_meta_step.npz")
    state = {k.removeprefix("init/G."): torch.from_numpy(v) for k, v in data.items() if k.startswith("init/G.")}
    proposal = LossProposal().double()
    assert list(proposal.state_dict()) == list(state)
    proposal.load_state_dict(state)
    fused, a, b = (torch.from_numpy(data[name]) for name in ("fused", "tr_a", "tr_b"))
    torch.testing.assert_close(proposal(a, b), torch.from_numpy(data["w"]), rtol=0, atol=1e-14)
    assert float(modules.gradient_loss(fused, a, b)) == pytest.approx(float(data["loss_grad"]), rel=1e-13)


# ---------------------------------------------------------------- the meta step


class Exact(ReFusionRecipe):
    """The same in float64."""

    def build(self, settings: ReFusionSettings, device: torch.device) -> None:
        super().build(settings, device)
        for name in MODULES:
            getattr(self, name).double()

    @staticmethod
    def pair(batch: Any) -> tuple[Tensor, Tensor]:
        a, b = ReFusionRecipe.pair(batch)
        return a.double(), b.double()


@pytest.fixture
def exact(scenes: Path) -> ReFusionRecipe:
    """A built recipe in float64, in which no parameter is idle."""
    torch.manual_seed(0)
    recipe = made(scenes, kind=Exact)
    recipe.precision = Precision()
    recipe.build(settings("inner_lr=0.5"), torch.device("cpu"))
    with torch.no_grad():
        for module in (recipe.fusion, recipe.reconstruction, recipe.proposal):
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return recipe


def pairs() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    a, b, c, d = F.avg_pool2d(torch.rand(4, 1, 36, 40, dtype=torch.float64), 3).split(1)
    return [(a, b), (c, d)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("derivative", ["product", "graph"])
def test_meta_gradient_against_finite_differences(exact: ReFusionRecipe, derivative: str, checkpointing: bool) -> None:
    exact.settings = replace(exact.settings, derivative=derivative, checkpointing=checkpointing)
    here, there = pairs()
    parameters = list(exact.proposal.parameters())

    def value(shift: list[Tensor]) -> float:
        with torch.no_grad():
            for parameter, by in zip(parameters, shift, strict=True):
                parameter.add_(by)
        with second_order():
            loss = exact.outer_loss(here, there)[0].detach()
        with torch.no_grad():
            for parameter, by in zip(parameters, shift, strict=True):
                parameter.sub_(by)
        return float(loss)

    gradients = gradient(exact, here, there)
    assert all(g.abs().max() > 0 for g in gradients)
    for only in (None, 0, len(parameters) // 2, len(parameters) - 1):  # all parameters at once, then one tensor
        along = [torch.randn_like(p) * (only is None or i == only) for i, p in enumerate(parameters)]
        expected = (value([1e-6 * s for s in along]) - value([-1e-6 * s for s in along])) / 2e-6
        found = float(sum((g * s).sum() for g, s in zip(gradients, along, strict=True)))
        assert found == pytest.approx(expected, rel=1e-4)
        assert abs(expected) > 1e-9


def gradient(recipe: ReFusionRecipe, here: Pair, there: Pair) -> list[Tensor]:
    with second_order():
        loss, inner = recipe.outer_loss(here, there)
        return outer_step(recipe.fusion, inner, loss, recipe.proposal.parameters())


def test_both_ways_give_one_gradient(exact: ReFusionRecipe) -> None:
    product = gradient(exact, *pairs())
    exact.settings = replace(exact.settings, derivative="graph")
    graph = gradient(exact, *pairs())
    size = float(torch.cat([g.flatten() for g in graph]).norm())
    for one, other in zip(product, graph, strict=True):
        assert float((one - other).norm()) <= 1e-12 * size


def test_meta_step_moves_the_proposal_alone(exact: ReFusionRecipe) -> None:
    here, there = pairs()
    before = {name: [p.clone() for p in getattr(exact, name).parameters()] for name in MODULES}
    values = exact.step([here, there])
    moved = {
        name: [not torch.equal(p, old) for p, old in zip(getattr(exact, name).parameters(), before[name], strict=True)]
        for name in MODULES
    }
    assert {name: any(m) for name, m in moved.items()} == {"fusion": False, "reconstruction": False, "proposal": True}
    assert all(moved["proposal"])
    exact.inner_lr = 0.0  # without an inner step the proposal has no bearing on the reconstruction
    assert float(values["gradient"]) > 0
    assert float(exact.step([here, there])["gradient"]) == 0


def test_learning_moves_fusion_and_reconstruction(exact: ReFusionRecipe) -> None:
    (here, _), old = pairs(), [p.clone() for p in exact.proposal.parameters()]
    values = [exact.step([here]) for _ in range(6)]
    for name in ("loss", "reconstruction"):
        assert values[-1][name].item() < 0.95 * values[0][name].item()
    assert all(torch.equal(p, o) for p, o in zip(exact.proposal.parameters(), old, strict=True))


# ---------------------------------------------------------------- runs


def test_losses_fall_and_weights_load(scenes: Path, tmp_path: Path) -> None:
    recipe = made(scenes)
    assert run(recipe, tmp_path / "run", settings("patch=32", "lr=3e-3", epochs=6, picture_every=6)).finished
    rows = log(tmp_path / "run", "learn")
    assert len(rows) == 24
    assert len(log(tmp_path / "run", "meta")) == 6
    for name, share in (("loss", 0.7), ("reconstruction", 0.9)):
        first, last = (np.mean([row[name] for row in part]) for part in (rows[:4], rows[-8:]))
        assert last < share * first
    assert {p.name for p in (tmp_path / "run/pictures").iterdir()} == {
        "a", "b", "fused", "weight_a", "rebuilt_a", "rebuilt_b"
    }  # fmt: skip
    save_file(recipe.export(), tmp_path / "weights.safetensors")
    method = ReFusion()
    method.load(tmp_path / "weights.safetensors")
    held = recipe.fusion.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in method.network.state_dict().items())
    assert (tmp_path / "weights.safetensors").stat().st_size < 400_000


def test_resume_is_exact(scenes: Path, tmp_path: Path) -> None:
    config = settings("decay_every=1", "decay=0.5")
    calm = run(made(scenes), tmp_path / "calm", config)
    assert calm.step == 10
    for steps in (1, 4, 7, None):  # before and after the first meta step, before the second
        torch.rand(3)  # what happens between two sessions must not matter
        end = run(made(scenes), tmp_path / "torn", config, resume=steps != 1, max_steps=steps)
    assert end.finished
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    one, two = (weights(tmp_path / name) for name in ("calm", "torn"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    held = Checkpoint.read(tmp_path / "torn/last.pt").state
    assert set(held) == {f"{name}{part}" for name in MODULES for part in ("", "_optimiser")}
    assert held["fusion_optimiser"]["param_groups"][0]["lr"] == config.lr / 4


def member(root: Path, out: Path, environment: Mapping[str, str]) -> None:
    """One of several processes."""
    run(made(root, kind=Exact), out, settings(epochs=1), launch=join(environment))


def test_two_processes_give_what_one_gives(scenes: Path, tmp_path: Path) -> None:
    run(made(scenes, kind=Exact), tmp_path / "one", settings(epochs=1))
    processes = [CONTEXT.Process(target=member, args=(scenes, tmp_path / "two", e)) for e in together(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    rows = [log(tmp_path / name) for name in ("one", "two")]
    assert [set(row) for row in rows[0]] == [set(row) for row in rows[1]]
    for a, b in zip(*rows, strict=True):
        assert {**a, "kind": 0} == pytest.approx({**b, "kind": 0}, rel=1e-6)
    one, two = (weights(tmp_path / name) for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------- data


def test_groups_of_a_meta_step_share_no_image(scenes: Path) -> None:
    recipe = made(scenes)
    recipe.build(settings("meta_steps=20", "passes=2"), torch.device("cpu"))
    steps = recipe.batches(0, 0)
    assert [step.kind for step in steps] == ["meta"] * 20 + ["learn"] * 8
    for step in steps[:20]:
        assert len({i for group in step.groups for i in group}) == 4
    again = [recipe.load(step, 0, 0)[0][0] for step in steps if step.kind == "learn"]
    assert recipe.batches(0, 0) == steps != recipe.batches(1, 0)
    first, second = (torch.cat(again[i : i + 4]).flatten(1).mean(1).sort().values for i in (0, 4))
    assert not torch.allclose(first, second)  # the second pass cuts other patches


def test_what_is_wrong_is_said_before_the_first_step(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match=r"msrs train: 8 pairs, .* needs 10 .*; use batch=4 or more pairs"):
        run(made(scenes), tmp_path / "a", settings("batch=5"))
    with pytest.raises(FusionbenchError, match="batch=0: must be a number above 0"):
        settings("batch=0")
    with pytest.raises(DataError, match="64x80, smaller than the crop of 128x128"):
        run(made(scenes), tmp_path / "b", settings("patch=128"))
    assert not (tmp_path / "a/log.jsonl").exists()


def test_any_pairs(tmp_path: Path) -> None:
    """Multi-focus pairs: both in colour, of several sizes, in a folder of the user's."""
    rng = np.random.default_rng(0)
    for number, size in enumerate([(40, 48), (36, 36), (64, 40), (33, 50)]):
        for role in ("ir", "vis"):
            (tmp_path / "pairs" / role).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
            picture.save(tmp_path / "pairs" / role / f"{number}.png")
    config = PRESETS.choose(["folder"], size="tiny", options=["patch=32", "meta_steps=1", "train.epochs=1"])
    assert run(made(tmp_path / "pairs", "folder"), tmp_path / "run", config).step == 3


def test_card_and_settings() -> None:
    data = card("method", "refusion").data
    (training,) = data["training"]
    assert training["recipe"] == f"{ReFusionRecipe.__module__.rpartition('.')[2]}:{ReFusionRecipe.__name__}"
    assert len(data["ours"]) > 5
    for name in training["datasets"]:
        splits = {split["name"] for split in card("dataset", name).data["splits"]}
        assert PRESETS.choose([name]).split in splits


def test_packaged_weights() -> None:
    entry = card("method", "refusion")
    (facts,) = [w for w in entry.data["weights"] if w["name"] == "scenes"]
    path = entry.path.parent / facts["packaged"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    method = ReFusion()
    method.load(path)
    a, b = torch.rand(2, 1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    first, other = (method.fuse(x, b.repeat(1, 3, 1, 1)) for x in (a, a.flip(-1)))
    assert not torch.allclose(first, other, atol=0.01)
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row.get("kind") == "learn"]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
