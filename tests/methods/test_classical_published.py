"""The classical methods by generated inputs, and beside the pictures that others published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.agreement import measure
from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.plugins.registry import resolve

CLASSICAL = [card for card in cards("method").values() if card.facts.family == "classical"]
SIZES = [(37, 51), (64, 48), (16, 33)]


def scene(seed: int, height: int, width: int, channels: int, batch: int = 1) -> torch.Tensor:
    """Smooth areas with some texture, in [0,1]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, channels, 5, 6, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth + 0.1 * torch.randn(batch, channels, height, width, generator=g)).clamp(0, 1)


@pytest.mark.parametrize("card", CLASSICAL, ids=lambda card: card.name)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_and_each_image_by_itself(card: MethodCard, size: tuple[int, int]) -> None:
    method = resolve("method", card.name)()
    ir, vis = scene(1, *size, 1, batch=2), scene(2, *size, 3, batch=2)
    kept = ir.clone(), vis.clone()
    both = method.fuse(ir, vis)
    assert torch.equal(ir, kept[0])
    assert torch.equal(vis, kept[1])
    assert both.shape == (2, 1, *size)
    assert both.dtype == torch.float32
    assert both.isfinite().all()
    apart = torch.cat([method.fuse(a[None], b[None]) for a, b in zip(ir, vis, strict=True)])
    torch.testing.assert_close(both, apart, rtol=0, atol=1e-5)


@pytest.mark.parametrize("card", CLASSICAL, ids=lambda card: card.name)
def test_flat_sources_give_numbers(card: MethodCard) -> None:
    method = resolve("method", card.name)()
    black, grey = torch.zeros(1, 1, 24, 31), torch.full((1, 3, 24, 31), 0.5)
    for ir, vis in ((black, grey), (grey[:, :1], black.expand(-1, 3, -1, -1)), (black, black.expand(-1, 3, -1, -1))):
        assert method.fuse(ir, vis).isfinite().all()


@pytest.mark.parametrize("card", CLASSICAL, ids=lambda card: card.name)
def test_equal_sources_come_back(card: MethodCard) -> None:
    image = scene(3, 45, 38, 1)
    fused = resolve("method", card.name)().fuse(image, image.expand(-1, 3, -1, -1))
    assert (fused - image).abs().max() < 1e-4


@pytest.mark.parametrize("card", CLASSICAL, ids=lambda card: card.name)
def test_card(card: MethodCard) -> None:
    facts = card.facts
    assert facts.paper
    assert facts.venue
    assert facts.year
    assert facts.urls
    assert f"{{{facts.paper}}}" in facts.bibtex
    assert f"{{{facts.year}}}" in facts.bibtex
    assert bool(facts.agreement) != bool(facts.unverified), "published pictures, or a word on why there are none"
    assert resolve("method", card.name)().options == {name: option.default for name, option in facts.options.items()}


PUBLISHED = [
    pytest.param(card, id=card.name, marks=[pytest.mark.slow] if card.facts.slow else [])
    for card in CLASSICAL
    if card.facts.agreement
]


@pytest.mark.real
@pytest.mark.parametrize("card", PUBLISHED)
def test_pictures_are_like_the_published_ones(card: MethodCard, shared: Path) -> None:
    method = resolve("method", card.name)()
    for facts in card.facts.agreement:
        for pair in measure(method, facts, shared, ("manWalking", "carShadow")):
            assert pair.correlation >= facts.worst - 1e-4, f"{pair}: the card claims {facts.worst}"
            assert pair.difference <= 3 * facts.difference, f"{pair}: the card claims {facts.difference} on average"
