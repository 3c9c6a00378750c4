import numpy as np
import pytest
import tomllib
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

import fusionbench.methods
from fusionbench.errors import FusionbenchError
from fusionbench.methods.average import Average
from fusionbench.methods.gff import GFF, guided_filter, window_mean
from fusionbench.methods.images import Images
from fusionbench.methods.infrared import Infrared
from fusionbench.methods.laplacian import Laplacian, expand, pyramid, reduce
from fusionbench.methods.maximum import Maximum
from fusionbench.methods.visible import Visible
from fusionbench.pixels.colour import luma
from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins.cards import cards
from fusionbench.plugins.method import Context, Method
from fusionbench.plugins.registry import resolve

CLASSICAL = [Average, Maximum, Laplacian, GFF, Visible, Infrared]


def images(height: int, width: int, batch: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    u8 = torch.randint(0, 256, (batch, 4, height, width), generator=g)
    return u8[:, :1] / 255, u8[:, 1:] / 255


def grey(x: torch.Tensor) -> torch.Tensor:
    return x.expand(-1, 3, -1, -1)


@pytest.mark.parametrize(
    "name", ["average", "maximum", "laplacian", "gff", "visible", "infrared", "images", "refusion"]
)
def test_card(name):
    card = cards("method")[name]
    OutputRule(**card.data["output"])
    assert issubclass(resolve("method", name), Method)
    assert tomllib.loads(card.path.read_text())["name"] == name
    assert str(card.path).startswith(str(next(iter(fusionbench.methods.__path__))))


@pytest.mark.parametrize("method", CLASSICAL)
@settings(max_examples=15, deadline=None)
@given(height=st.integers(8, 41), width=st.integers(8, 41))
def test_any_size_and_batch(method, height, width):
    ir, vis = images(height, width, batch=2)
    fused = method().fuse(ir, vis)
    assert fused.shape == (2, 3 if method is Visible else 1, height, width)
    assert fused.dtype == torch.float32
    assert (fused[1:] - method().fuse(ir[1:], vis[1:])).abs().max() < 1e-6


@pytest.mark.parametrize("method", [Average, Maximum, Laplacian, GFF])
def test_equal_sources_come_back(method):
    ir, _ = images(61, 47)
    assert (method().fuse(ir, grey(ir)) - ir).abs().max() < 1e-5


def test_average_and_maximum_of_levels():
    ir, vis = images(20, 30)
    y = 0.299 * vis[:, :1] + 0.587 * vis[:, 1:2] + 0.114 * vis[:, 2:]
    assert torch.allclose(Average().fuse(ir, vis), (ir + y) / 2, atol=1e-6)
    assert torch.allclose(Maximum().fuse(ir, vis), torch.max(ir, y), atol=1e-6)
    a, b = torch.tensor(10 / 255), torch.tensor(20 / 255)
    saved = render(Average().fuse(a.expand(1, 1, 2, 2), b.expand(1, 3, 2, 2)), b.expand(1, 3, 2, 2), OutputRule())
    assert saved.unique().tolist() == [15]


def test_sources_are_saved_as_they_are():
    ir, vis = images(20, 30)
    rule = OutputRule(chroma="none")
    assert torch.equal(render(Visible().fuse(ir, vis), vis, rule).float(), (vis * 255).round())
    assert torch.equal(render(Infrared().fuse(ir, vis), vis, rule).float(), (ir * 255).round())


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (33, 8)])
def test_pyramid_steps_are_the_textbook_ones(size):
    x = images(*size)[0]
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    array = x[0, 0].numpy().astype(np.float64)
    small = ndimage.correlate(array, np.outer(kernel, kernel), mode="mirror")[::2, ::2]
    assert np.abs(reduce(x)[0, 0].numpy() - small).max() < 1e-6
    zeros = np.zeros(size)
    zeros[::2, ::2] = small
    large = 4 * ndimage.correlate(zeros, np.outer(kernel, kernel), mode="mirror")
    assert np.abs(expand(reduce(x), size)[0, 0].numpy() - large).max() < 1e-6
    flat = torch.full((1, 1, *size), 0.7)
    assert (expand(reduce(flat), size) - 0.7).abs().max() < 1e-6


def test_laplacian_takes_the_stronger_detail():
    ir, vis = images(48, 40)
    fused = Laplacian(levels=1).fuse(ir, vis)
    (a, base1), (b, base2) = pyramid(ir, 1), pyramid(luma(vis), 1)
    detail = fused - expand((base1 + base2) / 2, (48, 40))
    assert torch.allclose(detail, torch.where(a.abs() >= b.abs(), a, b), atol=1e-6)
    assert [p.shape[-1] for p in pyramid(ir, 9)] == [40, 20, 10, 5]


def test_laplacian_needs_a_level():
    with pytest.raises(ValueError, match="levels is 0"):
        Laplacian(levels=0)


def box(x: np.ndarray, radius: int) -> np.ndarray:
    """Mean over what lies inside, by plain loops over offsets."""
    total, count = np.zeros_like(x), np.zeros_like(x)
    tall, wide = min(radius, x.shape[0] - 1), min(radius, x.shape[1] - 1)
    for dy in range(-tall, tall + 1):
        for dx in range(-wide, wide + 1):
            ys, xs = slice(max(0, dy), x.shape[0] + min(0, dy)), slice(max(0, dx), x.shape[1] + min(0, dx))
            yt, xt = slice(max(0, -dy), x.shape[0] + min(0, -dy)), slice(max(0, -dx), x.shape[1] + min(0, -dx))
            total[yt, xt] += x[ys, xs]
            count[yt, xt] += 1
    return total / count


def plain_guided(guide: np.ndarray, x: np.ndarray, radius: int, eps: float) -> np.ndarray:
    mg, mx = box(guide, radius), box(x, radius)
    a = (box(guide * x, radius) - mg * mx) / (box(guide**2, radius) - mg**2 + eps)
    return box(a, radius) * guide + box(mx - a * mg, radius)


def plain_gff(a: np.ndarray, b: np.ndarray, r1: int, eps1: float, r2: int, eps2: float, side: int) -> np.ndarray:
    """Section III of the paper, image by image, with scipy's filters."""
    grid = np.arange(-5, 6)
    gauss = np.exp(-(grid[:, None] ** 2 + grid**2) / 50)
    laplace = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    bases = [ndimage.uniform_filter(x, side, mode="nearest") for x in (a, b)]
    salient = [
        ndimage.correlate(np.abs(ndimage.correlate(x, laplace, mode="nearest")), gauss / gauss.sum(), mode="nearest")
        for x in (a, b)
    ]
    result = 0
    for parts, radius, eps in ((bases, r1, eps1), ([a - bases[0], b - bases[1]], r2, eps2)):
        w1 = plain_guided(a, (salient[0] >= salient[1]).astype(float), radius, eps)
        w2 = plain_guided(b, (salient[1] >= salient[0]).astype(float), radius, eps)
        result = result + (w1 * parts[0] + w2 * parts[1]) / (w1 + w2)
    return result


@pytest.mark.parametrize("radius", [1, 3, 40])
def test_window_mean(radius):
    x = images(31, 23)[0].double()
    assert np.abs(window_mean(x, radius)[0, 0].numpy() - box(x[0, 0].numpy(), radius)).max() < 1e-12


def test_guided_filter():
    guide, rgb = images(31, 23)
    x = rgb[:, :1].double()
    ours = guided_filter(guide.double(), x, 4, 1e-3)[0, 0].numpy()
    assert np.abs(ours - plain_guided(guide[0, 0].double().numpy(), x[0, 0].numpy(), 4, 1e-3)).max() < 1e-10


@pytest.mark.parametrize("settings_", [(45, 0.3, 7, 1e-6, 31), (9, 0.1, 3, 1e-4, 11)])
def test_gff_is_a_plain_statement_of_the_paper(settings_):
    g = torch.Generator().manual_seed(5)
    small = torch.rand(1, 4, 9, 11, generator=g)
    big = torch.nn.functional.interpolate(small, (72, 65), mode="bilinear").clamp(0, 1)
    big += 0.02 * torch.rand(big.shape, generator=g)
    ir, vis = big[:, :1], big[:, 1:]
    ours = GFF(**dict(zip(("r1", "eps1", "r2", "eps2", "base"), settings_, strict=True))).fuse(ir, vis)
    theirs = plain_gff(ir[0, 0].double().numpy(), luma(vis)[0, 0].double().numpy(), *settings_)
    assert np.abs(ours[0, 0].numpy() - theirs).max() < 1e-6


def test_gff_prefers_the_sharp_image():
    ir, vis = images(60, 60)
    flat = torch.full((1, 3, 60, 60), 0.5)
    sharp_ir, sharp_vis = GFF().fuse(ir, flat), GFF().fuse(torch.full_like(ir, 0.5), vis)
    assert (sharp_ir - ir).abs().mean() < 0.1 * (sharp_ir - 0.5).abs().mean()
    assert (sharp_vis - luma(vis)).abs().mean() < 0.1 * (sharp_vis - 0.5).abs().mean()


@pytest.mark.parametrize("bad", [{"r1": 0}, {"eps2": 0.0}, {"base": 30}])
def test_gff_refuses_settings_without_meaning(bad):
    with pytest.raises(ValueError, match="gff: needs"):
        GFF(**bad)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (12, 17), dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(rng.integers(0, 256, (12, 17, 3), dtype=np.uint8)).save(tmp_path / "b.bmp")
    Image.fromarray(rng.integers(0, 256, (12, 17), dtype=np.uint8)).save(tmp_path / "c.tif")
    return tmp_path


def test_pictures_are_returned_as_stored(folder):
    method = Images(dir=str(folder), name="theirs")
    ir, vis = images(12, 17, batch=2)
    grey_only = method.fuse(ir, vis, Context(["a", "c"]))
    assert grey_only.shape == (2, 1, 12, 17)
    mixed = method.fuse(ir, vis, Context(["a", "b"]))
    assert mixed.shape == (2, 3, 12, 17)
    saved = render(mixed, vis, OutputRule(chroma="none")).numpy()
    assert np.array_equal(saved[0, 0], np.array(Image.open(folder / "a.png")))
    assert np.array_equal(saved[1].transpose(1, 2, 0), np.array(Image.open(folder / "b.bmp")))


def test_a_missing_or_unfit_picture_is_one_clear_line(folder):
    method = Images(dir=str(folder))
    ir, vis = images(12, 17)
    with pytest.raises(ValueError, match=r"no picture z\.png .*put it there") as missing:
        method.fuse(ir, vis, Context(["z"]))
    assert isinstance(missing.value, FusionbenchError)
    with pytest.raises(ValueError, match=r"a\.png: 12x17, but its pair is 12x20"):
        method.fuse(*images(12, 20), Context(["a"]))
    with pytest.raises(ValueError, match="1 pairs but 0 names"):
        method.fuse(ir, vis)
    (folder / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad\.png"):
        method.fuse(ir, vis, Context(["bad"]))


def test_a_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        Images(dir=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="no such folder"):
        Images()


def test_base_class():
    method = Method(a=1)
    assert method.options == {"a": 1}
    assert method.convert({}) == {}
    assert method.load(None) is None
    assert method.to("cpu") is method
    with pytest.raises(NotImplementedError):
        method.fuse(*images(8, 8))
