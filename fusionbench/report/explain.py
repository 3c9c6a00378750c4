"""Which variant of a metric a published number can be.

The evidence is the tables under ``leaderboards/``: for every variant, the span of the means that real methods reached
on real images. A value outside the definition's range is impossible, one far outside the measured span implausible.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fusionbench.plugins.cards import Card

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
    """What one variant says of a value: ``impossible``, ``implausible``, ``plausible`` or ``unmeasured``."""

    variant: str
    verdict: str
    formula: str
    used_by: tuple[str, ...]
    spans: tuple[Span, ...]


def measured(metric: str) -> dict[str, list[Span]]:
    """Variant to the spans found in the committed tables; source-only rows are left out."""
    found: dict[str, list[Span]] = {}
    for path in sorted(resources.files("fusionbench.leaderboards").iterdir(), key=lambda p: p.name):
        if not path.name.endswith(".json") or path.name.endswith(".provenance.json"):
            continue
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for column in table.get("metrics", []):
            name, _, variant = column["id"].partition("@")
            if name != metric or "/" in variant:
                continue
            means = [r["scores"][column["id"]]["mean"] for r in table["rows"] if not r["source_only"]]
            means = [v for v in means if v is not None]
            if means:
                found.setdefault(variant, []).append(
                    Span(table["dataset"], table["images"], len(means), min(means), max(means))
                )
    return found


def explain(entry: Card, value: float) -> list[Verdict]:
    """Judge a value under every variant of a metric, the plausible ones first."""
    spans = measured(entry.name)
    found = []
    for name, variant in entry.data["variants"].items():
        low, high = variant.get("range", entry.data["range"])
        mine = tuple(spans.get(name, ()))
        if not low <= value <= high or math.isnan(value):
            verdict = "impossible"
        elif not mine:
            verdict = "unmeasured"
        else:
            verdict = "plausible" if any(_near(s, value) for s in mine) else "implausible"
        found.append(Verdict(name, verdict, variant.get("formula", ""), tuple(variant.get("used_by", ())), mine))
    order = ("plausible", "unmeasured", "implausible", "impossible")
    return sorted(found, key=lambda v: order.index(v.verdict))


def _near(span: Span, value: float) -> bool:
    room = MARGIN * (span.high - span.low) or abs(span.high) * 0.1
    return span.low - room <= value <= span.high + room
