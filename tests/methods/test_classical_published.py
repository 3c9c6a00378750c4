"""The classical methods by generated inputs, and beside the pictures that others published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.agreement import measure, ready
from fusionbench.methods.adf import principal_weights
from fusionbench.methods.dwt import compose, decompose
from fusionbench.methods.gtf import tv_l1
from fusionbench.methods.latlrr import ROUNDS, shares
from fusionbench.methods.ratio_pyramid import ContrastPyramid, RatioPyramid
from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.released import found
from fusionbench.plugins.weights import add

CLASSICAL = [card for card in cards("method").values() if card.facts.family == "classical"]
SIZES = [(37, 51), (64, 48), (16, 33)]
MARKED = [pytest.param(card, id=card.name, marks=[pytest.mark.slow] if card.facts.slow else []) for card in CLASSICAL]


def scene(seed: int, height: int, width: int, channels: int, batch: int = 1) -> torch.Tensor:
    """Smooth areas with some texture, in [0,1]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, channels, 5, 6, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth + 0.1 * torch.randn(batch, channels, height, width, generator=g)).clamp(0, 1)


@pytest.mark.parametrize("card", MARKED)
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
    if card.name == "latlrr":  # adds salient parts: by its definition brighter than its sources
        assert (fused - image).mean() > 0
        return
    assert (fused - image).abs().max() < 1e-4


@pytest.mark.parametrize("card", [c for c in CLASSICAL if c.facts.bibtex], ids=lambda card: card.name)
def test_card(card: MethodCard) -> None:
    facts = card.facts
    assert facts.paper
    assert facts.venue
    assert facts.year
    assert facts.urls
    assert f"{{{facts.paper}}}" in facts.bibtex
    assert f"{{{facts.year}}}" in facts.bibtex
    if card.name != "laplacian":  # a baseline of ours, in no one's program: nothing to compare it with
        assert facts.agreement or facts.unverified, "published pictures, or a word on why there are none"
    assert resolve("method", card.name)().options == {name: option.default for name, option in facts.options.items()}


PUBLISHED = [
    pytest.param(card, id=card.name, marks=[pytest.mark.slow] if card.facts.slow else [])
    for card in CLASSICAL
    if card.facts.agreement
]


@pytest.mark.real
@pytest.mark.parametrize("card", PUBLISHED)
def test_pictures_are_like_the_published_ones(card: MethodCard, shared: Path) -> None:
    if card.facts.requires_weights:
        here = found([card], shared / "weights")
        if not here:
            pytest.skip("its dictionary is not among the reference material's weights")
        add(card.name, here[0][2])
    method = ready(card.name)
    for facts in card.facts.agreement:
        for pair in measure(method, facts, shared, ("fight", "carShadow")):
            assert pair.correlation >= facts.worst - 1e-4, f"{pair}: the card claims {facts.worst}"
            assert pair.difference <= 3 * facts.difference, f"{pair}: the card claims {facts.difference} on average"


def full_latlrr(x: torch.Tensor, rounds: int, lam: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The alternating directions of Liu and Yan on whole matrices, noise included."""
    height, width = x.shape
    z, j, y2 = (x.new_zeros(width, width) for _ in range(3))
    left, k, y3 = (x.new_zeros(height, height) for _ in range(3))
    noise, y1 = torch.zeros_like(x), torch.zeros_like(x)
    penalty = 1e-6

    def shrunk(a: torch.Tensor) -> torch.Tensor:
        u, s, v = torch.linalg.svd(a)
        return (u * (s - 1 / penalty).clamp(min=0)) @ v

    for _ in range(rounds):
        j, k = shrunk(z + y2 / penalty), shrunk(left + y3 / penalty)
        right = x.mT @ (x - left @ x - noise) + j + (x.mT @ y1 - y2) / penalty
        z = torch.linalg.solve(torch.eye(width, dtype=x.dtype) + x.mT @ x, right)
        right = (x - x @ z - noise) @ x.mT + k + (y1 @ x.mT - y3) / penalty
        left = torch.linalg.solve(torch.eye(height, dtype=x.dtype) + x @ x.mT, right.mT).mT
        rest = x - x @ z - left @ x + y1 / penalty
        noise = rest.sign() * (rest.abs() - lam / penalty).clamp(min=0)
        y1 = y1 + penalty * (x - x @ z - left @ x - noise)
        y2, y3 = y2 + penalty * (z - j), y3 + penalty * (left - k)
        penalty *= 1.1
    return x @ z, left @ x


def test_latlrr_is_the_full_iteration() -> None:
    ir, vis = scene(4, 20, 24, 1).double(), scene(5, 20, 24, 1).double()
    parts = [full_latlrr(x[0, 0], ROUNDS, lam=1e6) for x in (ir, vis)]  # so large that the noise stays zero
    wanted = (parts[0][0] + parts[1][0]) / 2 + parts[0][1] + parts[1][1]
    fused = resolve("method", "latlrr")().fuse(ir, vis.expand(-1, 3, -1, -1))
    assert (fused[0, 0] - wanted).abs().max() < 1e-6


def test_latlrr_keeps_the_sum() -> None:
    low, salient = shares(torch.tensor([100.0, 10.0, 3.0, 1.0], dtype=torch.float64))
    assert ((low + salient) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_wavelets_come_back_and_keep_the_energy(wavelet: str) -> None:
    x = scene(6, 18, 26, 1).double()
    parts = decompose(x, wavelet)
    assert (compose(parts, wavelet) - x).abs().max() < 1e-12
    assert (parts.square().sum() - x.square().sum()).abs() < 1e-9
    assert (decompose(torch.ones_like(x), wavelet)[:, 1:]).abs().max() < 1e-12
    short = scene(7, 2, 2, 1).double()
    assert (compose(decompose(short, wavelet), wavelet) - short).abs().max() < 1e-12


def test_tv_l1_removes_what_is_small_and_keeps_what_is_large() -> None:
    x = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    x[..., 5:35, 5:35] = 1
    x[..., 20, 20] = 0
    smooth = tv_l1(x, 1.0, 8, 60)
    assert smooth[0, 0, 20, 20] > 0.9
    assert smooth[0, 0, 20, 10] > 0.9
    assert smooth[0, 0, 1, 1].abs() < 0.1


def test_pyramids_choose_by_proportion_or_by_contrast() -> None:
    half, more = torch.tensor([0.5]), torch.tensor([1.8])
    assert RatioPyramid().strength(half) > RatioPyramid().strength(more)
    assert ContrastPyramid().strength(half) < ContrastPyramid().strength(more)


def test_principal_weights() -> None:
    a = scene(8, 20, 20, 1)
    assert torch.allclose(principal_weights(a, a)[0], torch.tensor(0.5))
    assert torch.allclose(principal_weights(3 * a, a)[0], torch.tensor(0.75))
    assert torch.allclose(principal_weights(3 * a, -a)[0], torch.tensor(0.75))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tif", {"window": 4}),
        ("fpde", {"steps": 0}),
        ("adf", {"rate": 0.3}),
        ("msvd", {"levels": 0}),
        ("gtf", {"lam": 0.0}),
        ("vsmwls", {"levels": 0}),
        ("dwt", {"wavelet": "db9"}),
        ("dwt", {"window": 2}),
        ("dtcwt", {"levels": 0}),
        ("nsct", {"directions": ""}),
        ("nsct", {"directions": "26"}),
        ("nsct_sr", {"directions": "²"}),
        ("rp_sr", {"levels": 0}),
        ("ratio_pyramid", {"levels": 0}),
        ("contrast_pyramid", {"levels": 0}),
    ],
)
def test_settings_without_meaning(name: str, options: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        resolve("method", name)(**options)
