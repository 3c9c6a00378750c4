"""CLDyN's networks against released arithmetic and a looped form; CAGrad against its dual; the method and its files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _cldyn_looped import a2si, convolutions, vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.methods.cldyn import CLDyN, checkpoint, fast
from fusionbench.methods.cldyn.cagrad import cagrad, cagrad_weights, objective, project, released_weights
from fusionbench.methods.cldyn.loop import ClosedLoop, listen, measure, reward_punishment, task_image
from fusionbench.methods.cldyn.rsc import BRANCHES, RSC, STRUCTURES, Choice
from fusionbench.methods.cldyn.vfn import VFN
from fusionbench.pixels.colour import luma
from fusionbench.plugins.registry import resolve
from fusionbench.tasks.network import Target, TaskNetwork

GOLDEN = ("fused_vfn", "feat_ir", "feat_vi", "comp_ir", "comp_vi", "fused_task")


class Blind(TaskNetwork):
    """A task network that wants the image bright, and feels its coarse structure."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 4, 4)

    def loss(self, images: Tensor, targets: list[Target]) -> Tensor:
        return (1 - images).square().mean() + self.layer(images).square().mean()

    def features(self, images: Tensor) -> Tensor:
        return self.layer(images)


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics in which no term is idle."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.add_(torch.randn_like(value) * (0.3 if value.ndim == 1 else 0.05))
            if name.endswith("zc.weight"):
                value.normal_()
        for name, value in module.named_buffers():
            if "running" in name:
                value.copy_(torch.rand_like(value) + (0.5 if name.endswith("var") else 0))
    return module


@pytest.fixture(scope="module")
def rsc() -> RSC:
    return lively(RSC()).eval()


@pytest.fixture(scope="module")
def loop() -> ClosedLoop:
    return ClosedLoop(lively(VFN(), 1), lively(RSC(), 2))


@pytest.fixture(scope="module")
def golden(shared) -> dict[str, Tensor]:
    data = np.load(shared / "reference/parity/cldyn_forward.npz")
    return {name: torch.from_numpy(data[name]) for name in data.files}


def below(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


# ---------------------------------------------------------------- parity and counts


def test_parameters():
    assert sum(p.numel() for p in VFN(2).parameters()) == 34_761
    assert sum(p.numel() for p in RSC(1).parameters()) == 462_696
    assert all(p.requires_grad for p in RSC(1).parameters())


@pytest.mark.real
@pytest.mark.parametrize("grad", [False, True])
def test_released_arithmetic(golden, grad):
    vfn, rsc = VFN().double().eval(), RSC().double().eval()
    vfn.load_state_dict(below(golden, "vfn/"))
    branches = {f"{m}.{k}": v for m in ("ir", "vi") for k, v in below(golden, f"rsc_{m}/").items()}
    rsc.load_state_dict({"bank": golden["bank"], **branches})
    with torch.set_grad_enabled(grad):
        got = {"fused_vfn": vfn(golden["ir"], golden["vi"])}
        got["feat_ir"], got["feat_vi"] = vfn.encode(0, golden["ir"], golden["vi"])
        got["comp_ir"], got["comp_vi"] = rsc(0, golden["task"], got["feat_ir"], got["feat_vi"])
        got["fused_task"] = vfn.decode(*vfn.encode(1, got["comp_ir"], got["comp_vi"]))
    for name in GOLDEN:
        assert ((got[name] - golden[name]).norm() / golden[name].norm()).item() < 1e-12, name


@pytest.mark.real
def test_released_checkpoint(golden, tmp_path):
    blocks = {m: below(golden, f"rsc_{m}/") for m in ("ir", "vi")}
    state = checkpoint.convert(
        {"net": below(golden, "vfn/"), "rsc_ir": blocks["ir"], "rsc_vi": blocks["vi"], "b": golden["bank"]}
    )
    parts = checkpoint.unpack(state)
    assert torch.equal(parts.rsc.vi.a2si0.zc.bias, golden["rsc_vi/a2si0.zc.bias"].float())
    save_file(checkpoint.convert({"net": below(golden, "vfn/")}), tmp_path / "w.safetensors")
    method = CLDyN()
    method.load(tmp_path / "w.safetensors")
    fused = method.fuse(golden["ir"].float(), golden["vi"].float().repeat(1, 3, 1, 1))
    assert (fused - golden["fused_vfn"]).abs().max() < 1e-5


def test_starts():
    torch.manual_seed(0)
    loop = ClosedLoop(VFN(), RSC())
    rows = loop.rsc.bank.detach().flatten(0, 1)
    assert (rows @ rows.T - torch.eye(128)).abs().max() < 1e-5
    prototypes = loop.rsc.ir.a2si0.orthogonal_convolutional_prototypes
    assert (prototypes @ prototypes.T - torch.eye(4)).abs().max() < 1e-5
    start = loop.start(torch.rand(1, 1, 16, 20), torch.rand(1, 1, 16, 20))
    assert torch.equal(loop.customise(start, torch.randn(1, 6, 3, 3)), start.fused)  # the last layer is zero at first


# ---------------------------------------------------------------- A2SI


@settings(max_examples=12, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(3, 40), width=st.integers(3, 24), seed=st.integers(0, 999))
def test_batched_is_looped(rsc, batch, height, width, seed):
    torch.manual_seed(seed)
    image, task = torch.randn(batch, 8, height, width), torch.randn(batch, 3, seed % 4 + 1, 5) * 9
    block = rsc.vi.a2si0
    wanted = a2si(block, rsc.bank, task, image)
    with torch.no_grad():
        assert (block(rsc.bank, task, image) - wanted).abs().max() < 1e-4
    assert (block(rsc.bank, task, image) - wanted).abs().max() < 1e-4


@settings(max_examples=40, deadline=None)
@given(structure=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=4))
def test_any_structure(rsc, structure):
    """Every mix of structures within a sample: vectors and convolutions are those of the loops."""
    block, chosen = rsc.ir.a2si0, torch.tensor(structure)
    generator = torch.Generator().manual_seed(int(chosen.sum()))
    image = torch.randn(len(chosen), 8, 9, 12, generator=generator)
    task = torch.randn(len(chosen), 4, 3, 3, generator=generator)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(block, "structures", lambda task, image: torch.nn.functional.one_hot(chosen, 4).float())
        choice = block.choose(rsc.bank, task, image)
        wanted = vectors(block.bv_f(task, image), rsc.bank, chosen)
        assert torch.equal(choice.vector, wanted)
        loops = convolutions(block, image, chosen, wanted)
        assert (block.convolve(image, choice) - loops).abs().max() < 1e-4
        plain = image + block.zc(block.B_LR(loops.flatten(0, 1)).unflatten(0, (-1, BRANCHES)).mean(1))
        assert (block.compensate(image, choice) - plain).abs().max() < 1e-4


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_rows_change_nothing(rsc, rows, monkeypatch):
    monkeypatch.setattr(fast, "ROWS", rows)
    block, image = rsc.ir.a2si0, torch.randn(2, 8, 13, 11)
    choice = Choice(torch.tensor([[0, 1, 2, 3], [3, 3, 0, 0]]), torch.zeros(2, 4).long(), torch.randn(2, 4, 256))
    with torch.no_grad():
        plain = block.p_img_f(image).flatten(1), block.bv_f.p_img_f(image).flatten(1)
        assert (fast.mean_of(block.p_img_f, image) - plain[0]).abs().max() < 1e-5
        assert (fast.mean_of(block.bv_f.p_img_f, image) - plain[1]).abs().max() < 1e-5
        banded = block.compensate(image, choice)
    assert (banded - block.compensate(image, choice)).abs().max() < 1e-4


def test_long_feedback(rsc, monkeypatch):
    """In pieces and at once; the sums at either end are right for a sequence of one value, too."""
    from fusionbench.methods.cldyn import rsc as module

    block = rsc.ir.a2si0
    for shape in ((2, 7, 5, 3), (1, 1, 1, 1), (1, 2, 1, 1)):
        task = torch.randn(shape)
        wanted = block.p_task_f(task.flatten(1)[:, None]).mean(2)
        for length in (1, 2, 16, 1000):
            monkeypatch.setattr(module, "SEQUENCE", length)
            with torch.no_grad():
                assert (module.sequence_mean(block.p_task_f, task) - wanted).abs().max() < 1e-5
        assert (module.sequence_mean(block.p_task_f, task) - wanted).abs().max() < 1e-5


def test_training_draws_and_evaluation_does_not():
    rsc = lively(RSC())
    image, task = torch.randn(4, 8, 12, 12), torch.randn(4, 6, 3, 3)
    rsc.eval()
    first = rsc.choose(0, task, image, image)[0].structure
    assert all(torch.equal(rsc.choose(0, task, image, image)[0].structure, first) for _ in range(5))
    rsc.train()
    torch.manual_seed(3)
    drawn = [rsc.choose(0, task, image, image)[0].structure for _ in range(20)]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) > 10
    torch.manual_seed(3)
    assert torch.equal(rsc.choose(0, task, image, image)[0].structure, drawn[0])


@pytest.mark.parametrize("learn", [True, False])
def test_gradients(learn):
    """Every parameter is reached; in the released form the query's are not."""
    rsc = lively(RSC(learn_query=learn)).train()
    total = torch.zeros(())
    for seed in range(4):  # so that every structure is drawn
        torch.manual_seed(seed)
        ir, vi = rsc(0, torch.randn(4, 6, 3, 3), torch.randn(4, 8, 12, 12), torch.randn(4, 8, 12, 12))
        total = total + (ir**2).mean() + (vi**3).mean()
    total.backward()
    idle = {n for n, p in rsc.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    query = {n for n, _ in rsc.named_parameters() if "bv_f" in n}
    assert idle == (set() if learn else query)


def test_straight_through_gradient_of_the_structure():
    """The selection's gradient is the change that other structures' vectors would make."""
    rsc = lively(RSC(learn_query=False)).double().eval()
    block = rsc.ir.a2si0
    task, image = torch.randn(1, 2, 3, 3).double(), torch.randn(1, 8, 8, 8).double()
    selection = torch.eye(4).double()[None].requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "structures", lambda task, image: selection)
        choice = block.choose(rsc.bank, task, image)
    weight = torch.randn_like(choice.vector)
    (got,) = torch.autograd.grad((choice.vector * weight).sum(), selection)
    other = torch.stack([rsc.bank[t, choice.entry[0]] for t in range(len(STRUCTURES))], 1)
    assert torch.allclose(got[0], (other * weight[0][:, None]).sum(2))


# ---------------------------------------------------------------- CAGrad


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tasks=st.integers(1, 5), c=st.floats(0.05, 0.9), common=st.floats(0, 3))
def test_cagrad_solves_primal_and_dual(seed, tasks, c, common):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(tasks, 12)) * np.exp(rng.normal(size=(tasks, 1))) + common * rng.normal(size=12)
    gram = gradients @ gradients.T
    weights = cagrad_weights(gram, c)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    value = objective(gram, weights, c)
    found = minimize(
        lambda w: objective(gram, w, c),
        np.full(tasks, 1 / tasks),
        method="SLSQP",
        bounds=[(0, 1)] * tasks,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    scale = np.trace(gram)
    assert value <= found.fun + 1e-7 * scale
    direction, mean = cagrad(gram, c) @ gradients, gradients.mean(0)
    assert np.linalg.norm(direction - mean) <= c * np.linalg.norm(mean) * (1 + 1e-9)
    # no duality gap: the worst task's improvement is the dual's value
    assert (gradients @ direction).min() == pytest.approx(value, abs=1e-7 * scale)


def test_cagrad_corner_cases():
    assert cagrad(np.zeros((3, 3))).tolist() == [1 / 3] * 3
    same = np.ones((3, 4))
    assert cagrad(same @ same.T, 0.5) @ same == pytest.approx(1.5 * np.ones(4))
    opposed = np.array([[1.0, 0], [-1.0, 0]])
    assert np.isfinite(cagrad(opposed @ opposed.T)).all()
    assert cagrad(np.eye(2), 0.0) == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="9 tasks; 1 to 8"):
        cagrad_weights(np.eye(9))


@pytest.mark.real
def test_released_solver(golden):
    gradients = golden["cagrad_G"].numpy()
    released = released_weights(gradients @ gradients.T)
    assert np.abs(released - golden["cagrad_alpha_released_code"].numpy()).max() < 1e-12
    assert cagrad_weights(gradients @ gradients.T).argmax() != released.argmax()  # it follows another task


def test_released_solver_inside_the_simplex():
    small = np.diag([1.0, 2.0, 4.0]) * 1e-2
    quadratic = minimize(
        lambda w: w @ small @ w,
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    assert released_weights(small, steps=20000) == pytest.approx(quadratic.x, abs=1e-3)
    assert project(np.array([0.2, 0.3, 2.0])).tolist() == [0, 0, 1]
    assert project(np.array([0.5, 0.4, 0.4])) == pytest.approx([0.4, 0.3, 0.3])


# ---------------------------------------------------------------- the loop


def test_reward_punishment():
    before, after = torch.tensor([1.0, 1.0]), torch.tensor([0.8, 1.2])
    assert reward_punishment(before, after).tolist() == pytest.approx([0.8, 2.2])
    assert reward_punishment(before, after, 0).tolist() == pytest.approx([0.8, 1.2])


def test_task_image_keeps_luma_and_chroma():
    vis = torch.rand(1, 3, 6, 7) * 0.4 + 0.3
    assert (task_image(luma(vis), vis) - vis).abs().max() < 1e-3
    assert task_image(torch.full((1, 1, 6, 7), 2.0), vis).max() == 1


def test_loop_moves_only_the_compensation(loop):
    network = Blind().requires_grad_(False)
    ir, vis = torch.rand(2, 1, 24, 32), torch.rand(2, 3, 24, 32)
    kept = {name: value.clone() for name, value in loop.vfn.state_dict().items()}
    loop.train()
    assert not any(part.training for part in loop.vfn.modules())
    before, after = loop.losses(network, ir, vis, [Target()] * 2)
    assert not before.requires_grad
    after.backward()
    assert all(torch.equal(value, kept[name]) for name, value in loop.vfn.state_dict().items())
    assert {n for n, p in loop.named_parameters() if p.grad is not None} <= {
        n for n, _ in loop.named_parameters() if n.startswith("rsc.")
    }
    loop.zero_grad()
    loop.eval()


def test_loop_step_by_step(loop):
    """One turn of the loop, written out; without feedback the task is not heard."""
    network = Blind().requires_grad_(False)
    ir, vis = torch.rand(1, 1, 24, 32), torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        plain = loop.vfn(ir, luma(vis))
        feedback = network.layer(task_image(plain, vis))
        a, b = loop.rsc(0, feedback, *loop.vfn.encode(0, ir, luma(vis)))
        wanted = loop.vfn.decode(*loop.vfn.encode(1, a, b))
        got = loop.run(network, ir, vis, 2)
        assert torch.equal(got[0], plain)
        assert torch.equal(got[1], wanted)
        again = loop.customise(loop.start(ir, luma(vis)), listen(network, task_image(wanted, vis)))
        assert torch.equal(got[2], again)
        other = Blind()
        open_loop = ClosedLoop(loop.vfn, loop.rsc, closed=False)
        deaf = [open_loop.losses(n, ir, vis, [Target()])[1] for n in (network, other)]
        assert torch.equal(*(open_loop.run(n, ir, vis)[1] for n in (network, other)))
    assert measure(loop, network, [(ir, vis, [Target()])])[0] == pytest.approx(
        float(network.loss(task_image(plain, vis), []))
    )
    assert deaf[0] != deaf[1]  # another loss of the same image
    assert torch.equal(*[loop.customise(loop.start(ir, luma(vis)), torch.zeros(1, 1, 1, 1)) for _ in range(2)])


def test_more_blocks():
    loop = ClosedLoop(lively(VFN(3), 4), lively(RSC(2), 5))
    ir, vis = torch.rand(1, 1, 20, 24), torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        plain, fused = loop.run(Blind(), ir, vis)
        assert (fused - plain).abs().max() > 1e-4
        assert len(loop.choices(loop.start(ir, luma(vis)), torch.randn(1, 3, 4, 4))) == 2
        assert torch.equal(plain, loop.vfn(ir, luma(vis)))


# ---------------------------------------------------------------- the method and its files


@pytest.fixture
def packed(loop, tmp_path):
    """A checkpoint with a loop for saliency."""
    torch.manual_seed(7)
    network = resolve("task", "saliency")().make("ctdnet-tiny", ("salient",)).eval()
    about = {"saliency": {"network": "ctdnet-tiny", "classes": ["salient"], "channels": 3, "ignore_index": None}}
    path = tmp_path / "cldyn.safetensors"
    save_file(checkpoint.pack(loop, {"saliency": network}, about), path)
    return path, network


def test_a_loop_trained_open_stays_so(packed, loop, tmp_path):
    path, network = packed
    about = checkpoint.unpack(load_file(path)).about
    open_loop = ClosedLoop(loop.vfn, loop.rsc, closed=False)
    save_file(checkpoint.pack(open_loop, {"saliency": network}, about), tmp_path / "open_loop.safetensors")
    ir, vis = torch.rand(1, 1, 45, 50), torch.rand(1, 3, 45, 50)
    method = CLDyN(task="saliency")
    method.load(tmp_path / "open_loop.safetensors")
    with torch.no_grad():
        wanted = loop.customise(loop.start(ir, luma(vis)), torch.zeros(1, 1, 1, 1))
    assert torch.equal(method.fuse(ir, vis), wanted)


def test_method_goes_round_the_loop(packed, loop):
    path, network = packed
    ir, vis = torch.rand(1, 1, 45, 50), torch.rand(1, 3, 45, 50)
    plain, once, twice = (CLDyN(), CLDyN(task="saliency"), CLDyN(task="saliency", iterations=2))
    for method in (plain, once, twice):
        method.load(path)
        method.to("cpu")
    with torch.no_grad():
        wanted = loop.run(network, ir, vis, 2)
    for method, fused in zip((plain, once, twice), wanted, strict=True):
        first = method.fuse(ir, vis)
        assert torch.equal(first, fused)
        assert first.numpy().tobytes() == method.fuse(ir, vis).numpy().tobytes()
    assert not torch.equal(wanted[0], wanted[1])


def test_views(packed):
    method = CLDyN(task="saliency")
    method.load(packed[0])
    ir, vis = torch.rand(1, 1, 36, 72), torch.rand(1, 3, 36, 72)
    views = method.views(ir, vis)
    assert {k: tuple(v.shape) for k, v in views.items()} == {
        "plain": (1, 36, 72),
        "customised": (1, 36, 72),
        "difference": (3, 36, 72),
        "kernels": (3, 36, 72),
    }
    assert all(v.min() >= 0 and v.max() <= 1 for v in views.values())
    change = views["customised"] - views["plain"]
    brighter = change[0] > 0.2 * change.abs().max()
    assert (views["difference"][0][brighter] == 1).all()
    assert (views["difference"][2][brighter] < 1).all()
    kernels = method.kernels_chosen(ir, vis)
    assert list(kernels) == ["ir0", "vis0"]
    read = sum({"1": 1, "3": 9}[kernel[0]] for kernel in (*kernels["ir0"], *kernels["vis0"]))
    drawn = torch.nn.functional.interpolate(views["kernels"][None], (18, 36), mode="nearest")[0, 0]
    assert int((drawn == 1).sum()) == read
    changes = method.changes(ir, vis, 4)
    assert len(changes) == 4
    assert changes[0] > 0


def test_what_is_wrong_is_said(packed, tmp_path):
    path, _ = packed
    with pytest.raises(FusionbenchError, match="task=cooking: choose one of none, detection"):
        CLDyN(task="cooking")
    with pytest.raises(FusionbenchError, match="iterations=0: must be at least 1"):
        CLDyN(iterations=0)
    with pytest.raises(ValueError, match="needs weights"):
        CLDyN().load(None)
    with pytest.raises(FusionbenchError, match=r"no closed loop for task=detection, it has: saliency; train one"):
        CLDyN(task="detection").load(path)
    method = CLDyN()
    method.load(path)
    with pytest.raises(FusionbenchError, match="nothing to see of the closed loop with task=none"):
        method.views(torch.rand(1, 1, 9, 9), torch.rand(1, 3, 9, 9))
    plain = {f"vfn.{k}": v for k, v in VFN().state_dict().items()}
    save_file(plain, tmp_path / "plain.safetensors")
    with pytest.raises(FusionbenchError, match="it is the fusion network alone"):
        CLDyN(task="saliency").load(tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match=r"1 tensors are not of this method, first head"):
        checkpoint.unpack({**plain, "head": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"1 tensors of vfn are missing, first frb1\.mlp_aa\.0\.bias"):
        checkpoint.convert({k: v for k, v in plain.items() if k != "vfn.frb1.mlp_aa.0.bias"})
    three = {f"vfn.{k}": v for k, v in VFN(3).state_dict().items()}
    with pytest.raises(ValueError, match="1 A2SI blocks do not go with 3 blocks"):
        checkpoint.unpack({**three, **{f"rsc.{k}": v for k, v in RSC(1).state_dict().items()}})
    with pytest.raises(ValueError, match="holds no fusion network"):
        checkpoint.convert({"epoch": 3})
    with pytest.raises(WeightsError, match=r"vfn=nowhere: no such file and no installed weights .* --stage vfn"):
        checkpoint.find_vfn("nowhere")
    with pytest.raises(WeightsError, match="stage rsc needs a trained fusion network"):
        checkpoint.find_vfn(None)


# ---------------------------------------------------------------- the networks of the paper


FULL = {
    "detection": ("yolov5-s", "detr-r50", Target(boxes=torch.tensor([[8.0, 8, 40, 44]]), labels=torch.tensor([1]))),
    "segmentation": ("segformer-b2", "segformer-b0", Target(mask=torch.randint(0, 3, (64, 96)))),
    "saliency": ("ctdnet-18", "ctdnet-tiny", Target(saliency=torch.ones(1, 64, 96))),
}


@pytest.mark.slow
@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize("task", FULL)
def test_full_size_networks(task):
    """Forward and one training step with the published network; then another one in its place, nothing trained."""
    name, other, target = FULL[task]
    kind, classes = resolve("task", task)(), ("salient",) if task == "saliency" else ("a", "b", "c")
    torch.manual_seed(0)
    network, swapped = (kind.make(n, classes).eval().requires_grad_(False) for n in (name, other))
    loop = ClosedLoop(VFN(), RSC()).train()
    ir, vis = torch.rand(1, 1, 64, 96), torch.rand(1, 3, 64, 96)
    optimiser = torch.optim.Adam(loop.rsc.parameters(), lr=1e-2)
    before, after = loop.losses(network, ir, vis, [target])
    assert before.isfinite()
    assert torch.equal(before, after.detach())  # the last layer starts at zero
    after.backward()
    optimiser.step()
    loop.eval()
    with torch.no_grad():
        for each in (network, swapped):
            plain, customised = loop.run(each, ir, vis)
            assert customised.shape == plain.shape
            assert 0 < (customised - plain).abs().mean() < 1
