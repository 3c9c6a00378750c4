"""The way that metrics go on a GPU, gone on the processor: the same values, and nothing that waits for the device."""

from __future__ import annotations

import pytest
import torch
from test_properties import CARDS, NUMBERS, triples
from torch.profiler import ProfilerActivity, profile

from fusionbench.metrics import as_on_a_device, planes
from fusionbench.plugins.registry import resolve
from tests.waits import NeverWaits

SIZES = ((1, 193, 174), (3, 64, 81), (2, 45, 41), (1, 2, 3))  # the first is large enough for all


def called(number: str):
    name, _, variant = number.partition("@")
    function, options = resolve("metric", name), CARDS[name]["variants"][variant].get("options", {})
    return lambda *images: function(*images, **options)


@pytest.mark.parametrize("work", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: bool(x.any())])
def test_waiting_is_noticed(work):
    with NeverWaits(), pytest.raises(AssertionError, match="waits"):
        work(torch.ones(3))


@pytest.mark.parametrize("number", NUMBERS)
def test_values_without_waiting(number):
    metric = called(number)
    for seed, (batch, *size) in enumerate(SIZES):
        images = triples(tuple(size), seed, batch)
        expected = metric(*images)
        for kind in (torch.uint8, torch.float64):
            wrapped = [planes(x.to(kind)) for x in images]
            with as_on_a_device(), NeverWaits():
                value = metric(*wrapped)
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


def operations(names: tuple[str, ...], images) -> dict[str, int]:
    """Calls of an operation by its name."""
    metrics = [resolve("metric", name) for name in names]
    wrapped = [planes(x) for x in images]
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for metric in metrics:
            metric(*wrapped)
    return {event.key: event.count for event in seen.key_averages()}


def test_one_product_per_axis():
    """However many images and outputs; the processor's tiles are many."""
    images, eight = triples((193, 300), 1, 4), ("en", "sf", "scd", "vif", "qabf", "ssim", "mi", "qcv")
    tiled = operations(eight, images)
    with as_on_a_device():
        whole = operations(eight, images)
    products = [sum(counts.get(f"aten::{kind}", 0) for kind in ("mm", "bmm")) for counts in (whole, tiled)]
    assert products[0] == whole["aten::mm"] * 2 == whole["aten::bmm"] * 2
    assert products[1] > 4 * products[0]
