"""TDFusion's recipe: order, labels, what a step moves, resume, several processes, ablations, learning."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fusionbench.data import Boxes, Sample, open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.methods.tdfusion import TDFusion, recipe
from fusionbench.methods.tdfusion.recipe import TDFusionRecipe
from fusionbench.methods.tdfusion.recipe_pairs import Pairs, lumas, made_smaller
from fusionbench.methods.tdfusion.recipe_settings import ABLATIONS, PRESETS, TDFusionSettings
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.network import Target, TaskNetwork
from fusionbench.tasks.segmentation import target
from fusionbench.training.loop import train
from fusionbench.training.options import Launch, Note, RunOptions, silent
from fusionbench.training.precision import Precision
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run as run_training
from tests.training.toys import CONTEXT, join, together, weights

pytestmark = pytest.mark.usefixtures("mm")


class Stub(TaskNetwork):
    """A segmentation network that is quick, with batch normalisation and, if asked for, dropout."""

    two_stage = False

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Conv2d(8, 15, 1)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        masks = torch.stack([t.mask for t in targets if t.mask is not None])
        logits = nn.functional.interpolate(self.head(self.body(images)), masks.shape[1:], mode="bilinear")
        return nn.functional.cross_entropy(logits, masks)


class StubTask:
    needs = "mask"

    def __init__(self, dropout: float = 0.0, two_stage: bool = False) -> None:
        self.dropout, self.two_stage = dropout, two_stage

    def build(self, network: str, dataset: Any, channels: int, backbone: Any, layout: str) -> Stub:
        assert channels == 1
        made = Stub(self.dropout)
        made.two_stage = self.two_stage
        return made

    target = staticmethod(target)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(**options: Any) -> None:
        monkeypatch.setattr(recipe, "task_of", lambda name: StubTask(**options))

    use()
    return use


@pytest.fixture(scope="module")
def fmb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trees") / "FMB"
    synth("fmb", root, 5, 0, (64, 80), 0)
    return root


def config(**changes: Any) -> TDFusionSettings:
    small = {"crop": (32, 32), "task_size": (32, 40), "meta_steps": 3, "decay_every": 1}
    quick = {"epochs": 2, "save_every": 2, "tensorboard": False}
    return replace(PRESETS.choose(["fmb"], size="tiny"), **(small | quick | changes))


def prepared(root: Path) -> TDFusionRecipe:
    made = TDFusionRecipe()
    made.datasets = {"fmb": open_dataset("fmb", root, exact=True)}
    return made


def run(
    root: Path,
    out: Path,
    resume: bool = False,
    max_steps: int | None = None,
    note: Note = silent,
    launch: Launch | None = None,
    **settings: Any,
) -> TDFusionRecipe:
    made = prepared(root)
    options = RunOptions(quiet=True, max_steps=max_steps, note=note, launch=launch or Launch())
    train(made, config(**settings), out, resume=resume, options=options)
    return made


def rows(out: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in found if row.get("kind") == kind]


# ---------------------------------------------------------------- data


def sample() -> Sample:
    """A box whose sides tell x from y, on an image twice as wide as high."""
    ir = np.arange(100 * 200, dtype=np.uint32).reshape(1, 100, 200).astype(np.uint8)
    boxes = Boxes.of([(20, 10, 60, 90)], [1])
    return Sample("a", "train", ir, np.repeat(ir, 3, 0), np.zeros((100, 200), np.uint8), boxes)


def test_boxes_scale_with_their_own_side() -> None:
    """x by the width, y by the height; the released loader divides x by the height and y by the width."""
    small = made_smaller(sample(), (50, 50))
    assert small.boxes is not None
    assert small.boxes.xyxy.tolist() == [[5.0, 5.0, 15.0, 45.0]]
    swapped = np.array([20 / 100, 10 / 200, 60 / 100, 90 / 200]) * 50
    assert not np.allclose(small.boxes.xyxy, swapped)


def test_masks_stay_at_full_size() -> None:
    small = made_smaller(sample(), (50, 100))
    assert small.ir.shape == (1, 50, 100)
    assert small.mask is not None
    assert small.mask.shape == (100, 200)


def test_every_pair_also_swapped() -> None:
    a, b = lumas([sample(), replace(sample(), vis=sample().vis // 2)])
    assert float((b[1] - a[1]).abs().max()) > 0.1
    labels = [Target(mask=torch.zeros(2, 2)), Target(mask=torch.ones(2, 2))]
    both = Pairs((a, b), (a, b), labels).on(torch.device("cpu"), swapped=True)
    assert torch.equal(both.crops[0], torch.cat((a, b)))
    assert torch.equal(both.whole[1], torch.cat((b, a)))
    assert [float(t.mask.mean()) for t in both.targets] == [0, 1, 0, 1]
    assert len(Pairs((a, b), (a, b), labels).on(torch.device("cpu"), swapped=False).targets) == 2


def test_order_of_an_epoch(stub: Any, fmb: Path) -> None:
    made = prepared(fmb)
    made.build(config(meta_steps=7), torch.device("cpu"))
    steps = made.batches(0, 0)
    meta, kept = steps[:7], steps[7:]
    assert [s.kind for s in steps] == ["meta"] * 7 + ["fuse"] * 5
    assert sorted(i for s in kept for i in s.groups[0]) == list(range(5))
    inner, outer = ({i for s in meta for i in s.groups[g]} for g in (0, 1))
    assert len(inner) == len(outer) == 2
    assert not inner & outer
    assert len({s.salt for s in meta}) == 7
    assert made.batches(0, 0) == steps != made.batches(1, 0)


# ---------------------------------------------------------------- a step


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {n: v.clone() for n, v in network.state_dict().items()}


def same(network: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(v, before[n]) for n, v in network.state_dict().items())


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize("derivative", ["product", "graph"])
def test_a_meta_step_moves_the_proposal_alone(
    stub: Any, fmb: Path, tmp_path: Path, variant: str, derivative: str
) -> None:
    made = run(fmb, tmp_path, variant=variant, derivative=derivative, max_steps=1)
    fusion, proposal, task = copied(made.fusion), copied(made.proposal), copied(made.network)
    batch = made.load(made.batches(0, 0)[1], 0, 0)
    values = made.step(batch)
    assert same(made.fusion, fusion)
    assert same(made.network, task)
    moved = max(float((v - proposal[n]).abs().max()) for n, v in made.proposal.state_dict().items())
    lr = made.settings.lr_proposal
    assert moved == pytest.approx(lr, rel=0.3 if variant == "paper" else 1e-3)
    assert {"loss", "task", "inner", "slope"} == set(values)
    steps = [int(s["step"]) for s in made.adam["task"].state.values()]
    assert set(steps) == ({2} if variant == "released" else set())


def test_moments_of_the_task_network_put_back(stub: Any, fmb: Path, tmp_path: Path) -> None:
    """Released: a meta step leaves its mark on T's Adam; with ``restore_moments`` nothing of T is left of it."""
    marks = {}
    for restore in (False, True):
        made = run(fmb, tmp_path / str(restore), max_steps=4, restore_moments=restore)  # three meta steps and one more
        marks[restore] = {int(state["step"]) for state in made.adam["task"].state.values()}
    assert marks == {False: {4}, True: {1}}


def test_ways_agree(stub: Any, fmb: Path, tmp_path: Path) -> None:
    kinds = {way: rows_of(fmb, tmp_path / way, way) for way in ("product", "graph")}
    for a, b in zip(*kinds.values(), strict=True):
        assert a == pytest.approx(b, rel=1e-3)


def rows_of(fmb: Path, out: Path, way: str) -> list[dict[str, float]]:
    run(fmb, out, derivative=way, checkpointing=way == "graph", epochs=1)
    return [{k: v for k, v in row.items() if k != "kind"} for k in ("meta", "fuse") for row in rows(out, k)]


# ---------------------------------------------------------------- runs


def test_resume_is_exact(stub: Callable[..., None], fmb: Path, tmp_path: Path) -> None:
    stub(dropout=0.2)
    few = {"limit": 4, "meta_steps": 2}
    run(fmb, tmp_path / "calm", **few)
    for stop in (1, 4, 8):  # among meta steps, in the pass, in the second epoch
        run(fmb, tmp_path / "torn", resume=stop > 1, max_steps=stop, **few)
        torch.rand(3)
    run(fmb, tmp_path / "torn", resume=True, **few)
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()
    a, b = weights(tmp_path / "calm"), weights(tmp_path / "torn")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def child(root: Path, out: Path, environment: dict[str, str], variant: str) -> None:
    setattr(recipe, "task_of", lambda name: StubTask())  # noqa: B010
    run(root, out, launch=join(environment), **alike(variant))


def alike(variant: str) -> dict[str, Any]:
    """Settings with two pairs a step."""
    batch = 4 if variant == "released" else 2
    return {"variant": variant, "batch": batch, "meta_steps": 2, "epochs": 1, "picture_every": 0}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["released", "paper"])
def test_two_processes_are_as_one(stub: Any, fmb: Path, tmp_path: Path, variant: str) -> None:
    (tmp_path / "two").mkdir()
    members = [
        CONTEXT.Process(target=child, args=(fmb, tmp_path / "two", environment, variant)) for environment in together(2)
    ]
    for process in members:
        process.start()
    run(fmb, tmp_path / "one", **alike(variant))
    for process in members:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in members] == [0, 0]
    for kind in ("meta", "fuse"):
        one, two = rows(tmp_path / "one", kind), rows(tmp_path / "two", kind)
        assert len(one) == len(two) > 0
        for a, b in zip(one, two, strict=True):
            assert {**a, "kind": 0} == pytest.approx({**b, "kind": 0}, rel=2e-3)
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in ("fusion", "proposal", "task"):
        mine = [k for k in a if k.startswith(f"{name}.")]
        apart = sum(float((a[k].double() - b[k].double()).square().sum()) for k in mine) ** 0.5
        assert apart <= 1e-2 * sum(float(a[k].double().square().sum()) for k in mine) ** 0.5


@pytest.mark.parametrize("ablation", [None, *ABLATIONS])
def test_ablations(stub: Any, fmb: Path, tmp_path: Path, ablation: str | None) -> None:
    made = run(fmb, tmp_path, ablation=ablation, epochs=1)
    state = made.export()
    letters = {name[0] for name in state}
    assert letters == {"average": {"G"}, "fixed": {"F"}, "direct": {"F"}}.get(str(ablation), {"F", "G"})
    counts = len(rows(tmp_path, "meta")), len(rows(tmp_path, "fuse"))
    assert counts == {"fixed": (0, 5), "direct": (0, 5), "average": (0, 5), "joint": (5, 0)}.get(str(ablation), (3, 5))
    last = (rows(tmp_path, "fuse") or rows(tmp_path, "meta"))[-1]
    assert (last["w_a"] == 0.5) == (ablation in ("fixed", "direct"))
    assert last.get("gradient") == 0 or ablation != "no-gradient"
    save_file(state, tmp_path / "w.safetensors")
    method = TDFusion()
    method.load(tmp_path / "w.safetensors")
    with torch.inference_mode():
        assert method.fuse(torch.rand(1, 1, 16, 16), torch.rand(1, 3, 16, 16)).std() > 0


def test_task_loss_reaches_the_fusion_network_only_where_it_is_direct(stub: Any, fmb: Path, tmp_path: Path) -> None:
    ends = {}
    for name in ("fixed", "direct"):
        made = run(fmb, tmp_path / name, ablation=name, max_steps=1)
        ends[name] = torch.cat([p.detach().flatten() for p in made.fusion.parameters()])
    assert float((ends["fixed"] - ends["direct"]).norm()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "network"), [("fmb", "segformer-tiny"), ("m3fd", "yolov8-tiny")], ids=["segmentation", "detection"]
)
def test_learning(tmp_path: Path, name: str, network: str) -> None:
    synth(name, tmp_path / "tree", 6, 0, (64, 80), 0)
    made = TDFusionRecipe()
    made.datasets = {name: open_dataset(name, tmp_path / "tree", exact=True)}
    small = ("crop=(32,32)", "task_size=(32,40)", "meta_steps=2", "lr.fusion=5e-3", "epochs=5", "tensorboard=false")
    settings = PRESETS.choose([name], size="tiny", options=small)
    assert settings.network == network
    train(made, settings, tmp_path / "run", options=RunOptions(quiet=True))
    fusion = [row["fusion"] for row in rows(tmp_path / "run", "fuse")]
    assert np.mean(fusion[-6:]) < 0.75 * np.mean(fusion[:6])  # an epoch each
    assert all(row["slope"] > 0 for row in rows(tmp_path / "run", "meta"))
    assert {p.parent.name for p in (tmp_path / "run").rglob("epoch005.png")} == {"fused", "w_a"}


def test_a_trained_task_network_to_begin_from(fmb: Path, tmp_path: Path) -> None:
    def folder(channels: int) -> str:
        small = ("limit=2", "batch=2", "resize=(32,40)", f"channels={channels}", "train.epochs=1")
        order = TrainRequest(
            name="segformer-tiny",
            datasets=(f"fmb={fmb}",),
            size="tiny",
            options=small,
            folder=tmp_path / f"t{channels}",
        )
        run_training(order, RunOptions(quiet=True))
        return str(order.out)

    made, settings = prepared(fmb), config(trained=folder(1))
    made.precision = Precision()
    made.build(settings, torch.device("cpu"))
    begun, given = made.network.state_dict(), load_network(tmp_path / "t1")[0].state_dict()
    assert all(torch.equal(begun[name], given[name]) for name in given)
    assert all(p.requires_grad for p in made.network.parameters())
    with pytest.raises(FusionbenchError, match=r"holds segformer-tiny for 15 classes and 3 channel\(s\), wanted is"):
        run(fmb, tmp_path / "x", trained=folder(3))
    with pytest.raises(FusionbenchError, match="trained=nowhere: no such file or folder"):
        run(fmb, tmp_path / "y", trained="nowhere")


# ---------------------------------------------------------------- what the user can mend


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "mine"}, "variant=mine: choose one of released, paper"),
        ({"ablation": "all"}, "ablation=all: choose one of None, fixed, no-gradient"),
        ({"batch": 3}, "batch=3: every pair is also swapped, so it is a multiple of 2"),
        ({"task_size": (30, 40)}, r"masks of 64x80 are no whole multiple of the setting 'task_size=\(30,40\)'"),
        ({"precision": "fp16"}, "underflow in fp16"),
        ({"batch": 8}, "5 training pairs are too few: a meta step needs 8"),
    ],
)
def test_settings_that_cannot_be(stub: Any, fmb: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FusionbenchError, match=message):
        run(fmb, tmp_path, **settings)


def test_two_stage_detectors_are_refused(stub: Callable[..., None], fmb: Path, tmp_path: Path) -> None:
    stub(two_stage=True)
    with pytest.raises(FusionbenchError, match="a two-stage detector cannot be used for tdfusion"):
        run(fmb, tmp_path)


def test_a_smaller_crop_is_noted(stub: Any, fmb: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    made = run(fmb, tmp_path, crop=(256, 256), max_steps=1, note=notes.append)
    assert made.crop == (64, 64)
    assert [note for note in notes if "decoding" not in note] == [
        "fmb: images of 64x80 are smaller than the crop of 256x256 (height x width); the fusion loss is taken on 64x64"
    ]


@pytest.mark.parametrize("name", ["fmb", "msrs", "m3fd", "llvip"])
def test_published_settings(name: str) -> None:
    full = PRESETS.choose([name])
    sizes = {"fmb": (300, 400), "msrs": (240, 320), "m3fd": (192, 256), "llvip": (256, 320)}
    assert full.task_size == sizes[name]
    assert (full.crop, full.meta_steps, full.alpha, full.batch) == ((256, 256), 200, 1.0, 2)
    assert (full.epochs, full.decay, full.decay_every) == (40, 0.1, 10)
    assert {full.lr_fusion, full.lr_task, full.lr_proposal, full.lr_inner} == {1e-4}
