"""Metrics, methods and recipes on a card that is none: nothing is left on the processor, little waits, values agree."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.method import Context
from fusionbench.metrics import planes
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.training.generators import seed_all
from fusionbench.training.precision import Precision
from tests.pretended import CARD, OnCard, card

LONG = ("mrfs", "mufusion", "swinfusion", "latlrr", "nsct", "nsct_sr", "uaafusion", "cddfuse", "gifnet", "smoa")
# At values of each picture: for the bins of a histogram, for where a sparse code ends, for levels that are counted.
LOOKS = {"hybrid_msd", "nsct_sr", "smoa"}
WITHOUT = {"images", "tdfusion"}  # pictures from files; a network that a checkpoint describes
METHODS = [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in cards("method") if n not in WITHOUT]


def pictures() -> tuple[Tensor, Tensor]:
    """A batch of two pairs."""
    draw = torch.Generator().manual_seed(0)
    return torch.rand(2, 1, 64, 80, generator=draw), torch.rand(2, 3, 64, 80, generator=draw)


def test_a_card_refuses_and_counts() -> None:
    here = torch.ones(3)
    with card() as seen:
        there = here.to(CARD)
        assert isinstance(there, OnCard)
        assert not seen.waits
        assert isinstance(torch.tensor([1.0, 2, 3], device=there.device) + there * 2 + there.new_tensor([3.0]), OnCard)
        with pytest.raises(RuntimeError, match="on the card and on cpu"):
            there + here
        assert not seen.waits
        assert there.sum().item() == 3
        assert there[there > 0].cpu().tolist() == [1, 1, 1]
    assert len(seen.waits) == 3


def test_a_card_has_derivatives() -> None:
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    x = torch.rand(2, 1, 6, 6)
    layer(x).square().sum().backward()
    expected = layer[0].weight.grad
    layer.zero_grad()
    with card() as seen:
        layer.to(CARD)
        layer(x.to(CARD)).square().sum().backward()
        assert not seen.waits
        torch.testing.assert_close(layer[0].weight.grad.cpu(), expected)


@pytest.mark.parametrize("name", cards("metric"))
def test_metric(name: str) -> None:
    draw, metric = torch.Generator().manual_seed(0), resolve("metric", name)
    images = [torch.randint(0, 256, (2, 49, 60), generator=draw, dtype=torch.uint8) for _ in range(3)]
    expected = metric(*images)
    with card() as seen, torch.no_grad():
        found = metric(*[planes(x.to(CARD)) for x in images])
        assert isinstance(found, OnCard)
        assert not seen.waits
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    torch.manual_seed(0)
    method, (ir, vis), about = resolve("method", name)(), pictures(), Context(["a", "b"])
    with torch.no_grad():
        expected = method.fuse(ir, vis, about)
        with card() as seen:
            method.to(CARD)
            pair = ir.to(CARD), vis.to(CARD)
            assert not seen.waits
            found = method.fuse(*pair, about)
            assert isinstance(found, OnCard)
            assert bool(seen.waits) == (name in LOOKS)
            torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- training

RECIPES = {  # a method or task: dataset, settings, and how often a step of its first kind waits at most
    "densefuse": ("msrs", ("batch=2",), 0),
    "tardal": ("msrs", ("batch=2",), 0),
    "cldyn": ("msrs", (), 0),
    "detection": ("msrs", ("resize=[96,128]",), 0),
    "segmentation": ("msrs", ("resize=[96,128]",), 0),
    "saliency": ("vt5000", ("resize=[96,128]",), 0),
}


@pytest.mark.slow
@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize("name", RECIPES)
def test_step_of_a_recipe(name: str, tmp_path: Path) -> None:
    """The loss of the processor, of a network that was built on the card; the update too is made there."""
    dataset, options, most = RECIPES[name]
    synth(dataset, tmp_path / dataset, 8, 1, (96, 128), 0)
    card_of = {**cards("method"), **cards("task")}[name]
    module, _, kind = card_of.data["training"][0]["recipe"].partition(":")

    def stepped(device: torch.device, waits: list[str]) -> Tensor:
        recipe = getattr(import_module(f"{card_of.module}.{module}"), kind)()
        recipe.datasets = {dataset: open_dataset(dataset, tmp_path / dataset, exact=True)}
        settings = recipe.presets.choose([dataset], size="tiny", options=options)
        recipe.precision = Precision("fp32", device)
        seed_all(0)
        recipe.build(settings, device)
        seed_all(0)
        batch = recipe.load(recipe.batches(0, 0)[0], 0, 0)
        waits.clear()
        return recipe.step(batch)["loss"]

    expected = stepped(torch.device("cpu"), [])
    with card() as seen:
        found = stepped(CARD, seen.waits)
        assert isinstance(found, OnCard)
        assert len(seen.waits) <= most, seen.waits
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-6)
