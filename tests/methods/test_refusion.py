import hashlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from fusionbench.methods.refusion import ReFusion, convert, fast
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins.cards import card
from fusionbench.plugins.method import Context

NAMES = ["ivif", "mif", "mfif", "meif"]
PAIRS = ["00710N", "00906N"]


def listed(name: str) -> dict:
    return next(w for w in card("method", "refusion").data["weights"] if w["name"] == name)


def released(shared, name: str) -> dict[str, torch.Tensor]:
    return torch.load(shared / "weights/ReFusion" / listed(name)["file"], map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def network() -> ReFusionNet:
    """Random weights in which no term is idle."""
    torch.manual_seed(0)
    net = ReFusionNet()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name or "temperature" in name:
                p.add_(0.3 * torch.randn_like(p))
    return net


@pytest.fixture
def ivif(shared, tmp_path) -> ReFusion:
    save_file(convert(released(shared, "ivif")), tmp_path / "ivif.safetensors")
    method = ReFusion()
    method.load(tmp_path / "ivif.safetensors")
    return method


def read(shared, ident: str) -> tuple[torch.Tensor, torch.Tensor]:
    folder = shared / "datasets/MSRS/test"
    ir = np.array(Image.open(folder / f"ir/{ident}.png").convert("L"))
    vis = np.array(Image.open(folder / f"vi/{ident}.png").convert("RGB"))
    return torch.from_numpy(ir)[None, None] / 255, torch.from_numpy(vis).permute(2, 0, 1)[None] / 255


def test_parameters(network):
    assert sum(p.numel() for p in network.parameters()) == 59_856
    assert len(network.state_dict()) == 86


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), pixels=st.sampled_from([1, 300, 8192]))
def test_rows_give_what_the_network_gives(network, height, width, pixels):
    pair = torch.rand(2, 2, 1, height, width, generator=torch.Generator().manual_seed(height * 99 + width))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(fast, "PIXELS", pixels)
        assert (fast.fuse(network, *pair) - network(*pair)).abs().max() < 1e-5


def test_rows_without_onednn(network, monkeypatch):
    monkeypatch.setattr(fast, "ONEDNN", False)
    pair = torch.rand(2, 1, 1, 45, 31)
    with torch.inference_mode():
        assert (fast.fuse(network, *pair) - network(*pair)).abs().max() < 1e-5


def test_black_images_do_no_harm(network):
    black = torch.zeros(1, 1, 20, 24)
    with torch.inference_mode():
        fused = fast.fuse(network, black, black)
        assert fused.isfinite().all()
        assert (fused - network(black, black)).abs().max() < 1e-5


def test_twice_differentiable():
    torch.manual_seed(1)
    net = ReFusionNet().double()
    pair = torch.rand(2, 1, 1, 8, 9, dtype=torch.float64)
    loss = net(*pair).square().mean()
    gradients = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), list(net.parameters()))
    assert len(second) == 86
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in second)


def doubled(network) -> dict[str, torch.Tensor]:
    state = {}
    for name, value in network.state_dict().items():
        state[name] = value
        if value.ndim == 4:
            state[name.replace(".weight", ".conv.weight")] = value
    return state


def test_convert_takes_both_forms(network):
    plain, both = convert(network.state_dict()), convert(doubled(network))
    assert len(doubled(network)) == 140
    assert list(plain) == list(both) == list(network.state_dict())
    assert all(torch.equal(plain[k], both[k]) for k in plain)


def test_convert_names_what_is_wrong(network):
    state = doubled(network)
    twin = "FM.qkv1.conv.weight"
    with pytest.raises(ValueError, match=r"FM\.qkv1\.conv\.weight should be the same tensor as FM\.qkv1\.weight"):
        convert(state | {twin: state[twin] + 1})
    with pytest.raises(ValueError, match=r"1 tensors of the network are missing, first FM\.temperature1"):
        convert({k: v for k, v in state.items() if k != "FM.temperature1"})
    with pytest.raises(ValueError, match="1 tensors are not of this network, first head"):
        convert(state | {"head": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"FM\.temperature1 has shape \[4, 1, 1\]; the network needs \[8, 1, 1\]"):
        convert(state | {"FM.temperature1": torch.zeros(4, 1, 1)})
    with pytest.raises(ValueError, match="plain dict"):
        convert({"epoch": 3})


def test_loading_needs_a_file():
    with pytest.raises(ValueError, match="needs weights"):
        ReFusion().load(None)


@pytest.mark.real
def test_tensor_names_of_the_meta_learning_reference(shared, network):
    data = np.load(shared / "reference/parity/tdfusion_meta_step.npz")
    state = {k.removeprefix("init/F."): v for k, v in data.items() if k.startswith("init/F.")}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=True)
    net = ReFusionNet().double()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    fused = net(torch.from_numpy(data["tr_a"]), torch.from_numpy(data["tr_b"]))
    assert np.abs(fused.detach().numpy() - data["fused"]).max() < 1e-12


@pytest.mark.real
@pytest.mark.parametrize("ident", PAIRS)
def test_raw_output_on_crops(shared, ivif, ident):
    data = np.load(shared / "reference/parity/refusion_ivif_forward.npz")
    ir, y = (torch.from_numpy(data[f"{ident}_crop_{k}"])[None, None] / 255 for k in ("ir", "vi"))
    with torch.inference_mode():
        for fused in (ivif.network(ir, y), fast.fuse(ivif.network, ir, y)):
            assert np.abs(fused[0, 0].numpy() - data[f"{ident}_crop_raw"]).max() < 1e-5


@pytest.mark.real
@pytest.mark.parametrize("ident", PAIRS)
def test_full_image_and_saved_picture(shared, ivif, ident):
    data = np.load(shared / "reference/parity/refusion_ivif_forward.npz")
    ir, vis = read(shared, ident)
    with torch.inference_mode():
        fused = ivif.fuse(ir, vis, Context([ident]))
    assert np.abs(fused[0, 0].numpy() - data[f"{ident}_raw"]).max() < 1e-5
    rule = OutputRule(**card("method", "refusion").data["output"])
    saved = render(fused, vis, OutputRule(rule.stretch, rule.quantise, "none"))[0, 0].numpy().astype(int)
    golden = np.array(Image.open(shared / f"reference/metrics/images/msrs_{ident}_F_ReFusion.png")).astype(int)
    assert np.abs(saved - golden).max() <= 1
    assert (saved != golden).mean() < 1e-3


@pytest.mark.real
def test_saved_colours_are_those_of_opencv(shared, ivif):
    ir, vis = read(shared, "00710N")
    ir, vis = ir[..., 200:328, 100:260], vis[..., 200:328, 100:260]
    with torch.inference_mode():
        fused = ivif.fuse(ir, vis)
    saved = render(fused, vis, OutputRule(**card("method", "refusion").data["output"]))[0].permute(1, 2, 0).numpy()
    y = fused[0, 0].numpy()
    ycrcb = cv2.cvtColor(vis[0].permute(1, 2, 0).contiguous().numpy() * 255, cv2.COLOR_RGB2YCrCb)
    # Float conversion centres chroma at 0.5; the formulas are linear, so scaled chroma keeps its differences.
    ycrcb[..., 0] = (y - y.min()) / (y.max() - y.min()) * 255
    rgb = cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB).clip(0, 255)
    rgb = (rgb - rgb.min()) / (rgb.max() - rgb.min()) * 255
    assert np.abs(saved.astype(float) - rgb).max() <= 0.51


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_every_released_checkpoint(shared, tmp_path, name):
    file = shared / "weights/ReFusion" / listed(name)["file"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == listed(name)["sha256"]
    state = released(shared, name)
    assert len(state) == 140
    method = ReFusion()
    path = tmp_path / "w.safetensors"
    save_file(method.convert(state), path)
    method.load(path)
    ir, vis = (x[..., 100:149, 200:263] for x in read(shared, "00906N"))
    with torch.inference_mode():
        fused = method.to("cpu").fuse(ir, vis)
        again = method.fuse(ir, vis)
    assert torch.equal(fused, again)
    assert fused.shape == ir.shape
    assert fused.std() > 0.01
