"""SegFormer as a task network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from _networks import hessian_error, learn, need
from torch import Tensor

from fusionbench.data import Sample
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.tasks import segmentation
from fusionbench.tasks.network import Target, load_backbone
from tests.waits import Waits


@pytest.fixture(autouse=True)
def _mmseg() -> None:
    need("mmseg")
    torch.manual_seed(0)


def scene(channels: int) -> tuple[Tensor, list[Target]]:
    """Two images of 64x64: two rectangles of two classes, and background alone."""
    images, masks = torch.rand(2, channels, 64, 64) * 0.2, torch.zeros(2, 64, 64, dtype=torch.long)
    for number, (x0, y0, x1, y1) in enumerate(((10, 12, 40, 50), (44, 20, 62, 60))):
        images[0, :, y0:y1, x0:x1] += 0.3 + 0.4 * number
        masks[0, y0:y1, x0:x1] = number + 1
    return images, [Target(mask=mask) for mask in masks]


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts():
    """Xie et al. 2021 state 3.8 and 27.5 million for ADE20K's 150 classes, B2 with a decoder of width 768.

    At width 256, as in mmsegmentation and here, B2 has 24.8 million: its encoder alone has 24.2 million in the paper.
    """
    assert count(segmentation.build("segformer-b0", 150)) == pytest.approx(3.8e6, rel=0.02)
    b2 = segmentation.build("segformer-b2", 150)
    assert count(b2.model.backbone) == pytest.approx(24.2e6, rel=0.01)
    wide = sum(768 * (c + 1) for c in (64, 128, 320, 512)) + 4 * 768 * 768 + 2 * 768 + 150 * 769
    assert count(b2.model.backbone) + wide == pytest.approx(27.5e6, rel=0.01)


@pytest.mark.parametrize("name", ["segformer-tiny", "segformer-b2"])
@pytest.mark.parametrize("ignored", [0, 100, 64 * 64 * 2 - 3, 64 * 64 * 2])
def test_losses_are_those_of_mmsegmentation(name: str, ignored: int) -> None:
    """To the bit, with gradients; and nothing waits for the device."""
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    images, targets = scene(3)
    labels = torch.stack([target.mask for target in targets]).flatten()
    labels[:ignored] = 255
    targets = [Target(mask=mask) for mask in labels.view(2, 64, 64)]
    network = segmentation.build(name, 4, 3).train()
    found = []
    for theirs in (False, True):
        if theirs:
            del network.model.decode_head.loss_by_feat
            assert type(network.model.decode_head).loss_by_feat is BaseDecodeHead.loss_by_feat
        network.zero_grad()
        torch.manual_seed(1)  # of dropout
        with Waits() as seen:
            loss = network.loss(images, targets)
            loss.backward()
        assert bool(seen.waiting) == theirs
        found.append([loss.detach(), *[p.grad.clone() for p in network.parameters() if p.grad is not None]])
    assert len(found[0]) > 20
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_tdfusion_decoder():
    network = segmentation.build("segformer-b0", 9, 1)
    head = network.model.decode_head
    norms = [part for part in head.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.03)]
    assert head.channels == 256
    assert head.align_corners
    assert network.model.backbone.layers[0][0].projection.in_channels == 1


@pytest.mark.parametrize(("name", "width"), [("segformer-b0", 256), ("segformer-b2", 512)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(name: str, width: int, channels: int):
    network = segmentation.build(name, 5, channels).eval()
    for size in ((32, 64), (45, 70)):
        images = torch.rand(1, channels, *size, requires_grad=True)
        network.loss(images, [Target(mask=torch.zeros(size, dtype=torch.long))]).backward()
        assert images.grad.abs().sum() > 0
        (found,) = network.predict(images)
        assert found.mask.shape == size
        assert found.mask.dtype == torch.long
        features = network.features(images)
        assert features.shape == (1, width, -(-size[0] // 32), -(-size[1] // 32))
        assert features.requires_grad


def test_features_are_the_last_norm():
    network, seen = segmentation.build("segformer-b2", 3).eval(), []
    network.model.backbone.layers[3][2].register_forward_hook(lambda part, given, out: seen.append(out))
    features = network.features(torch.rand(2, 3, 64, 96))
    assert torch.equal(seen[0].transpose(1, 2).reshape(features.shape), features)


@pytest.mark.parametrize("name", segmentation.NETWORKS)
def test_loss_is_cross_entropy_at_label_size(name: str):
    network = segmentation.build(name, 3, ignore_index=200).eval()
    images, mask = torch.rand(2, 3, 40, 64), torch.randint(0, 3, (2, 40, 64))
    mask[:, :7] = 200
    loss = network.loss(images, [Target(mask=one) for one in mask])
    logits = network.logits(images)
    assert logits.shape == (2, 3, 40, 64)
    assert torch.allclose(loss, F.cross_entropy(logits, mask, ignore_index=200), rtol=1e-5)
    assert torch.equal(torch.stack([one.mask for one in network.predict(images)]), logits.argmax(1))


def test_nothing_to_learn_is_zero():
    network = segmentation.build("segformer-b0", 3)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    loss = network.loss(images, [Target(mask=torch.full((32, 32), 255))] * 2)
    loss.backward()
    assert loss == 0
    assert images.grad.abs().sum() == 0


def test_predict_leaves_the_network_alone():
    network = segmentation.build("segformer-b0", 3)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    images = torch.rand(3, 3, 32, 64)
    together = network.predict(images)
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(torch.equal(a.mask, network.predict(b[None])[0].mask) for a, b in zip(together, images, strict=True))


LONG = [pytest.param(name, marks=[pytest.mark.slow] * (name == "segformer-b2")) for name in segmentation.NETWORKS]


@pytest.mark.parametrize("name", LONG)
def test_second_derivative(name: str):
    network = segmentation.build(name, 4, 1)
    assert hessian_error(network, [Target(mask=torch.randint(0, 4, (64, 64)))]) < 1e-5


@pytest.mark.parametrize(
    ("name", "steps", "lr"),
    [("segformer-b0", 20, 2e-3), pytest.param("segformer-b2", 12, 1e-3, marks=pytest.mark.slow)],
)
def test_learns_one_batch(name: str, steps: int, lr: float):
    images, targets = scene(1)
    before, after = learn(segmentation.build(name, 3, 1), images, targets, steps, lr)
    assert after < 0.3 * before


def test_mix_transformer_files(tmp_path: Path):
    """A file under the names of the release gives what mmsegmentation's own converter gives."""
    import mmseg

    script = Path(mmseg.__file__).parent / ".mim/tools/model_converters/mit2mmseg.py"
    if not script.is_file():
        pytest.skip("this mmsegmentation comes without its converter")
    spec = importlib.util.spec_from_file_location("mit2mmseg", script)
    assert spec is not None
    assert spec.loader is not None
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    released = {"head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}
    before = 3
    for stage, (width, reduce, patch) in enumerate(((32, 8, 7), (64, 4, 3), (160, 2, 3), (256, 1, 3)), 1):
        shapes = {f"patch_embed{stage}.proj": (width, before, patch, patch)}
        shapes |= {f"patch_embed{stage}.norm": (width,), f"norm{stage}": (width,)}
        for block in range(2):
            at = f"block{stage}.{block}"
            shapes |= {f"{at}.norm1": (width,), f"{at}.norm2": (width,)}
            shapes |= {f"{at}.attn.q": (width, width), f"{at}.attn.kv": (2 * width, width)}
            shapes |= {f"{at}.attn.proj": (width, width)}
            if reduce > 1:
                shapes |= {f"{at}.attn.sr": (width, width, reduce, reduce), f"{at}.attn.norm": (width,)}
            shapes |= {f"{at}.mlp.fc1": (4 * width, width), f"{at}.mlp.dwconv.dwconv": (4 * width, 1, 3, 3)}
            shapes |= {f"{at}.mlp.fc2": (width, 4 * width)}
        for name, shape in shapes.items():
            released[f"{name}.weight"], released[f"{name}.bias"] = torch.randn(shape), torch.randn(shape[0])
        before = width
    torch.save(released, tmp_path / "mit_b0.pth")
    backbone = segmentation.build("segformer-b0", 3, backbone=tmp_path / "mit_b0.pth", layout="timm").model.backbone
    expected = oracle.convert_mit(released)
    assert all(torch.equal(value, expected[name]) for name, value in backbone.state_dict().items())
    torch.save({"state_dict": expected}, tmp_path / "mm.pth")
    load_backbone(backbone, tmp_path / "mm.pth", "openmmlab")


def test_config_by_path(monkeypatch: pytest.MonkeyPatch):
    """Anything of mmsegmentation's zoo; nothing is downloaded, SyncBN becomes BN."""
    import mmseg
    from mmengine.runner import CheckpointLoader

    zoo = Path(mmseg.__file__).parent / ".mim/configs/fcn"
    path = zoo / "fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"
    if not path.is_file():
        pytest.skip("this mmsegmentation comes without its configs")
    monkeypatch.setattr(CheckpointLoader, "load_checkpoint", None)
    network = segmentation.build(path, 3, 1)
    assert not any(isinstance(part, torch.nn.SyncBatchNorm) for part in network.modules())
    images, targets = scene(1)
    network.loss(images, targets).backward()
    assert network.predict(images)[0].mask.max() < 3


def test_requests_that_cannot_be_met():
    with pytest.raises(FusionbenchError, match="no segmentation network 'segformer-b1'"):
        segmentation.build("segformer-b1", 3)
    with pytest.raises(FusionbenchError, match="do not go with ignore_index 2"):
        segmentation.build("segformer-b0", 3, ignore_index=2)
    network = segmentation.build("segformer-b0", 3)
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"target 0 has a mask of \[32, 16\]; its image is \[32, 32\]"):
        network.loss(images, [Target(mask=torch.zeros(32, 16, dtype=torch.long))])
    with pytest.raises(ValueError, match="target 0 has no mask"):
        network.loss(images, [Target()])
    with pytest.raises(ValueError, match="1 images, 2 targets"):
        network.loss(images, [Target(mask=torch.zeros(32, 32, dtype=torch.long))] * 2)


def test_target_of_a_sample():
    sample = Sample("a", "train", np.zeros((1, 2, 2)), np.zeros((3, 2, 2)), mask=np.array([[0, 1], [2, 255]], np.uint8))
    assert segmentation.target(sample).mask.tolist() == [[0, 1], [2, 255]]
    sample.mask = None
    with pytest.raises(DataError, match="a: no segmentation mask"):
        segmentation.target(sample)
