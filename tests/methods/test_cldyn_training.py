"""CLDyN's two stages: losses as written, falling, exactly resumable; what the recipes refuse and what they export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionbench.data import Sample, open_dataset
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.methods.cldyn import CLDyN, checkpoint, recipe_rsc, recipe_vfn
from fusionbench.methods.cldyn.cagrad import cagrad
from fusionbench.methods.cldyn.recipe_rsc import RSCRecipe
from fusionbench.methods.cldyn.recipe_vfn import VFNRecipe, fusion_loss, sobel, turned
from fusionbench.methods.cldyn.vfn import VFN
from fusionbench.plugins.registry import resolve
from fusionbench.tasks.network import TaskNetwork
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions

PRESETS = {"vfn": recipe_vfn.PRESETS, "rsc": recipe_rsc.PRESETS}
NETWORKS = {"segmentation": ("segformer-tiny", "fmb"), "saliency": ("ctdnet-tiny", "vt5000")}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Generated pairs of 64x80: MSRS, FMB and VT5000."""
    root = tmp_path_factory.mktemp("scenes")
    for number, name in enumerate(("msrs", "fmb", "vt5000")):
        synth(name, root / name, 4 + 2 * number, 2, (64, 80), number)
    return root


def opened(root: Path, *names: str) -> dict[str, Any]:
    return {name: open_dataset(name, root / name, exact=True) for name in names}


def settings(stage: str, *options: str, **changes: Any) -> Any:
    """The tiny settings, smaller still."""
    small = {"epochs": 2, "tensorboard": False, "picture_every": 0, "save_every": 2}
    return replace(PRESETS[stage].choose(size="tiny", options=options), **(small | changes))


def run(
    recipe: Any, out: Path, settings: Any, datasets: dict[str, Any], resume: bool = False, max_steps: int | None = None
) -> Any:
    recipe.datasets = datasets
    return train(recipe, settings, out, resume=resume, options=RunOptions(quiet=True, max_steps=max_steps))


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(one: Path, two: Path) -> None:
    assert (one / "log.jsonl").read_bytes() == (two / "log.jsonl").read_bytes()
    states = [torch.load(out / "last.pt", weights_only=True)["state"] for out in (one, two)]
    for name in ("vfn", "rsc"):
        for key, value in states[0].get(name, {}).items():
            assert torch.equal(value, states[1][name][key]), key


# ---------------------------------------------------------------- stage vfn


def test_fusion_loss_by_hand():
    ir, vi, fused = torch.rand(3, 2, 1, 5, 6, dtype=torch.float64)

    def slopes(x):
        x = np.pad(x, 1)
        a = x[:-2, 2:] + 2 * x[1:-1, 2:] + x[2:, 2:] - x[:-2, :-2] - 2 * x[1:-1, :-2] - x[2:, :-2]
        b = x[2:, :-2] + 2 * x[2:, 1:-1] + x[2:, 2:] - x[:-2, :-2] - 2 * x[:-2, 1:-1] - x[:-2, 2:]
        return np.abs(a) + np.abs(b)

    i, v, f = (x[:, 0].numpy() for x in (ir, vi, fused))
    assert np.allclose(sobel(ir)[:, 0], [slopes(x) for x in i])
    intensity = np.abs(f - np.maximum(i, v)).mean()
    edges = np.mean([np.abs(slopes(a) - np.maximum(slopes(b), slopes(c))) for a, b, c in zip(f, i, v, strict=True)])
    assert float(fusion_loss(fused, ir, vi, 0.2)["loss"]) == pytest.approx(0.2 * intensity + edges)
    assert float(fusion_loss(fused, ir, vi, 7, "paper")["loss"]) == pytest.approx(intensity + 7 * edges)


def test_turns_are_the_eight_of_a_square():
    ir = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    sample = Sample("a", "train", ir, np.repeat(ir + 100, 3, 0))
    seen = set()
    for seed in range(100):
        new = turned(sample, np.random.default_rng(seed))
        assert (new.vis - 100 == new.ir).all()
        seen.add(new.ir.tobytes())
    assert len(seen) == 8


def test_vfn_learns(scenes, tmp_path):
    config = settings("vfn", "validate=1", "crop=48", epochs=8)
    recipe = VFNRecipe()
    assert run(recipe, tmp_path, config, opened(scenes, "msrs", "fmb")).finished
    means = [line["mean_loss"] for line in lines(tmp_path) if "mean_loss" in line]
    assert means[-1] < 0.8 * means[0]
    validation = lines(tmp_path)[-1]["validation"]
    assert validation["score"] == pytest.approx(-(validation["msrs"] + validation["fmb"]) / 2)
    save_file(recipe.export(), tmp_path / "w.safetensors")
    method = CLDyN()
    method.load(tmp_path / "w.safetensors")
    ir, vis = torch.rand(1, 1, 20, 30), torch.rand(1, 3, 20, 30)
    recipe.vfn.eval()
    from fusionbench.pixels.colour import luma

    assert torch.equal(method.fuse(ir, vis), recipe.vfn(ir, luma(vis)).detach())
    assert set(recipe.pictures()) == {"ir", "vis", "fused"}


def test_vfn_takes_all_datasets_in_turn(scenes):
    recipe = VFNRecipe()
    recipe.datasets = opened(scenes, "msrs", "fmb", "vt5000")
    recipe.build(settings("vfn", "batch=18"), torch.device("cpu"))
    (step,) = recipe.batches(0, 0)
    names = recipe.names(step)
    assert sorted(names) == sorted(f"{n} {i}" for n, d in recipe.datasets.items() for i in d.ids("train"))
    one, two = (recipe.load(step, epoch, 0) for epoch in (0, 0))
    assert torch.equal(one.vis, two.vis)
    assert one.vis.shape == (18, 3, 64, 64)
    assert not torch.equal(one.vis, recipe.load(step, 1, 0).vis)


def test_vfn_resumes_exactly(scenes, tmp_path):
    config, data = settings("vfn", "crop=32", "validate=1"), opened(scenes, "msrs", "fmb")
    run(VFNRecipe(), tmp_path / "calm", config, data)
    run(VFNRecipe(), tmp_path / "torn", config, data, max_steps=3)
    torch.rand(5)
    run(VFNRecipe(), tmp_path / "torn", config, data, resume=True)
    same(tmp_path / "calm", tmp_path / "torn")


def test_vfn_kept_norms_and_a_falling_rate(scenes, tmp_path):
    """Statistics stay where asked, and only there; the rate falls behind the epochs asked for, also after a resume."""
    for norms, stay in (("batch", False), ("kept", True)):
        recipe, out = VFNRecipe(), tmp_path / norms
        chosen = settings("vfn", f"norms={norms}", epochs=3, decay_every=2, validate=0)
        run(recipe, out, chosen, opened(scenes, "msrs"), max_steps=2)
        recipe = VFNRecipe()
        run(recipe, out, chosen, opened(scenes, "msrs"), resume=True)
        fresh, now = VFN().state_dict(), recipe.vfn.state_dict()
        kept = [torch.equal(fresh[name], now[name]) for name in now if "running" in name]
        assert len(kept) == 36
        assert all(kept) if stay else not any(kept)
        assert not torch.equal(fresh["ir_feb.bfe.0.weight"], now["ir_feb.bfe.0.weight"])
        assert recipe.optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_vfn_refuses(scenes, tmp_path):
    data = opened(scenes, "msrs")
    with pytest.raises(FusionbenchError, match="variant=mine: choose one of released, paper"):
        settings("vfn", "variant=mine")
    with pytest.raises(FusionbenchError, match=r"64x80, smaller than the crop of 256x256"):
        run(VFNRecipe(), tmp_path / "b", settings("vfn", "crop=256"), data)


# ---------------------------------------------------------------- stage rsc


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory) -> dict[str, Path]:
    """A fusion network and two task networks as `fusionbench train` leaves them."""
    root = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    save_file({f"vfn.{k}": v for k, v in VFN().state_dict().items()}, root / "vfn.safetensors")
    found = {"vfn": root / "vfn.safetensors"}
    for task, (name, dataset) in NETWORKS.items():
        (root / task).mkdir()
        kind, data = resolve("task", task)(), opened(scenes, dataset)[dataset]
        facts = {"name": name, "task": task, "classes": kind.classes(data), "ignore_index": data.ignore_index}
        text = json.dumps({**facts, "config": {"channels": 3}, "trained_on": dataset})
        save_file(kind.build(name, data).state_dict(), root / task / "weights.safetensors", {"fusionbench": text})
        found[task] = root / task
    return found


def looped(trained: dict[str, Path], *options: str, **changes: Any) -> Any:
    given = [f"vfn={trained['vfn']}", *(f"networks.{t}.weights={trained[t]}" for t in NETWORKS)]
    return settings("rsc", *given, "validate=2", "resize=(32,40)", *options, **changes)


def test_rsc_learns_and_exports(scenes, trained, tmp_path):
    data = opened(scenes, "fmb", "vt5000")
    recipe = RSCRecipe()
    assert run(recipe, tmp_path, looped(trained, epochs=3), data).finished
    steps = [line for line in lines(tmp_path) if "step" in line]
    assert len(steps) == 3 * 3  # the smaller set has six pairs, two of them a batch
    assert {"loss", "segmentation_before", "saliency_after", "saliency_share"} <= steps[0].keys()
    first, last = (
        [s["segmentation_after"] / s["segmentation_before"] for s in part] for part in (steps[:2], steps[-2:])
    )
    assert sum(last) < sum(first)
    assert steps[0]["segmentation_after"] == steps[0]["segmentation_before"]  # the last layer starts at zero
    assert all(not p.requires_grad for net in recipe.networks.values() for p in net.parameters())
    kept = load_file(trained["saliency"] / "weights.safetensors")
    assert all(torch.equal(v, kept[k]) for k, v in recipe.networks["saliency"].state_dict().items())
    save_file(recipe.export(), tmp_path / "w.safetensors")
    save_file(CLDyN().convert(load_file(tmp_path / "w.safetensors")), tmp_path / "again.safetensors")
    pair = recipe.held_out["saliency"].batch([0], 0, 0)
    for task in ("segmentation", "saliency"):
        method = CLDyN(task=task)
        method.load(tmp_path / "again.safetensors")
        recipe.loop.eval()
        with torch.no_grad():
            wanted = recipe.loop.run(recipe.networks[task], pair.ir, pair.vis)[-1]
        assert torch.equal(method.fuse(pair.ir, pair.vis), wanted)
    assert set(recipe.pictures()) == {f"{t}_{k}" for t in NETWORKS for k in ("plain", "customised")}


def test_only_some_loops_are_saved(scenes, trained):
    data = opened(scenes, "fmb", "vt5000")
    state = built(trained, data, "keep=saliency").export()
    assert list(checkpoint.unpack(state).about) == ["saliency"]
    assert not any(name.startswith("task.segmentation") for name in state)
    with pytest.raises(FusionbenchError, match="keep: no task depth here, only segmentation, saliency"):
        built(trained, data, "keep=saliency,depth")


def test_rsc_resumes_exactly(scenes, trained, tmp_path):
    """Structures are drawn at random in training, so this holds the generators to account, too."""
    config, data = looped(trained, "validate=0"), opened(scenes, "fmb", "vt5000")
    run(RSCRecipe(), tmp_path / "calm", config, data)
    run(RSCRecipe(), tmp_path / "torn", config, data, max_steps=4)
    torch.rand(5)
    run(RSCRecipe(), tmp_path / "torn", config, data, resume=True)
    same(tmp_path / "calm", tmp_path / "torn")


def built(trained: dict[str, Path], data: dict[str, Any], *options: str) -> RSCRecipe:
    from fusionbench.training.precision import Precision

    recipe = RSCRecipe()
    recipe.datasets, recipe.precision = data, Precision()
    torch.manual_seed(0)
    recipe.build(looped(trained, *options), torch.device("cpu"))
    return recipe


def test_step_follows_cagrad(scenes, trained, monkeypatch):
    """The gradient that the optimiser sees is CAGrad's direction of the tasks' own, clipped."""
    recipe = built(trained, opened(scenes, "fmb", "vt5000"), "clip=1e9")
    torch.nn.init.normal_(recipe.loop.rsc.ir.a2si0.zc.weight, std=0.1)
    seen = []
    gradient = recipe.task_gradient
    monkeypatch.setattr(recipe, "task_gradient", lambda loss: seen.append(gradient(loss)) or seen[-1])
    batch = recipe.load(recipe.batches(0, 0)[0], 0, 0)
    values = recipe.step(batch)
    matrix = torch.stack(seen)
    shares = cagrad((matrix.double() @ matrix.double().T).numpy(), 0.5)
    assert [values["segmentation_share"], values["saliency_share"]] == pytest.approx(shares.tolist())
    moved = torch.cat([p.grad.flatten() for p in recipe.parameters])
    wanted = torch.tensor(shares, dtype=torch.float32) @ matrix
    assert ((moved - wanted).norm() / wanted.norm()) < 1e-5
    recipe.settings = replace(recipe.settings, clip=1.0)
    recipe.step(batch)
    assert torch.cat([p.grad.flatten() for p in recipe.parameters]).norm() <= 1.0001


def test_ablations(scenes, trained):
    data = opened(scenes, "fmb", "vt5000")
    rows = {}
    for name, options in {"full": [], "no penalty": ["penalty=0"], "open": ["closed_loop=False"]}.items():
        recipe = built(trained, data, *options, "leave_out=saliency", "resize=none")
        torch.manual_seed(1)
        torch.nn.init.normal_(recipe.loop.rsc.ir.a2si0.zc.weight, std=2)
        torch.manual_seed(2)
        rows[name] = recipe.step(recipe.load(recipe.batches(0, 0)[0], 0, 0))
    full, kind, deaf = rows["full"], rows["no penalty"], rows["open"]
    worse = max(0.0, float(full["segmentation_after"] - full["segmentation_before"]))
    assert worse > 0
    assert float(full["loss"]) == pytest.approx(float(full["segmentation_after"]) + 5 * worse)
    assert float(kind["loss"]) == pytest.approx(float(kind["segmentation_after"]))
    assert deaf["segmentation_before"] == full["segmentation_before"]
    assert deaf["segmentation_after"] != full["segmentation_after"]
    assert not any(name.startswith("saliency") for name in full)


def test_a_task_left_out_is_measured(scenes, trained):
    recipe = built(trained, opened(scenes, "fmb", "vt5000"), "leave_out=saliency")
    assert recipe.train_on == ["segmentation"]
    values = recipe.validate()
    assert {"saliency_before", "saliency_after", "segmentation_before"} <= values.keys()
    only = built(trained, opened(scenes, "vt5000"))
    assert list(only.tasks) == ["saliency"]
    assert values["saliency_before"] == pytest.approx(only.validate()["saliency_before"], rel=1e-5)


def test_larger_sets_are_drawn_anew(scenes, trained):
    recipe = built(trained, opened(scenes, "fmb", "vt5000"))
    drawn = [{i for step in recipe.batches(epoch, 0) for i in step.groups[1]} for epoch in range(6)]
    assert all(len(one) == 6 for one in drawn)  # of eight
    assert len(set.union(*drawn)) == 8
    assert recipe.batches(3, 0) == recipe.batches(3, 0)


def test_rsc_refuses(scenes, trained, tmp_path):
    data = opened(scenes, "fmb", "vt5000")

    def refused(match: str, *options: str, datasets: dict[str, Any] = data, error: type = FusionbenchError) -> None:
        with pytest.raises(error, match=match):
            run(RSCRecipe(), tmp_path / "out", looped(trained, *options), datasets)

    refused("stage rsc needs a trained fusion network", "vfn=none", error=WeightsError)
    refused(r"saliency_weights is not set.*train ctdnet-tiny --datasets vt5000", "networks.saliency.weights=none")
    refused(
        r"saliency_weights=gone: no such file or folder; make one: fusionbench train", "networks.saliency.weights=gone"
    )
    refused(
        r"holds ctdnet-tiny \(saliency\), wanted is segformer", f"networks.segmentation.weights={trained['saliency']}"
    )
    refused(r"dataset=msrs: no task of this recipe", datasets=opened(scenes, "fmb", "msrs"))
    refused("detection_weights is not set.*train yolov5-tiny --datasets msrs", datasets=opened(scenes, "msrs"))
    refused("leave_out=segmentation: must be one of several", "leave_out=segmentation", datasets=opened(scenes, "fmb"))
    refused("solver=magic: choose one of cagrad, released, mean", "solver=magic")
    refused("6 training pairs are fewer than a batch of 7", "batch=7")
    refused(r"other classes than those of msrs", "networks.segmentation.dataset=msrs", datasets=opened(scenes, "msrs"))
    with pytest.raises(FusionbenchError, match="no loss scaling"):
        run(RSCRecipe(), tmp_path / "out", looped(trained, precision="fp16"), data)


def test_weights_by_name(trained):
    """The fusion network may be installed weights."""
    from fusionbench.plugins import weights

    weights.add("cldyn", trained["vfn"], "first")
    state = checkpoint.find_vfn("first")
    assert checkpoint.unpack(state).vfn.blocks == 2
    assert not any(isinstance(v, TaskNetwork) for v in state.values())
