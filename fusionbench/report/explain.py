"""Which variant of a metric a published number can be.

The evidence is the tables under ``leaderboards/``: for every variant, the span of the means that real methods reached
on real images. A value outside the definition's range is impossible, one far outside the measured span implausible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fusionbench.plugins.cards import MetricCard
from fusionbench.report.published import PublishedTable, read

MARGIN = 0.5  # of the measured span, on either side: other methods and images than ours exist


@dataclass(frozen=True)
class Span:
    """Means of real methods under one variant on one dataset."""

    dataset: str
    images: int
    entries: int
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A value under one variant: ``impossible``, ``implausible``, ``plausible`` or ``unmeasured``."""

    variant: str
    verdict: str
    formula: str
    used_by: tuple[str, ...]
    spans: tuple[Span, ...]


def measured(metric: str) -> dict[str, list[Span]]:
    """Variant to the spans of the committed tables; unranked rows are left out."""
    spans: dict[str, list[Span]] = {}
    for path in sorted(Path(str(resources.files("fusionbench.leaderboards"))).glob("*.json")):
        if path.name.endswith(".provenance.json"):
            continue
        table = read(path, PublishedTable)
        for column in table.metrics:
            name, _, variant = column.id.partition("@")
            if name != metric or "/" in variant:
                continue
            means = [r.scores[column.id].mean for r in table.rows if r.ranked]
            values = [v for v in means if v is not None]
            if values:
                span = Span(table.dataset, table.images, len(values), min(values), max(values))
                spans.setdefault(variant, []).append(span)
    return spans


def verdicts(entry: MetricCard, value: float) -> list[Verdict]:
    """Judge a value under every variant of a metric, the plausible ones first."""
    spans = measured(entry.name)
    every = []
    for name, variant in entry.facts.variants.items():
        low, high = entry.facts.range_of(name)
        own = tuple(spans.get(name, ()))
        if not low <= value <= high or math.isnan(value):
            verdict = "impossible"
        elif not own:
            verdict = "unmeasured"
        else:
            verdict = "plausible" if any(_near(s, value) for s in own) else "implausible"
        every.append(Verdict(name, verdict, variant.formula, variant.used_by, own))
    order = ("plausible", "unmeasured", "implausible", "impossible")
    return sorted(every, key=lambda v: order.index(v.verdict))


def _near(span: Span, value: float) -> bool:
    room = MARGIN * (span.high - span.low) or abs(span.high) * 0.1
    return span.low - room <= value <= span.high + room
