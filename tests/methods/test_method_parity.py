"""Every method whose card lists reference arrays, against what the authors' released code gave.

Oracle: arrays of the authors' code, with released weights or with weights made by a rule from their names.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import methods_parity
from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins import weights
from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.plugins.method import Method
from fusionbench.plugins.network_method import NetworkMethod, tiled
from fusionbench.plugins.records import ParityFacts
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.released import found

VAST = 100_000_000  # parameters, beyond which one size takes a minute
SLOW = 3_000_000  # parameters, beyond which a comparison is left to `make test-all`


@dataclass(frozen=True)
class Case:
    card: MethodCard
    facts: ParityFacts

    def __str__(self) -> str:
        options = "".join(f",{key}={value}" for key, value in self.facts.options.items())
        return f"{self.card.name}-{self.facts.weights}-{self.facts.output}{options}"


CASES = [Case(card, facts) for card in cards("method").values() for facts in card.facts.parity]
MARKED = [
    pytest.param(case, id=str(case), marks=[pytest.mark.slow] if (case.card.facts.parameters or 0) > SLOW else [])
    for case in CASES
]


def arrays(shared: Path, case: Case) -> Path:
    """The reference arrays: of the reference material, or those that ``benchmarks/authors_code.py`` made."""
    own = Path(__file__).parent / "authors" / case.facts.file
    return own if own.is_file() else shared / "reference/parity" / case.facts.file


def released_files(shared: Path, card: MethodCard, name: str) -> tuple[Path, ...]:
    """The files of a checkpoint below the reference material, by their hashes."""
    files = [files for _, listed, files in found([card], shared / "weights") if listed.name == name]
    assert files, f"no released weights {name} of {card.name}"
    return files[0]


def generated(
    shapes: dict[str, list[int]], gain: float, same: dict[str, str], own: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Weights by the rule of the reference arrays: of each name, from its checksum; integers stay as they are.

    ``same`` names tensors, or their beginnings, that are one with an earlier one; ``own`` is the network's state dict.
    """
    state: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        first = next((name.replace(late, early, 1) for late, early in same.items() if name.startswith(late)), name)
        if first != name:
            state[name] = state[first]
            continue
        plain = name.partition("/")[2] or name
        kept = next((own[n] for n in (name, name.replace("/", "."), plain) if n in own), None)
        if plain.endswith("num_batches_tracked") or (kept is not None and not kept.is_floating_point()):
            state[name] = torch.zeros(shape, dtype=torch.int64) if kept is None else kept
            continue
        rng = np.random.default_rng(zlib.crc32(plain.encode()))
        if plain.endswith("running_var"):
            value = 0.5 + rng.random(shape)
        elif plain.endswith("running_mean"):
            value = 0.1 * rng.standard_normal(shape)
        elif len(shape) == 1 and plain.endswith("weight"):
            value = 1 + 0.1 * rng.standard_normal(shape)
        else:
            fan_in = prod(shape[1:]) if len(shape) > 1 else (shape[0] if shape else 1)
            value = rng.standard_normal(shape) * (gain / np.sqrt(fan_in))
        state[name] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state


def nested(state: dict[str, Tensor]) -> dict[str, object]:
    """``net/name`` as the authors' files have it: a dict of state dicts."""
    if not any("/" in name for name in state):
        return dict(state)
    nets: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        net, _, plain = name.partition("/")
        nets.setdefault(net, {})[plain] = value
    return dict(nets)


def stored(path: Path, beginnings: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights that lie beside the arrays, under the checkpoint's names; float32, as methods compute."""
    state: dict[str, Tensor] = {}
    with np.load(path) as data:
        for name in data.files:
            for theirs, ours in beginnings.items():
                if name.startswith(theirs):
                    value = torch.from_numpy(np.asarray(data[name]))
                    state[ours + name.removeprefix(theirs)] = value.float() if value.is_floating_point() else value
    assert state, "no array begins so"
    return state


def state_of(case: Case, method: Method, shared: Path) -> dict[str, Tensor]:
    """The weights of a comparison, as the method converts them."""
    if case.facts.weights == "in file":
        return method.convert(nested(stored(arrays(shared, case), case.facts.state)))
    if case.facts.weights == "generated":
        folder = shared / "reference/parity"
        stem = case.facts.file.removesuffix("_forward.npz")
        shapes = json.loads((folder / f"{stem}_state_dict.json").read_text())
        with np.load(folder / case.facts.file) as data:
            gain = float(data["gain"]) if "gain" in data.files else 0.5
        own = getattr(method, case.facts.part).state_dict()
        return method.convert(nested(generated(shapes, gain, case.facts.same, own)))
    files = released_files(shared, case.card, case.facts.weights)
    if case.card.facts.files:
        return method.convert(
            {part: weights.read_tensors(f) for part, f in zip(case.card.facts.files, files, strict=True)}
        )
    return method.convert(weights.read_tensors(files[0]))


def array(data: Mapping[str, np.ndarray], name: str) -> Tensor:
    """An array by its name, an image with batch and channel; what follows the name: see ``ParityFacts.inputs``."""
    name, _, white = name.partition("/")
    name, _, channel = name.partition(":")
    value = torch.from_numpy(np.asarray(data[name]))
    value = value.float() if value.is_floating_point() else value
    value = value[None, None] if value.ndim == 2 and len(value) > 1 else value  # one row is a vector
    value = value / float(white) if white else value
    return value[:, int(channel) : int(channel) + 1] if channel else value


def built(case: Case, shared: Path, folder: Path) -> Method:
    """The method with the comparison's weights."""
    method: Method = resolve("method", case.card.name)(**case.facts.options)
    state = state_of(case, method, shared)
    if isinstance(method, NetworkMethod):
        method.network.load_state_dict(state)
    else:
        save_file(state, folder / "weights.safetensors")
        method.load(folder / "weights.safetensors")
    return method


@pytest.mark.real
@pytest.mark.parametrize("case", MARKED)
def test_output_is_that_of_the_released_code(shared: Path, case: Case, tmp_path: Path) -> None:
    method = built(case, shared, tmp_path)
    with np.load(arrays(shared, case)) as data, torch.inference_mode():
        called = getattr(getattr(method, case.facts.part), case.facts.call)
        out = called(*(array(data, name) for name in case.facts.inputs))
        out = out[case.facts.output.removeprefix("out_")] if isinstance(out, dict) else out
        wanted = array(data, case.facts.output)
        assert out.shape == wanted.shape
        error = float((out - wanted).abs().max())
        assert error <= 1e-4 * max(1.0, float(wanted.abs().max()))
        assert error <= case.facts.max_abs, "the card claims less"
        if case.facts.picture:
            check_picture(case, method, data)


def check_picture(case: Case, method: Method, data: Mapping[str, np.ndarray]) -> None:
    """What is saved of 8-bit sources, through the card's output rule."""
    output = case.card.facts.output
    rule = OutputRule(output.stretch, output.quantise, output.chroma) if output else OutputRule()
    ir = torch.from_numpy(data["crop_ir_u8"])[None, None].float() / 255
    vis = torch.from_numpy(data["crop_vi_rgb_u8"]).permute(2, 0, 1)[None].float() / 255
    wanted = torch.from_numpy(data[case.facts.picture])
    wanted = wanted[None] if wanted.ndim == 2 else wanted.permute(2, 0, 1)
    if case.facts.grey:
        rule = OutputRule(rule.stretch, rule.quantise, "none")
    picture = render(method.fuse(ir, vis), vis, rule)[0]
    assert picture.shape == wanted.shape
    apart = (picture.int() - wanted.int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart == 0).float().mean()) >= case.facts.equal, "the card claims more"


LEARNED = [card for card in cards("method").values() if card.facts.parity]


@pytest.mark.parametrize("card", LEARNED, ids=lambda c: c.name)
def test_card(card: MethodCard) -> None:
    facts = card.facts
    assert facts.family
    assert facts.paper
    assert facts.venue
    assert facts.year
    assert facts.urls
    assert facts.bibtex.strip().startswith("@")
    assert str(facts.year) in facts.bibtex
    assert f"{{{facts.paper}}}" in facts.bibtex
    if issubclass(kind := resolve("method", card.name), NetworkMethod) and (facts.parameters or 0) <= SLOW:
        assert sum(p.numel() for p in kind().network.parameters()) == facts.parameters


LOCAL = [card for card in LEARNED if getattr(resolve("method", card.name), "halo", 0)]


def seen_by_network(method: NetworkMethod, height: int, width: int) -> tuple[Tensor, ...]:
    """What a method's network is given of a random pair."""
    seen: list[tuple[Tensor, ...]] = []
    handle = method.network.register_forward_pre_hook(lambda _, images: seen.append(images))
    method.fuse(torch.rand(1, 1, height, width), torch.rand(1, 3, height, width))
    handle.remove()
    (images,) = seen
    return images


SIZES = {"sage": (92, 76)}  # which goes by tiles where sides are multiples of 4
WIDE = ("rfnnest", "swinfusion")  # seconds
STEP = 8  # the coarsest of windows and maps


@pytest.mark.parametrize(
    "card", [pytest.param(c, id=c.name, marks=[pytest.mark.slow] * (c.name in WIDE)) for c in LOCAL]
)
def test_tiles_give_the_whole_image(card: MethodCard) -> None:
    torch.manual_seed(0)
    method = resolve("method", card.name)()
    assert isinstance(method, NetworkMethod)
    side = 40 if method.halo < 40 else 72
    with torch.inference_mode():
        images, whole = seen_by_network(method, *SIZES.get(card.name, (2 * side + 10, 2 * side - 5))), method.network
        expected = whole(*images)
        near = 1e-5 * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(tiled(whole, method.halo, *images, side=side), expected, rtol=1e-4, atol=near)
        with pytest.raises((AssertionError, RuntimeError)):  # or the halo were idle, and this test would see nothing
            torch.testing.assert_close(tiled(whole, 0, *images, side=side), expected, rtol=1e-4, atol=near)


@pytest.mark.parametrize("card", LOCAL, ids=lambda c: c.name)
def test_the_halo_is_how_far_a_network_looks(card: MethodCard) -> None:
    """What is no number spreads to wherever it is looked at, however little that weighs."""
    torch.manual_seed(0)
    method = resolve("method", card.name)()
    assert isinstance(method, NetworkMethod)
    before = (method.halo // STEP + 2) * STEP
    high, wide = 2 * before + STEP, 24
    with torch.inference_mode():
        for turned in (False, True):
            images = [x.clone() for x in seen_by_network(method, *((wide, high) if turned else (high, wide)))]
            for x in images:
                x[(..., slice(before, before + STEP), *([slice(None)] * (not turned)))] = torch.nan
            reached = method.network(*images).isnan()[0, 0].any(0 if turned else 1).nonzero().flatten()
            reach = max(before - int(reached.min()), int(reached.max()) + 1 - before - STEP)
            assert method.halo - STEP < reach <= method.halo
    assert method.side % STEP == 0


def ready_to_fuse(card: MethodCard) -> Method:
    """The method with any weights: those that it is made with, or else those that come with it."""
    method: Method = resolve("method", card.name)()
    if not isinstance(method, NetworkMethod) and (own := [w.packaged for w in card.facts.weights if w.packaged]):
        method.load(card.path.parent / own[0])
    return method


SIZED = [
    pytest.param(card, id=card.name, marks=[pytest.mark.slow] if (card.facts.parameters or 0) > SLOW else [])
    for card in LEARNED
    if (card.facts.parameters or 0) <= VAST
]


@pytest.mark.parametrize("card", SIZED)
def test_odd_sizes_and_batches(card: MethodCard) -> None:
    torch.manual_seed(0)
    method = ready_to_fuse(card)
    for size in ((37, 51), (64, 48)):
        ir, vis = torch.rand(2, 1, *size), torch.rand(2, 3, *size)
        with torch.inference_mode():
            both = method.fuse(ir, vis)
            apart = torch.cat([method.fuse(a[None], b[None]) for a, b in zip(ir, vis, strict=True)])
        assert both.shape[-2:] == size
        assert both.shape[:2] in ((2, 1), (2, 3))
        torch.testing.assert_close(both, apart, rtol=1e-4, atol=1e-4)


def test_a_published_method_was_compared_or_has_no_rank() -> None:
    silent = [
        card.name
        for card in cards("method").values()
        if card.facts.paper and not (card.facts.parity or card.facts.agreement or card.facts.unverified)
    ]
    assert silent == ["laplacian"]  # a baseline of ours: the pyramid is Burt and Adelson's, the rule nobody's program


def test_the_page_says_what_the_cards_say() -> None:
    assert methods_parity.PAGE.read_text(encoding="utf-8") == methods_parity.page()
