"""The stand-in for mmcv's compiled part, lazy loading, and what all task networks share."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch
from _networks import need
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.tasks import openmmlab
from fusionbench.tasks.network import (
    Normalise,
    Prediction,
    Target,
    TaskNetwork,
    evaluating,
    first_order,
    load_backbone,
    one_channel,
    pad_to,
    refuse_two_stage,
    smooth,
)
from fusionbench.tasks.openmmlab import models, packages
from fusionbench.training.functional import second_order

# ---------------------------------------------------------------- the stand-in


def greedy(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """The textbook loop."""
    left = scores.argsort(descending=True, stable=True).tolist()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while left:
        best, left = left[0], left[1:]
        kept.append(best)
        if left:
            corner = torch.minimum(boxes[best, 2:], boxes[left, 2:]) - torch.maximum(boxes[best, :2], boxes[left, :2])
            shared = corner.clamp(min=0).prod(1)
            iou = shared / (area[best] + area[left] - shared)
            left = [i for i, over in zip(left, (iou > threshold).tolist(), strict=True) if not over]
    return kept


@pytest.mark.parametrize(("count", "spread"), [(0, 1.0), (1, 1.0), (60, 30.0), (2500, 300.0)])
def test_nms_is_greedy(count: int, spread: float):
    torch.manual_seed(count)
    corner = torch.rand(count, 2, dtype=torch.float64) * spread
    boxes = torch.cat((corner, corner + 5 + torch.rand(count, 2, dtype=torch.float64) * 20), 1)
    scores = (torch.rand(count) * 50).round() / 50  # many ties
    assert packages.nms(boxes, scores, 0.5).tolist() == greedy(boxes, scores, 0.5)


def test_nms_chain():
    """b is suppressed by a, so c, which only b overlaps, stays."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert packages.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_nms_goes_through_mmcv():
    need("mmdet")
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]])
    _, kept = batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), {"iou_threshold": 0.5})
    assert kept.tolist() == [0, 2]


def test_other_operations_say_what_is_missing():
    need("mmdet")
    if openmmlab.compiled():
        pytest.skip("a compiled mmcv is here")
    from mmcv.ops import roi_align

    with pytest.raises(NotImplementedError, match="roi_align_forward needs a compiled mmcv"):
        roi_align(torch.rand(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]), 2)


def test_stand_in_steps_aside(monkeypatch: pytest.MonkeyPatch):
    compiled = ModuleType(packages.EXT)
    monkeypatch.setitem(sys.modules, packages.EXT, compiled)
    with packages.stand_in():
        assert sys.modules[packages.EXT] is compiled
    assert sys.modules[packages.EXT] is compiled
    assert openmmlab.compiled()


def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys; from fusionbench.tasks import detection, segmentation, network, openmmlab;"
        "print(sorted({'mmcv', 'mmdet', 'mmseg', 'mmengine'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_process_is_as_it_was_before():
    """Neither loading nor using a network leaves warning filters or the stand-in behind, and no remark comes out."""
    need("mmdet")
    code = (
        "import sys, warnings\n"
        "import torch\n"
        "from fusionbench.tasks import detection, network, segmentation\n"
        "filters = list(warnings.filters)\n"
        "for made in (segmentation.build('segformer-tiny', 3), detection.build('yolov8-tiny', 3)):\n"
        "    made.predict(torch.rand(1, 3, 32, 64))\n"
        "    made.features(torch.rand(1, 3, 32, 64)).sum().backward()\n"
        "assert warnings.filters == filters\n"
        "from fusionbench.tasks.openmmlab import compiled\n"
        "print(compiled() or 'mmcv._ext' not in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_muted_in_several_threads():
    """Filters are put back when the last of overlapping users is done."""
    before = list(warnings.filters)
    first, second = packages.muted(), packages.muted(packages.EVERYTHING)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("When align_corners=True, ...", UserWarning, stacklevel=1)
    assert not seen
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before


def test_a_users_module_is_found(tmp_path: Path):
    """What a user registers with mmdet's registry goes by its name in a config."""
    need("mmdet")
    from mmdet.models.necks import FPN
    from mmdet.registry import MODELS

    from fusionbench.tasks import detection
    from fusionbench.tasks.detection.models import model_config

    @MODELS.register_module(force=True)
    class OwnNeck(FPN):
        pass

    model = model_config("retinanet-r18")
    model["neck"]["type"] = "OwnNeck"
    (tmp_path / "own.py").write_text(f"model = {model!r}\n")
    assert type(detection.build(tmp_path / "own.py", 3).model.neck) is OwnNeck


def test_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'ftfy'", name="ftfy")

    monkeypatch.delitem(sys.modules, "mmseg.models", raising=False)
    monkeypatch.setattr(packages, "stand_in", nullcontext)
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(FusionbenchError, match=r"ftfy is missing: pip install 'ivif-fusionbench\[tasks\]'"):
        openmmlab.load("mmseg")


def test_config_files_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(FusionbenchError, match="no such config"):
        openmmlab.read_config(tmp_path / "a.py")
    (tmp_path / "b.py").write_text("x = 1\n")
    with pytest.raises(FusionbenchError, match="no `model`"):
        openmmlab.read_config(tmp_path / "b.py")
    (tmp_path / "c.py").write_text("x = (\n")
    with pytest.raises(FusionbenchError, match="cannot be read"):
        openmmlab.read_config(tmp_path / "c.py")


def test_settings_are_plain(tmp_path: Path):
    need("mmdet")
    (tmp_path / "base.py").write_text("lr = 0.1\nhead = dict(size=(2, 3), parts=[dict(a=1)])\n")
    (tmp_path / "top.py").write_text("_base_ = 'base.py'\nhead = dict(size=(4, 5))\n")
    settings = openmmlab.read_settings(tmp_path / "top.py")
    assert settings == {"lr": 0.1, "head": {"size": (4, 5), "parts": [{"a": 1}]}}
    assert {type(settings), type(settings["head"]), type(settings["head"]["parts"][0])} == {dict}


# ---------------------------------------------------------------- images


def test_normalisation():
    rgb = torch.rand(1, 3, 2, 2)
    x = Normalise()(rgb)
    assert torch.allclose(x[0, 0], (rgb[0, 0] * 255 - 123.675) / 58.395)
    assert torch.equal(Normalise(bgr=True)(rgb), x.flip(1))
    grey = Normalise(channels=1)(rgb[:, :1])
    assert torch.allclose(
        grey[0, 0], (rgb[0, 0] * 255 - (123.675 + 116.28 + 103.53) / 3) / ((58.395 + 57.12 + 57.375) / 3)
    )
    with pytest.raises(ValueError, match=r"expected images \[B,3,H,W\]"):
        Normalise()(rgb[:, :1])
    with pytest.raises(FusionbenchError, match="1 or 3 channels"):
        Normalise(channels=4)


def test_openmmlab_preprocessors_are_written_in_the_order_the_network_sees():
    given = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    rgb, bgr = models.normalise({**given, "bgr_to_rgb": True}), models.normalise(given)
    assert (rgb.mean.flatten().tolist(), rgb.std.flatten().tolist(), rgb.bgr) == ([1, 2, 3], [4, 5, 6], False)
    assert (bgr.mean.flatten().tolist(), bgr.std.flatten().tolist(), bgr.bgr) == ([3, 2, 1], [6, 5, 4], True)


@pytest.mark.parametrize(("size", "padded"), [((64, 96), (64, 96)), ((65, 1), (96, 32))])
def test_padding(size: tuple[int, int], padded: tuple[int, int]):
    x = torch.ones(1, 1, *size)
    assert pad_to(x).shape[2:] == padded
    assert pad_to(x).sum() == x.sum()


def test_targets_and_predictions_move():
    assert Target(mask=torch.zeros(2, 2)).to("meta").mask.device.type == "meta"
    moved = Prediction(boxes=torch.zeros(0, 4)).to("meta")
    assert moved.boxes.device.type == "meta"
    assert moved.mask is None


# ---------------------------------------------------------------- modes and derivatives


def test_evaluating_puts_each_part_back():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout())
    network[0].eval()
    with evaluating(network):
        assert not any(part.training for part in network.modules())
        assert not torch.is_grad_enabled()
    assert [part.training for part in network.modules()] == [True, False, True]


@pytest.mark.parametrize("kind", [nn.Hardsigmoid, nn.Hardswish])
def test_smooth_forms(kind: type[nn.Module]):
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    network = smooth(nn.Sequential(nn.Identity(), nn.Sequential(kind())))
    assert not any(isinstance(part, kind) for part in network.modules())
    assert torch.allclose(network(x), kind()(x))
    assert type(smooth(kind())) is not kind
    inside = torch.tensor([-4.0, -1.5, 0.3, 2.0, 4.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: network(v) ** 2, inside)


def test_attention_has_a_second_derivative():
    q = torch.rand(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)

    def attend(x: Tensor) -> Tensor:
        with second_order():
            return nn.functional.scaled_dot_product_attention(x, x, x)

    assert torch.autograd.gradgradcheck(attend, q)


def test_two_stage_is_refused():
    network = TaskNetwork()
    refuse_two_stage(network)
    network.two_stage = True
    with pytest.raises(FusionbenchError, match="two-stage detector cannot be used for closed-loop") as caught:
        refuse_two_stage(network)
    assert "\n" not in str(caught.value)
    x = torch.ones(2, requires_grad=True)
    assert torch.equal(torch.autograd.grad(first_order((x**2).sum()), x)[0], 2 * x)
    with pytest.raises(FusionbenchError, match="second derivatives"):
        torch.autograd.grad(first_order((x**2).sum()), x, create_graph=True)


# ---------------------------------------------------------------- backbones


def test_one_channel_is_three_equal_ones():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3))
    grey = torch.rand(1, 1, 8, 8)
    before = backbone(grey.expand(-1, 3, -1, -1))
    one_channel(backbone)
    assert torch.allclose(backbone(grey), before, atol=1e-6)
    with pytest.raises(FusionbenchError, match="no one-channel form"):
        one_channel(nn.Conv2d(4, 4, 1))
    with pytest.raises(FusionbenchError, match="no convolution"):
        one_channel(nn.ReLU())


def resnet() -> nn.Module:
    need("mmdet")
    from mmdet.models.backbones import ResNet

    return ResNet(18)


@pytest.mark.parametrize("layout", ["openmmlab", "torchvision", "timm"])
def test_resnet_files(tmp_path: Path, layout: str):
    """torchvision and timm name a ResNet's tensors alike; OpenMMLab's files wrap and prefix the same names."""
    source, network = resnet(), resnet()
    state: dict = dict(source.state_dict())
    if layout == "openmmlab":
        state = {
            "meta": {"epoch": 3},
            "state_dict": {f"backbone.{k}": v for k, v in state.items()} | {"neck.x": state["bn1.bias"]},
        }
    else:
        state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "a.pth")
    load_backbone(network, tmp_path / "a.pth", layout)
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), network.state_dict().values(), strict=True)
    )
    one_channel(network)
    with torch.no_grad():
        network.conv1.weight.zero_()
    load_backbone(network, tmp_path / "a.pth", layout)
    assert torch.allclose(network.conv1.weight, source.conv1.weight.sum(1, keepdim=True))


def test_safetensors_files(tmp_path: Path):
    from safetensors.torch import save_file

    source, network = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, tmp_path / "a.safetensors")
    load_backbone(network, tmp_path / "a.safetensors")
    assert torch.equal(network.weight, source.weight)


def test_files_that_do_not_fit(tmp_path: Path):
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    good = network.state_dict()
    for name, state, said in (
        ("missing", {"0.weight": good["0.weight"]}, "1 of 2 tensors are missing, first 0.bias"),
        ("extra", {**good, "1.weight": torch.zeros(1)}, "1 tensors are not of this network, first 1.weight"),
        ("shape", {**good, "0.bias": torch.zeros(3)}, r"0.bias has shape \[3\], needed is \[2\]"),
        ("nothing", torch.zeros(1), "other things than tensors by name"),
        ("code", {"x": nn.Linear(1, 1)}, "refused"),
    ):
        torch.save(state, tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match=said):
            load_backbone(network, tmp_path / f"{name}.pth")
    with pytest.raises(WeightsError, match="no such file"):
        load_backbone(network, tmp_path / "none.pth")
    with pytest.raises(FusionbenchError, match="unknown key layout"):
        load_backbone(network, tmp_path / "missing.pth", "keras")
