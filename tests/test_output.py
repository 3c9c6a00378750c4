import dataclasses
import platform
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.pixels.output_rule import RULES, OutputRule, render
from fusionbench.runtime import allocator

GREY = OutputRule(chroma="none")


def levels(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(3)
    return torch.rand(2, 1, 20, 30, generator=g) * 0.8 + 0.1, torch.rand(2, 3, 20, 30, generator=g)


@pytest.mark.parametrize(("key", "value"), [("stretch", "all"), ("quantise", "floor"), ("chroma", "hsv")])
def test_a_bad_value_is_named_with_the_allowed_ones(key, value):
    with pytest.raises(ValueError, match=f"{key} is '{value}'; it must be one of") as error:
        OutputRule(**{key: value})
    assert "\n" not in str(error.value)


def test_a_rule_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GREY.stretch = "rgb"


def test_common_rule():
    assert RULES["clip-round"] == OutputRule("none", "round", "opencv")


def test_rounding_and_truncation():
    x = levels(-0.3, 0.0, 100.4 / 255, 100.6 / 255, 1.0, 7.0)
    vis = torch.zeros(1, 3, 1, 6)
    assert render(x, vis, GREY).flatten().tolist() == [0, 0, 100, 101, 255, 255]
    truncating = OutputRule(quantise="truncate", chroma="none")
    assert render(x, vis, truncating).flatten().tolist() == [0, 0, 100, 100, 255, 255]


def test_opencv8_saves_levels_of_luma_with_the_chroma_of_levels():
    rng = np.random.default_rng(0)
    rgb, fused = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), rng.normal(0.5, 0.4, (40, 50)).astype(np.float32)
    vis = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    for quantise, cut in (("truncate", np.trunc), ("round", np.rint)):
        planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
        planes[..., 0] = cut(fused.clip(0, 1) * np.float32(255))
        theirs = cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB).transpose(2, 0, 1).astype(int)
        ours = render(torch.from_numpy(fused)[None, None], vis, OutputRule("none", quantise, "opencv8"))[0].numpy()
        assert np.abs(ours - theirs).max() <= 1  # ties of rounding
        assert (ours == theirs).mean() > 0.999


def test_a_stored_picture_comes_back_unchanged():
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    vis = torch.rand(1, 3, 16, 16)
    assert torch.equal(render(x.float() / 255, vis, GREY), x)
    rgb = x.expand(1, 3, 16, 16).clone()
    rgb[:, 0] = rgb[:, 0].flip(-1)
    assert torch.equal(render(rgb.float() / 255, vis, RULES["clip-round"]), rgb)


def test_values_that_are_not_finite_are_counted():
    x = torch.rand(1, 1, 4, 5)
    x[0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    with pytest.raises(ValueError, match="2 of 20 fused values are not finite"):
        render(x, torch.rand(1, 3, 4, 5), GREY)


def test_shapes_that_do_not_fit(pair):
    with pytest.raises(ValueError, match="cannot render"):
        render(pair[0][:, :, 1:], pair[1], GREY)


def test_number_of_channels(pair):
    fused, vis = pair
    assert render(fused, vis, RULES["clip-round"]).shape == (2, 3, 20, 30)
    assert render(fused, vis, GREY).shape == (2, 1, 20, 30)
    assert render(fused, vis[:, :1].expand_as(vis), RULES["clip-round"]).shape == (2, 1, 20, 30)
    assert render(vis, vis[:, :1].expand_as(vis), GREY).shape == (2, 3, 20, 30)


def test_own_luma_gives_the_visible_image_back(pair):
    from fusionbench.pixels.colour import luma

    vis = pair[1]
    picture = render(luma(vis), vis, RULES["clip-round"])
    assert ((vis * 255).round() - picture.float()).abs().max() <= 1


@pytest.mark.parametrize("stretch", ["luma", "rgb", "luma+rgb"])
def test_each_image_is_stretched_by_itself(pair, stretch):
    fused, vis = pair
    rule = OutputRule(stretch, "round", "opencv")
    both = render(fused, vis, rule)
    assert torch.equal(both[1:], render(fused[1:], vis[1:], rule))
    if "rgb" in stretch:
        assert both.amin((1, 2, 3)).tolist() == [0, 0]
        assert both.amax((1, 2, 3)).tolist() == [255, 255]
    grey = render(fused, vis, OutputRule(stretch, "round", "none"))
    assert grey.amin((1, 2, 3)).tolist() == [0, 0]
    assert grey.amax((1, 2, 3)).tolist() == [255, 255]


def test_a_flat_image_is_left_flat():
    x = torch.full((1, 1, 4, 4), 0.5)
    picture = render(x, torch.rand(1, 3, 4, 4), OutputRule("luma+rgb", "round", "none"))
    assert picture.unique().tolist() == [128]


@given(low=st.floats(-3, 0.4), span=st.floats(0.05, 4), seed=st.integers(0, 99))
def test_a_stretched_luma_does_not_depend_on_its_range(low, span, seed):
    x = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(seed)).double()
    vis = torch.zeros(1, 3, 6, 7)
    rule = OutputRule("luma", "round", "none")
    difference = render(x * span + low, vis, rule).int() - render(x, vis, rule).int()
    assert difference.abs().max() <= 1


@pytest.mark.real
def test_seafusion_saves_what_its_release_saves(shared):
    data = {k: torch.from_numpy(v) for k, v in np.load(shared / "reference/parity/seafusion_forward.npz").items()}
    vis = data["crop_vi_rgb_u8"].permute(2, 0, 1)[None] / 255
    saved = render(data["out_raw"], vis, OutputRule("rgb", "truncate", "seafusion"))
    expected = data["img_rgb_u8"].permute(2, 0, 1)[None]
    assert (
        saved.int() - expected.int()
    ).abs().max() <= 1  # equal where it was written; truncation turns a last bit into a level
    assert (saved != expected).float().mean() < 1e-3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_keeping_memory_applies_here():
    code = "from fusionbench.runtime.allocator import keep_memory; assert keep_memory() is True"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_keeping_memory_does_nothing_elsewhere(monkeypatch):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)
    assert allocator.keep_memory() is False


def test_keeping_memory_survives_a_library_without_the_call(monkeypatch):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert allocator.keep_memory() is False
