import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fusionbench.pixels.colour import VARIANTS, luma, luma_u8, recombine, to_rgb, to_ycbcr


def pixels(rgb: np.ndarray) -> torch.Tensor:
    """[H,W,3] to [3,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


def opencv_grey(rgb: np.ndarray) -> np.ndarray:
    return np.rint(cv2.cvtColor(rgb[..., ::-1].astype(np.float32), cv2.COLOR_BGR2GRAY)).astype(np.uint8)


def test_grey_of_a_million_colours_is_opencvs():
    rgb = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    assert np.array_equal(luma_u8(pixels(rgb))[0].numpy(), opencv_grey(rgb))


def test_grey_of_grey_colours_is_the_level():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 256)
    assert torch.equal(luma_u8(levels.expand(3, 1, 256)), levels)


def test_luma_u8_refuses_floats():
    with pytest.raises(ValueError, match="8-bit"):
        luma_u8(torch.rand(3, 4, 4))


@pytest.mark.real
def test_grey_is_that_of_the_golden_images(shared):
    folder = shared / "reference/metrics/images"
    assert "round-half-even" in json.loads((folder.parent / "values.json").read_text())["convention"]
    files = sorted(folder.glob("*_RGB.png"))
    assert len(files) >= 4
    for colour in files:
        expected = np.array(Image.open(colour.with_name(colour.name.replace("_RGB", ""))))
        got = luma_u8(pixels(np.array(Image.open(colour).convert("RGB"))))[0].numpy()
        assert np.array_equal(got, expected), colour.name


@pytest.mark.real
def test_reading_a_colour_file_as_grey_is_something_else(shared):
    path = shared / "reference/metrics/images/msrs_00710N_VIS_RGB.png"
    ours = luma_u8(pixels(np.array(Image.open(path))))[0].numpy().astype(int)
    difference = np.abs(cv2.imread(str(path), 0).astype(int) - ours)
    assert difference.max() == 1
    assert 0.3 < (difference > 0).mean() < 0.7


def test_opencv_variant_is_opencvs_float_conversion():
    rgb = np.random.default_rng(1).random((40, 50, 3), dtype=np.float32)
    expected = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    y, chroma = to_ycbcr(pixels(rgb), "opencv")
    ours = np.stack([y[0], chroma[1], chroma[0]], axis=-1)
    assert np.abs(ours - expected).max() < 1e-6
    assert np.abs(luma(pixels(rgb))[0].numpy() - expected[..., 0]).max() < 1e-6
    back = cv2.cvtColor(expected, cv2.COLOR_YCrCb2RGB)
    assert np.abs(to_rgb(y, chroma, "opencv").permute(1, 2, 0).numpy() - back).max() < 1e-6


@pytest.mark.real
def test_seafusion_variant_on_its_release(shared):
    data = np.load(shared / "reference/parity/seafusion_forward.npz")
    expected = torch.from_numpy(data["in_vi_ycrcb"])[0]
    y, chroma = to_ycbcr(pixels(data["crop_vi_rgb_u8"]) / 255, "seafusion")
    assert (torch.cat((y, chroma.flip(0))) - expected).abs().max() < 1e-6


def test_jpeg_variant_by_hand():
    y, chroma = to_ycbcr(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1), "jpeg")
    assert y.item() == pytest.approx(0.299)
    assert chroma.flatten().tolist() == pytest.approx([128 / 255 - 0.1687, 128 / 255 + 0.5])
    rgb = to_rgb(torch.full((1, 1, 1), 0.5), torch.full((2, 1, 1), 128 / 255 + 0.1), "jpeg")
    assert rgb.flatten().tolist() == pytest.approx([0.6402, 0.5 - 0.071414 - 0.034414, 0.6772])


def test_opencv8_variant_is_opencvs_conversion_of_levels():
    rgb = np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    y, chroma = to_ycbcr(pixels(rgb).float() / 255, "opencv8")
    ours = torch.cat((y, chroma.flip(0))) * 255
    assert np.array_equal(ours.round().byte().numpy(), theirs.transpose(2, 0, 1))
    back = cv2.cvtColor(theirs, cv2.COLOR_YCrCb2RGB).transpose(2, 0, 1)
    apart = (to_rgb(y, chroma, "opencv8").clamp(0, 1) * 255).round().numpy() - back
    assert np.abs(apart).max() <= 1  # ties of rounding
    assert (apart == 0).mean() > 0.999


@pytest.mark.parametrize("variant", VARIANTS)
@given(rgb=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_own_luma_gives_the_colours_back(variant, rgb):
    x = torch.tensor(rgb, dtype=torch.float64).view(3, 1, 1)
    assert (recombine(luma(x), x, variant) - x).abs().max() < (2 / 255 if variant == "opencv8" else 2e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_grey_has_no_chroma(variant):
    x = torch.rand(1, 1, 5, 6).expand(1, 3, 5, 6)
    fused = torch.rand(1, 1, 5, 6)
    assert (recombine(fused, x, variant) - fused).abs().max() < 1e-4


def test_unknown_variant():
    with pytest.raises(ValueError, match="no YCbCr variant 'hsv'; there are: opencv, seafusion, jpeg"):
        to_ycbcr(torch.rand(3, 2, 2), "hsv")
