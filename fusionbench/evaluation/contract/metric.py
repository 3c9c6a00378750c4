"""The contract of a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from fusionbench.evaluation.contract.report import Report, need
from fusionbench.evaluation.contract.samples import sample_images
from fusionbench.metrics import Planes
from fusionbench.plugins.cards import MetricCard
from fusionbench.plugins.registry import resolve


def check_metric(entry: MetricCard, report: Report) -> None:
    """Of every variant: a value for each image, the same in a batch and for integer and float levels, in the range."""
    function: Callable[..., Tensor] = resolve("metric", entry.name)
    size = max(64, *map(entry.facts.min_size_of, entry.facts.variants))
    fused, ir, vis = sample_images(3, size, size + 9)
    images = (fused, ir, vis[:, :1])
    for name, variant in entry.facts.variants.items():
        options = variant.options
        with report.check(f"@{name}: batch"):
            whole = function(*images, **options)
            need(whole.shape == (3,), f"returned {list(whole.shape)} for a batch of 3; expected [3]")
            single = torch.cat([function(*(x[i : i + 1] for x in images), **options) for i in range(3)])
            need(
                _equal(whole, single),
                f"a batch of 3 differs from 3 batches of one: {whole.tolist()} and {single.tolist()}",
            )
        with report.check(f"@{name}: as eval calls it"):
            shared = _of_planes(function, images, options)
            need(_equal(shared, function(*images, **options)), "planes and tensors give different values")
        with report.check(f"@{name}: uint8 and float64 agree"):
            floats = function(*(x.double() for x in images), **options)
            need(_equal(function(*images, **options), floats), "uint8 and float64 input give different values")
        with report.check(f"@{name}: range"):
            low, high = entry.facts.range_of(name)
            values = function(*images, **options)
            values = values[~values.isnan()]
            need(((values >= low - 1e-9) & (values <= high + 1e-9)).all(), f"{values.tolist()} outside [{low}, {high}]")


def _of_planes(
    function: Callable[..., Tensor], images: Sequence[Tensor], options: Mapping[str, bool | int | float | str]
) -> Tensor:
    """The values of images wrapped as `eval` wraps them, so that metrics share what they derive from one."""
    try:
        return function(*map(Planes, images), **options)
    except Exception as error:
        raise TypeError(
            f"eval gives images as Planes, which this metric does not take ({type(error).__name__}: {error}): "
            "decorate it with per_image or begin with aligned, both of fusionbench.metrics (docs/metrics.md)"
        ) from error


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)
