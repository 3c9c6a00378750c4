"""What holds for every metric, whatever it measures."""

from __future__ import annotations

import doctest

import _oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fusionbench import metrics
from fusionbench.plugins.records import COLOURS

SIZES = [(1, 1), (1, 7), (2, 3), (5, 8), (11, 13), (16, 33), (45, 41), (64, 50)]
CARDS = _oracles.cards()
NUMBERS = [f"{name}@{variant}" for name, card in CARDS.items() for variant in card["variants"]]
quick = settings(max_examples=8, deadline=None, derandomize=True)


def triples(size: tuple[int, int], seed: int, batch: int = 3) -> tuple[Tensor, ...]:
    """Related random images, uint8 ``[B,1,H,W]``: smooth enough to have structure, the fused one a mixture."""
    g = torch.Generator().manual_seed(seed)
    ir, vis = (torch.randint(0, 256, (batch, 1, *size), generator=g).double() for _ in range(2))
    ir = (ir + ir.roll(1, -1) + ir.roll(1, -2)) / 3
    share = torch.rand(batch, 1, 1, 1, generator=g).double()
    return tuple(x.round().to(torch.uint8) for x in (share * ir + (1 - share) * vis, ir, vis))


def variant_of(number: str):
    """Function and options of ``metric@variant``, and a batch of two images that are large enough for it."""
    name, _, variant = number.partition("@")
    card = CARDS[name]
    size = (max(64, card["min_size"]), max(80, card["min_size"] + 3))
    return _oracles.function(card), card["variants"][variant].get("options", {}), triples(size, 5, batch=2)


def same(a: Tensor, b: Tensor) -> None:
    """Alike but for rounding, which depends on the size of the batch and is worst for SSIM with a tiny L."""
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("name", sorted(CARDS))
@quick
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**31))
def test_batch(name, size, seed):
    card, images = CARDS[name], triples(size, seed)
    function = _oracles.function(card)
    before = [x.clone() for x in images]
    for variant in card["variants"].values():
        options = variant.get("options", {})
        whole = function(*images, **options)
        assert whole.shape == (3,)
        assert whole.dtype == torch.float64
        same(whole, torch.cat([function(*(x[i : i + 1] for x in images), **options) for i in range(3)]))
        order = torch.tensor([2, 0, 1])
        same(whole[order], function(*(x[order] for x in images), **options))
        same(whole, function(*(x[:, 0].double() for x in images), **options))
        low, high = variant.get("range", card["range"])
        assert ((whole >= low) & (whole <= high) | whole.isnan()).all(), whole
    assert all(torch.equal(x, y) for x, y in zip(before, images, strict=True))


@pytest.mark.parametrize("name", sorted(CARDS))
def test_constant_images_and_copies(name):
    card = CARDS[name]
    function, flat = _oracles.function(card), torch.full((1, 1, 48, 50), 0, dtype=torch.uint8)
    busy = triples((48, 50), 0, batch=1)[1]
    for variant in card["variants"].values():
        for images in [(flat + 7,) * 3, (flat,) * 3, (flat + 255, busy, flat), (busy, flat, flat + 9), (busy,) * 3]:
            value = function(*images, **variant.get("options", {}))
            assert value.shape == (1,)
            assert not value.isneginf().any()


@pytest.mark.parametrize("number", NUMBERS)
def test_types(number):
    """uint8 and float64 give one value, in float64; float32 gives it in float32, in a batch and alone."""
    function, options, images = variant_of(number)
    exact = function(*images, **options)
    same(exact, function(*(x.double() for x in images), **options))
    single = function(*(x.float() for x in images), **options)
    assert (exact.dtype, single.dtype) == (torch.float64, torch.float32)
    near = {"rtol": 1e-7, "atol": 1e-7, "equal_nan": True}
    torch.testing.assert_close(single.double(), exact, **near)
    alone = [function(*(x[i].float() for x in images), **options) for i in range(2)]
    torch.testing.assert_close(torch.cat(alone).double(), exact, **near)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch.cuda.is_available() is False")
@pytest.mark.parametrize("number", NUMBERS)
def test_gpu(number):
    """The CPU's values to six digits (sums run in another order), computed where the images are."""
    function, options, images = variant_of(number)
    value = function(*(x.cuda() for x in images), **options)
    assert value.is_cuda
    torch.testing.assert_close(value.cpu(), function(*images, **options), rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", [*sorted(CARDS), "MeanOverImages"])
def test_example(name):
    """The example in the docstring runs and prints what it says."""
    documented = _oracles.function(CARDS[name]) if name in CARDS else metrics.MeanOverImages
    scope = {"torch": torch, documented.__name__: documented}
    (test,) = doctest.DocTestFinder(recurse=False).find(documented, name, module=False, globs=scope)
    assert test.examples
    lines: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=lines.append)
    assert not lines, "".join(lines)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_shapes_must_agree(name):
    fused, ir, vis = triples((64, 64), 0)
    with pytest.raises(ValueError, match="differ in shape"):
        _oracles.function(CARDS[name])(fused, ir[..., :-1], vis)
    with pytest.raises(ValueError, match="grey images"):
        _oracles.function(CARDS[name])(fused.expand(-1, 3, -1, -1), ir, vis)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_card(name):
    card = CARDS[name]
    assert card["name"] == name
    assert card["direction"] in ("up", "down")
    assert card["range"][0] < card["range"][1]
    assert card["default"] in card["variants"]
    for named in card.get("profiles", {}).values():
        used = named[0] if isinstance(named, list) else named
        variant, _, colour = used.partition("/")
        assert variant in card["variants"]
        assert not colour or colour in COLOURS
    assert all(v["formula"] and isinstance(v["used_by"], list) for v in card["variants"].values())
    assert _oracles.function(card).__doc__
