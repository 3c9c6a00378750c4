"""What every metric and variant does at the edges: broken pixels, no images, small, flat and extreme ones."""

from __future__ import annotations

import math

import _oracles
import pytest
import torch
from _images import FLAT, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench import metrics
from fusionbench.metrics import Planes
from fusionbench.plugins.cards import cards
from fusionbench.plugins.records import MetricFacts

FACTS = {name: card.facts for name, card in cards("metric").items()}
NUMBERS = [f"{name}@{variant}" for name, facts in FACTS.items() for variant in facts.variants]
KINDS = tuple(drawn((3, 4), 0))
few = settings(max_examples=10, deadline=None, derandomize=True)


def looked_up(number: str) -> tuple:
    """Function and options of ``metric@variant``, its card's facts and its own name."""
    name, _, variant = number.partition("@")
    function = _oracles.function(_oracles.cards()[name])
    return function, FACTS[name].variants[variant].options, FACTS[name], variant


def sized(facts: MetricFacts, variant: str, seed: int) -> tuple[int, int]:
    """A size that is large enough for a variant, and no multiple of anything."""
    least = max(facts.min_size_of(variant), 5)
    return least + seed % 3, least + 6 + seed % 5


def triple(size: tuple[int, int], seed: int, *names: str) -> list[torch.Tensor]:
    images = drawn(size, seed)
    return [images[name].clone() for name in names]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_broken_pixels_leave_one_image_without_a_value(number, dtype):
    """NaN or infinite, one pixel or all of them, in whichever of the three images."""
    function, options, facts, variant = looked_up(number)
    size = sized(facts, variant, 1)
    parts = [triple(size, seed, "smooth", "noise", "other noise") for seed in range(3)]
    batch = [torch.cat(x).to(dtype) for x in zip(*parts, strict=True)]
    whole = function(*batch, **options)
    assert whole.isfinite().all()
    for role, value in enumerate((math.nan, math.inf, -math.inf)):
        for where in ((2, 3), ()):
            broken = [x.clone() for x in batch]
            broken[role][(1, *where)] = value
            found = function(*broken, **options)
            assert found.dtype == whole.dtype
            assert found[1].isnan(), (role, value, where)
            torch.testing.assert_close(found[[0, 2]], whole[[0, 2]], rtol=1e-9, atol=1e-9)
            alone = function(*(x[1:2] for x in broken), **options)
            assert alone.isnan().tolist() == [True]


@pytest.mark.parametrize("number", NUMBERS)
def test_an_empty_batch_has_no_values(number):
    function, options, facts, variant = looked_up(number)
    n = facts.min_size_of(variant)
    for dtype in (torch.uint8, torch.float32, torch.float64):
        for size in ((n, n + 3), (n + 7, n), (1, 1)):
            for shape in ((0, 1, *size), (0, *size)):
                found = function(*[torch.zeros(shape, dtype=dtype)] * 3, **options)
                assert found.shape == (0,)
                assert found.dtype == (torch.float32 if dtype == torch.float32 else torch.float64)
    with pytest.raises(ValueError, match="differ in shape"):
        function(torch.zeros(0, 9, 9), torch.zeros(0, 9, 9), torch.zeros(0, 9, 8), **options)
    with pytest.raises(TypeError):
        function(*[torch.zeros(0, n, n)] * 3, nothing=1, **options)


@pytest.mark.parametrize("name", FACTS)
def test_an_empty_batch_adds_nothing_to_the_mean(name):
    mean = getattr(metrics, FACTS[name].object.replace("_", "").upper())()
    n = FACTS[name].min_size
    images = triple((n + 2, n + 5), 0, "smooth", "noise", "other noise")
    mean.update(*images)
    alone = mean.compute()
    mean.update(*(x[:0] for x in images))
    assert len(mean.values) == 1
    assert mean.compute() == alone


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_smallest_size(number, dtype):
    """At the card's size there is a value, a pixel below there is none, whichever side is short."""
    function, options, facts, variant = looked_up(number)
    n = facts.min_size_of(variant)
    for seed, size in enumerate([(n, n + 3), (n + 3, n)]):
        images = [x.to(dtype) for x in triple(size, seed, "smooth", "noise", "other noise")]
        assert function(*images, **options).isfinite().all(), size
        for cut in ((slice(0, n - 1), slice(None)), (slice(None), slice(0, n - 1))):
            small = [x[(slice(None), *cut)] for x in images]
            assert function(*small, **options).isnan().tolist() == [True], small[0].shape


@pytest.mark.parametrize("number", NUMBERS)
@few
@given(
    names=st.tuples(*[st.sampled_from(KINDS)] * 3),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64]),
)
def test_values_lie_in_the_range(number, names, seed, dtype):
    """Exactly, whatever the images; and those of the three drawn that are compared with themselves."""
    function, options, facts, variant = looked_up(number)
    low, high = facts.range_of(variant)
    fused, ir, vis = (x.to(dtype) for x in triple(sized(facts, variant, seed), seed, *names))
    for images in ((fused, ir, vis), (fused, fused, vis), (ir, ir, ir), (vis, fused, vis)):
        value = function(*images, **options, levels=255)
        assert ((low <= value) & (value <= high) | value.isnan()).all(), value


@pytest.mark.parametrize("kind", KINDS)
def test_copies_inverses_and_every_level_lie_in_the_range(kind):
    """The extremes of similarity, at a size that all metrics but MS-SSIM take."""
    images = drawn((48, 53), 3)
    x = Planes(images[kind])
    y, z = Planes(255 - images[kind]), Planes(images["every level"])
    for number in NUMBERS:
        function, options, facts, variant = looked_up(number)
        low, high = facts.range_of(variant)
        for triples in ((x, x, x), (x, y, y), (y, x, z), (z, x, x), (z, z, x)):
            value = float(function(*triples, **options))
            assert low <= value <= high or math.isnan(value), (number, value)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_gives_the_values_of_float64(kind):
    """To the rounding of the result, also where there is little or no contrast; undefined for the same images."""
    images = {name: x.float() for name, x in drawn((44, 47), 7).items()}
    first, second = ("flat", "binary") if kind == "smooth" else ("smooth", "flat")
    for names in ((first, kind, second), (kind, first, second), (first, first, kind)):
        single = [metrics.planes(images[n]) for n in names]
        double = [metrics.planes(images[n].double()) for n in names]
        for number in NUMBERS:
            function, options, *_ = looked_up(number)
            found, exact = function(*single, **options), function(*double, **options)
            assert (found.dtype, exact.dtype) == (torch.float32, torch.float64)
            message = f"{number} {names}"
            torch.testing.assert_close(found, exact.float(), rtol=0, atol=0, equal_nan=True, msg=message)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("level", [0.0, 1.0, 7.0, 33.33, 100.1, 128.0, 199.9, 254.3, 255.0])
def test_flatness_is_that_of_the_pixels(dtype, level):
    """A flat source leaves nothing to be kept, at any level, in any type, at any size."""
    for size in ((41, 41), (64, 90), (203, 187)):
        x = drawn(size, 1)["smooth"].to(dtype)
        flat = torch.full_like(x, level)
        for form in ({}, {"aggregate": "sum"}, {"unit": True}, {"saturate": True}):
            assert metrics.vif(x, flat, x, **form).isnan(), form
            assert metrics.vif(x, x, flat, **form).isnan(), form
        for function in (metrics.cc, metrics.scd):
            assert function(x, flat, x).isnan()
        assert metrics.cc(flat, x, x).isnan()
        assert metrics.sd(flat, x, x) == metrics.sf(flat, x, x) == metrics.ag(flat, x, x) == 0
        assert metrics.qw(x, flat, flat).isnan()
        assert metrics.viff(x, flat, flat).isfinite()


def test_large_flat_images():
    flat = torch.full((1, 2100, 1900), 254.3)
    for x in (flat, flat.double(), flat.half()):
        assert metrics.sd(x, x, x) == 0
        assert metrics.cc(x, x, x).isnan()


def test_the_dct_of_a_flat_image_is_flat():
    """Its rounding is no feature, whatever the level."""
    images = drawn((30, 33), 2)
    values = [metrics.fmi(images["noise"], images["noise"], images[name], feature="dct").item() for name in FLAT]
    assert values == pytest.approx([values[0]] * len(FLAT), abs=1e-12)
    pair = images["flat"], images["white"], images["white"]
    assert metrics.fmi(*pair, feature="dct") == pytest.approx(1, abs=5e-3)  # all but the window of the mean


CAUSES = {
    "flat": (("flat", "flat", "flat"), ("flat", "flat", "flat between levels"), ("white", "noise", "smooth")),
    "flat source": (("smooth", "flat", "noise"), ("noise", "smooth", "white"), ("noise", "flat", "flat")),
    "black": (("black", "noise", "smooth"), ("black", "black", "black"), ("noise", "black", "black")),
    "copy": (("smooth", "smooth", "noise"), ("noise", "binary", "noise"), ("noise", "noise", "noise")),
    "opposite": (("inverted", "smooth", "smooth"), ("other noise", "smooth", "inverted")),
}
WORDS = {
    "flat": ("constant", "equals", "strong edge", "an edge"),
    "flat source": ("constant", "strong edge", "an edge"),
    "black": ("constant", "black", "equals", "strong edge", "an edge"),
    "copy": ("equals", "the same", "fused minus a source"),
    "opposite": ("opposite", "the same but for contrast"),
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("cause", CAUSES)
def test_cards_say_why_a_value_is_missing_or_infinite(number, cause):
    function, options, facts, variant = looked_up(number)
    for names in CAUSES[cause]:
        for seed in (0, 5):
            value = function(*triple(sized(facts, variant, seed), seed, *names), **options)
            if not value.isfinite().all():
                why = facts.undefined_of(variant)
                assert any(word in why for word in WORDS[cause]), (names, value, why)


@pytest.mark.parametrize("number", NUMBERS)
def test_tables_print_digits_that_tell_methods_apart(number):
    """A variant on another scale has more or fewer decimals: three significant ones, or nearly the default's."""
    function, _, facts, variant = looked_up(number)
    images = triple((176, 190), 4, "smooth", "nearly the same", "other noise")

    def significant(name: str) -> int:
        value = abs(float(function(*images, **facts.variants[name].options)))
        return math.floor(math.log10(value)) + 1 + facts.digits_of(name)

    assert significant(variant) >= min(3, significant(facts.default) - 1)
