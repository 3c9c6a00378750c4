"""What users hand to metrics in Python: arrays, single images, levels 0..1, paths, colour; taken rightly or refused."""

from __future__ import annotations

from pathlib import Path

import _oracles
import numpy as np
import pytest
import torch
from torch import Tensor

from fusionbench import metrics
from fusionbench.metrics import MeanOverImages, Planes, aligned, per_image, planes

CARDS = _oracles.cards()
SIZE = 171  # the smallest that every metric takes


def images(size: int = 48, batch: int = 1) -> list[Tensor]:
    """Related uint8 images ``[B,1,H,W]`` that reach both ends of the range."""
    g = torch.Generator().manual_seed(size)
    ir, vis = (torch.randint(0, 256, (batch, 1, size, size + 3), generator=g) for _ in range(2))
    ir[:, :, 0, 0], vis[:, :, 0, 0] = 0, 255
    return [x.to(torch.uint8) for x in ((ir + vis) // 2, ir, vis)]


def size_of(name: str) -> int:
    return SIZE if name == "ms_ssim" else 48


@pytest.mark.parametrize("name", sorted(CARDS))
def test_every_form_of_the_same_images_has_the_same_value(name: str) -> None:
    function = getattr(metrics, name)
    x = images(size_of(name))
    want = function(*x)
    arrays = [t[0, 0].numpy() for t in x]
    for other in (
        [t[0, 0] for t in x],
        [t[0] for t in x],
        arrays,
        [a[None] for a in arrays],
        [a.astype(np.uint16) for a in arrays],
        [a.astype(">f8") for a in arrays],
        [np.asfortranarray(a.astype(np.int32)) for a in arrays],
        [np.flip(np.flip(a, 0).copy(), 0) for a in arrays],
        [arrays[0], x[1], Planes(x[2])],
    ):
        value = function(*other)
        assert value.shape == (1,)
        torch.testing.assert_close(value, want, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_levels_of_0_to_1_are_scaled_when_that_is_said(name: str) -> None:
    function = getattr(metrics, name)
    x = images(size_of(name))
    want = function(*x)
    for kind in (torch.float32, torch.float64):
        unit = [t.to(kind) / 255 for t in x]
        assert torch.equal(function(*unit, levels=1.0).double(), want.to(kind).double())
        assert torch.equal(function(unit[0], *x[1:], levels=1).double(), want.to(kind).double())  # integers are 0..255
        with pytest.raises(ValueError, match=r"^fused: .*never exceed 1 .*levels=1\.0.*levels=255"):
            function(*unit)
        with pytest.raises(ValueError, match=r"^vis: .*levels=1\.0"):
            function(*x[:2], unit[2])


@pytest.mark.parametrize("name", sorted(n for n in dir(metrics) if n.isupper()))
def test_classes_take_the_same(name: str) -> None:
    kind = getattr(metrics, name)
    assert issubclass(kind, MeanOverImages)
    x = images(size_of("ms_ssim" if name == "MSSSIM" else ""))
    whole, unit = kind(), kind(levels=1.0)
    whole.update(*[t[0, 0].numpy() for t in x])
    unit.update(*[t[0, 0].numpy() / 255 for t in x])
    torch.testing.assert_close(whole.compute(), unit.compute(), rtol=1e-12, atol=0, equal_nan=True)
    with pytest.raises(ValueError, match=r"levels=1\.0"):
        whole.update(*[t / 255 for t in x])
    assert whole.values.shape == (1,)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1, 1), (-1, 0), (1, -0.5), (256, 0), (65535 / 255, 0), (1 / 127.5, -1), (1.01, 0)]
)
@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
def test_levels_outside_are_refused(scale: float, shift: float, kind: torch.dtype) -> None:
    x = images()
    wrong = (x[1].double() * scale + shift).clamp(-6e4, 6e4).to(kind)
    for triple in ((wrong, *x[1:]), (x[0], wrong, x[2]), (*x[:2], wrong)):
        with pytest.raises(ValueError, match=r"levels are 0\.\.255, got"):
            metrics.en(*triple)
        with pytest.raises(ValueError, match=r"levels are 0\.\.255, got"):
            metrics.en(*triple, levels=255)


@pytest.mark.parametrize("kind", [torch.int8, torch.int16, torch.int64])
def test_integers_outside_are_refused(kind: torch.dtype) -> None:
    x = images()
    wrong = x[1].to(kind) if kind == torch.int8 else x[1].to(kind) + 1
    with pytest.raises(ValueError, match="integers of"):
        metrics.sd(wrong, *x[1:])
    with pytest.raises(ValueError, match="integers of"):
        metrics.sd(x[0].numpy().astype(np.uint16) * 257, *x[1:])


def test_levels_of_1_hold_for_0_to_1_alone() -> None:
    unit = [t.float() / 255 for t in images()]
    for wrong in (unit[1] * 255, unit[1] - 0.01, unit[1] + 0.01):
        with pytest.raises(ValueError, match=r"levels=1\.0 means images of 0\.\.1, got"):
            metrics.sd(wrong, *unit[1:], levels=1.0)
    for levels in (2, 0, -1, 65535, float("nan"), "1"):
        with pytest.raises(ValueError, match="1 or 255"):
            metrics.sd(*unit, levels=levels)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_nearly_black_pictures_pass(kind: torch.dtype) -> None:
    """Whole levels 0 and 1: so look dark pictures; a picture of 0..1 has levels between."""
    x = images()
    for dark in (x[0] * 0, x[0] * 0 + 1, (x[0] > 100).to(torch.uint8), x[0] // 100):
        value = metrics.mse(dark.to(kind), *x[1:])
        torch.testing.assert_close(value.double(), metrics.mse(dark, *x[1:]).to(kind).double(), equal_nan=True)
    faint = x[0].to(kind) / 255
    assert metrics.mse(faint, *x[1:], levels=255).isfinite().all()
    with pytest.raises(ValueError, match="levels=255"):
        metrics.mse(faint, *x[1:])


def test_rounding_at_the_ends_passes() -> None:
    x = images()
    metrics.en(x[0].float() + 1e-5, *x[1:])
    metrics.en(x[0].double() - 1e-9, *x[1:])
    metrics.en(x[0].half() * 1.0001, *x[1:])
    metrics.en((x[0].float() / 255) * (1 + 1e-6), *x[1:], levels=1.0)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_broken_pixels_have_no_value_and_hide_nothing(broken: float) -> None:
    x = [t.double() for t in images(batch=2)]
    x[0][0, 0, 3, 4] = broken
    assert metrics.en(*x).isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match=r"levels=1\.0"):
        metrics.en(*[t / 255 for t in x])
    assert metrics.en(*[t / 255 for t in x], levels=1.0).isnan().tolist() == [True, False]
    assert metrics.en(*[t * broken for t in x]).isnan().all()


@pytest.mark.parametrize("path", ["fused.png", Path("out") / "fused.png", b"fused.png"])
def test_paths_are_told_what_to_do(path: object) -> None:
    x = images()
    for triple in ((path, *x[1:]), (x[0], path, x[2])):
        with pytest.raises(TypeError, match=r"not paths, got .*fused\.png.*read_image"):
            metrics.vif(*triple)
    with pytest.raises(TypeError, match="not paths"):
        metrics.VIF().update(path, path, path)


@pytest.mark.parametrize(
    "wrong", [None, [[1, 2], [3, 4]], 7, "", np.zeros((8, 8), bool), np.zeros((8, 8), complex), np.array([["a"]])]
)
def test_other_things_are_refused_by_type(wrong: object) -> None:
    x = images()
    with pytest.raises(TypeError, match=r"^ir: metrics take "):
        metrics.en(x[0], wrong, x[2])


def test_tensors_of_other_kinds() -> None:
    x = images()
    for wrong in (x[0] > 3, x[0].to(torch.complex64), x[0][0, 0].float().to_sparse()):
        with pytest.raises(TypeError, match="grey levels"):
            metrics.en(wrong, *x[1:])


@pytest.mark.parametrize("shape", [(2, 3, 24, 30), (24, 30, 3), (24, 30, 4), (1, 24, 30, 3), (24, 30, 1)])
def test_colour_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"channels (last|first): .*luma"):
        metrics.en(*[np.full(shape, 9, np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"grey images are \[B,1,H,W\], \[B,H,W\] or \[H,W\], got"):
        metrics.en(*[torch.zeros(shape)] * 3)


@pytest.mark.parametrize("shape", [(), (9,), (2, 5, 9, 9), (1, 1, 1, 9, 9)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="grey images are"):
        metrics.en(*[torch.zeros(shape)] * 3)


def test_a_metric_of_ones_own_has_all_that() -> None:
    @per_image
    def brightest(fused: Planes, ir: Planes, vis: Planes, *, share: float = 1) -> Tensor:
        f, _, _ = aligned(fused, ir, vis)
        return f.x.amax((1, 2)) * share

    x = images()
    assert brightest(*[t / 255 for t in x], levels=1.0, share=0.5) == x[0].max() / 2
    with pytest.raises(ValueError, match=r"levels=1\.0"):
        brightest(*[t / 255 for t in x])
    with pytest.raises(TypeError, match="another name"):

        @per_image
        def mine(fused: Planes, ir: Planes, vis: Planes, *, levels: int = 3) -> Tensor:
            return fused.x


def test_the_harness_is_not_looked_at() -> None:
    """Its :class:`Planes` are taken as they are."""
    faint = Planes(torch.rand(1, 8, 8))
    assert planes(faint) is faint
    assert aligned(faint, faint, faint) == (faint, faint, faint)
    assert metrics.en(faint, faint, faint, levels=1.0) >= 0
    assert metrics.en(Planes(torch.full((1, 8, 8), 300)), faint, faint).shape == (1,)


def test_gradients_are_left_out() -> None:
    x = [(t.float() / 255).requires_grad_() for t in images()]
    value = metrics.ssim(*x, levels=1.0)
    assert not value.requires_grad
