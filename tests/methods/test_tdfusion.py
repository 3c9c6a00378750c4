"""TDFusion: loss, meta step against the reference and against finite differences, checkpoints, views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.methods.tdfusion import TDFusion, convert
from fusionbench.methods.tdfusion.loss import fusion_loss, gradient_loss, intensity_loss, sobel, stronger
from fusionbench.pixels.colour import luma
from fusionbench.plugins.cards import card
from fusionbench.plugins.registry import resolve
from fusionbench.training.functional import call, second_order
from fusionbench.training.meta import Inner, Way, inner_step, outer_step, output_change

# ---------------------------------------------------------------- loss


def test_sobel_is_the_signed_one_with_zero_padding() -> None:
    step = torch.zeros(1, 1, 4, 5)
    step[..., 2:] = 1.0
    x, y = sobel(step)[0]
    assert x[1].tolist() == [0.0, 4.0, 4.0, 0.0, -4.0]  # the last column falls off into the padding
    assert y[1].tolist() == [0.0] * 5
    assert y[0].tolist() == [0.0, 1.0, 3.0, 4.0, 3.0]
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    image = torch.rand(2, 1, 7, 9)
    wanted = nn.functional.conv2d(image, torch.stack((kernel, kernel.t()))[:, None], padding=1)
    torch.testing.assert_close(sobel(image), wanted)


def test_stronger_keeps_the_sign_and_the_first_wins_ties() -> None:
    ramp = torch.arange(6.0).expand(1, 1, 5, 6) / 10
    torch.testing.assert_close(stronger(ramp, -2 * ramp), sobel(-2 * ramp))
    torch.testing.assert_close(stronger(ramp, -ramp), sobel(ramp))
    torch.testing.assert_close(stronger(-ramp, ramp), sobel(-ramp))


def test_terms_by_hand() -> None:
    a, b, fused = (torch.full((1, 1, 4, 4), v) for v in (0.8, 0.2, 0.6))
    weights = torch.cat((torch.full_like(a, 0.75), torch.full_like(a, 0.25)), 1)
    loss = fusion_loss(fused, a, b, weights, alpha=3.0)
    assert float(loss.intensity) == pytest.approx((0.75 * 0.2) ** 2 + (0.25 * 0.4) ** 2)
    x, y = (sobel(fused) - sobel(a))[0]
    assert float(loss.gradient) == pytest.approx(float(x.abs().mean() + y.abs().mean()))
    assert float(loss.total) == pytest.approx(float(loss.intensity + 3 * loss.gradient))
    assert float(fusion_loss(fused, a, b, weights, alpha=0).total) == float(intensity_loss(fused, a, b, weights))
    assert float(gradient_loss(a, a, b)) == 0.0


# ---------------------------------------------------------------- meta step


class Reference:
    """The reference's networks and numbers, float64."""

    def __init__(self, shared: Path) -> None:
        with np.load(shared / "reference/parity/tdfusion_meta_step.npz") as data:
            self.data = {name: torch.from_numpy(np.asarray(data[name])) for name in data.files}
        conv = nn.Conv2d
        self.fusion, self.proposal = ReFusionNet(), LossProposal()
        self.task = nn.Sequential(conv(1, 8, 3, padding=1), nn.ReLU(), conv(8, 4, 3, padding=1))
        for letter, network in (("F", self.fusion), ("G", self.proposal), ("T", self.task)):
            network.double().load_state_dict(self.under(f"init/{letter}."))
        self.lr = float(self["lr"])
        self.train, self.test = ((self[f"{part}_a"], self[f"{part}_b"]) for part in ("tr", "te"))

    def __getitem__(self, name: str) -> Tensor:
        return self.data[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): v for n, v in self.data.items() if n.startswith(prefix)}


def close(found: Tensor, wanted: Tensor) -> bool:
    """To 1e-8 in norm."""
    return float((found.detach() - wanted).norm()) <= 1e-8 * float(wanted.norm())


def inner_update_of(
    fusion: nn.Module,
    proposal: nn.Module,
    pair: tuple[Tensor, Tensor],
    lr: float,
    alpha: float = 1.0,
    way: Way = "product",
    checkpointed: bool = False,
) -> Inner:
    """F's inner update by the fusion loss with the weights that G proposes."""
    return inner_step(
        fusion,
        pair,
        proposal(*pair),
        lambda fused, weights: fusion_loss(fused, *pair, weights, alpha).total,
        lr,
        slope=lambda fused, weights: intensity_loss(fused, *pair, weights),
        way=way,
        checkpointed=checkpointed,
    )


@pytest.mark.real
@pytest.mark.parametrize(("way", "checkpointed"), [("product", False), ("product", True), ("graph", True)])
def test_parity_of_the_meta_step(shared: Path, way: Way, checkpointed: bool) -> None:
    ref = Reference(shared)
    entropy = nn.functional.cross_entropy
    with second_order():
        inner = inner_update_of(ref.fusion, ref.proposal, ref.train, ref.lr, way=way, checkpointed=checkpointed)
        assert close(inner.output, ref["fused"])
        assert close(inner.weights, ref["w"])
        terms = fusion_loss(inner.output, *ref.train, inner.weights)
        assert close(terms.intensity, ref["loss_int"])
        assert close(terms.gradient, ref["loss_grad"])
        assert close(inner.loss, ref["loss_int"] + ref["loss_grad"])
        for name, gradient in ref.under("grad_F/").items():
            assert close((ref.fusion.get_parameter(name) - inner.moved[name]) / ref.lr, gradient), name

        adam = torch.optim.Adam(ref.task.parameters(), lr=ref.lr)
        before = entropy(ref.task(inner.output), ref["y_tr"])
        before.backward()
        adam.step()
        fused = call(ref.fusion, inner.moved, *ref.test, checkpointed=checkpointed)
        task = entropy(ref.task(fused), ref["y_te"])
        gradients = outer_step(ref.fusion, inner, task, ref.proposal.parameters())
    assert close(before, ref["task_loss_train"])
    assert close(fused, ref["fused_meta_test"])
    assert close(task, ref["task_loss_meta_test"])
    for (name, parameter), gradient in zip(ref.proposal.named_parameters(), gradients, strict=True):
        assert close(gradient, ref[f"grad_G/{name}"]), name
        moved = parameter - ref.lr * gradient / ref["max_abs_grad_G"]
        assert close(moved, ref[f"new_G/{name}"]), name
    largest = max(float(g.abs().max()) for g in gradients)
    assert largest == pytest.approx(float(ref["max_abs_grad_G"]), rel=1e-8)


@pytest.mark.parametrize("way", ["product", "graph"])
def test_meta_gradient_against_finite_differences(way: Way) -> None:
    torch.manual_seed(0)
    fusion, proposal = ReFusionNet(8, 1).double(), LossProposal(8, 1).double()
    task = nn.Conv2d(1, 1, 3).double()
    train, test = (torch.rand(2, 2, 1, 8, 9, dtype=torch.float64) for _ in range(2))

    def value() -> tuple[Tensor, list[Tensor]]:
        with second_order():
            inner = inner_update_of(fusion, proposal, train, 0.5, alpha=0.7, way=way)
            loss = task(call(fusion, inner.moved, *test)).square().mean()
            return loss, outer_step(fusion, inner, loss, proposal.parameters())

    gradients = value()[1]
    direction = [torch.randn_like(p) for p in proposal.parameters()]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    ends = []
    for eps in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, d in zip(proposal.parameters(), direction, strict=True):
                parameter.add_(eps * d)
        ends.append(float(value()[0].detach()))
    assert slope != 0
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_output_change_is_the_slope_along_a_direction() -> None:
    torch.manual_seed(0)
    net = ReFusionNet(8, 1).double()
    pair = torch.rand(2, 1, 1, 8, 8, dtype=torch.float64)
    along = {name: torch.randn_like(p) for name, p in net.named_parameters()}
    moved = [
        call(net, {n: p + eps * along[n] for n, p in net.named_parameters()}, *pair).detach() for eps in (1e-5, -1e-5)
    ]
    torch.testing.assert_close(output_change(net, along, *pair), (moved[0] - moved[1]) / 2e-5, rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------- checkpoints and views


def exported(f: bool = True, g: bool = True) -> dict[str, Tensor]:
    torch.manual_seed(3)
    parts = {"F.": ReFusionNet().state_dict() if f else {}, "G.": LossProposal().state_dict() if g else {}}
    return {prefix + name: value for prefix, part in parts.items() for name, value in part.items()}


def method(tmp_path: Path, **parts: bool) -> TDFusion:
    save_file(convert(exported(**parts)), tmp_path / "w.safetensors")
    made = resolve("method", "tdfusion")()
    made.load(tmp_path / "w.safetensors")
    return made


PAIR = (
    torch.rand(1, 1, 20, 24, generator=torch.Generator().manual_seed(1)),
    torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(2)),
)


def test_fuse_and_views(tmp_path: Path) -> None:
    made, (ir, vis) = method(tmp_path), PAIR
    with torch.inference_mode():
        fused = made.fuse(ir, vis)
    views = made.views(ir, vis)
    state = exported()
    net = ReFusionNet()
    net.load_state_dict({n.removeprefix("F."): v for n, v in state.items() if n.startswith("F.")})
    torch.testing.assert_close(fused, net(ir, luma(vis)).detach(), rtol=0, atol=1e-5)
    assert list(views) == ["w_a", "w_b"]
    assert card("method", "tdfusion").data["views"] == {"weights": list(views)}
    assert all(v.shape == (1, 20, 24) and v.min() >= 0 and v.max() <= 1 for v in views.values())
    torch.testing.assert_close(views["w_a"] + views["w_b"], torch.ones(1, 20, 24))
    assert float(views["w_a"].std()) > 0


def test_checkpoint_of_the_weighted_average(tmp_path: Path) -> None:
    made, (ir, vis) = method(tmp_path, f=False), PAIR
    views = made.views(ir, vis)
    wanted = views["w_a"] * ir + views["w_b"] * luma(vis)
    torch.testing.assert_close(made.fuse(ir, vis).detach(), wanted)


def test_released_form(tmp_path: Path) -> None:
    flat = ReFusionNet().state_dict()
    twins = {**flat, **{n.replace(".weight", ".conv.weight"): v for n, v in flat.items() if v.ndim == 4}}
    for state in (flat, twins):
        assert {n: v.shape for n, v in convert(state).items()} == {f"F.{n}": v.shape for n, v in flat.items()}
    with pytest.raises(ValueError, match=r"no loss generation module \(tensors G"):
        method(tmp_path, g=False).views(*PAIR)


def test_convert_names_what_is_wrong() -> None:
    state = exported()
    with pytest.raises(ValueError, match=r"1 tensors of the network are missing, first FM\.temperature1"):
        convert({n: v for n, v in state.items() if n != "F.FM.temperature1"})
    with pytest.raises(ValueError, match=r"G\.out2\.weight is missing"):
        convert({n: v for n, v in state.items() if n != "G.out2.weight"})
    with pytest.raises(ValueError, match=r"G\.more is not of the loss generation module"):
        convert({**state, "G.more": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"G\.out2\.weight has shape \[4\]; needed is \[1\]"):
        convert({**state, "G.out2.weight": torch.zeros(4)})
    with pytest.raises(ValueError, match="neither of F nor of G, first other"):
        convert({**state, "other": torch.zeros(1)})
    for none in ({}, {"epoch": 3}):
        with pytest.raises(ValueError, match="plain dict"):
            convert(none)
    with pytest.raises(ValueError, match="needs weights"):
        TDFusion().load(None)


def test_parameters() -> None:
    assert sum(p.numel() for p in LossProposal().parameters()) == 44_529
    assert card("method", "tdfusion").data["parameters"] == sum(p.numel() for p in ReFusionNet().parameters())
