"""Which variant of a metric a published number can be.

The evidence is the tables under ``leaderboards/``: for every variant, the means that real methods reached on real
images. A value outside the definition's range is impossible, one far outside the measured span implausible.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from fusionbench.plugins.cards import MetricCard, cards
from fusionbench.report.printed import committed
from fusionbench.report.published import PublishedTable, read

PROVENANCE = ".provenance.json"
ORDER = ("plausible", "unmeasured", "unreached", "implausible", "impossible")
MARGIN = 0.5  # of the measured span, on either side: other methods and images than ours exist


@dataclass(frozen=True)
class Span:
    """Means of real methods under one variant on one dataset.

    Attributes:
        dataset: its name.
        images: the most that one of the means is over.
        entries: number of methods.
        low, high: the smallest and the largest mean.
    """

    dataset: str
    images: int
    entries: int
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A value under one variant.

    Attributes:
        variant: its name.
        verdict: ``plausible``: between means that were reached on a dataset; ``unreached``: beyond them, by no more
            than half of how far they lie apart; ``implausible``: further; ``impossible``: beyond the definition's
            range; ``unmeasured``.
        formula: of the variant.
        used_by: whose programs compute it.
        spans: what was measured.
    """

    variant: str
    verdict: str
    formula: str
    used_by: tuple[str, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Evidence:
    """Means under one column on one dataset: entry to its mean, of the table with the most images that has it."""

    dataset: str
    means: Mapping[str, float]
    images: int

    @property
    def span(self) -> Span:
        """From the smallest to the largest mean."""
        return Span(self.dataset, self.images, len(self.means), min(self.means.values()), max(self.means.values()))


def tables() -> Iterator[PublishedTable]:
    """The committed tables of real images, those with the most images first, without rows of weights of one's own."""
    paths = sorted(committed("").rglob(f"*{PROVENANCE}"))
    every = [_table(path.with_name(path.name.removesuffix(PROVENANCE) + ".json")) for path in paths]
    yield from sorted((t for t in every if t.dataset in cards("dataset")), key=lambda t: -t.images)


@lru_cache(maxsize=256)
def _table(path: Path) -> PublishedTable:
    table = read(path, PublishedTable)
    return msgspec.structs.replace(table, rows=tuple(row for row in table.rows if _known(row.id)))


def _known(ident: str) -> bool:
    """Whether a row's weights, if it has any, are of those that the method's card lists: what papers may have run."""
    method, _, inside = ident.partition("[")
    card = cards("method").get(method)
    named = inside.rstrip("]").partition(",")[0]
    return not (card and card.facts.requires_weights) or named in {weights.name for weights in card.facts.weights}


def evidence(metric: str, datasets: Collection[str] = ()) -> dict[str, list[Evidence]]:
    """Variant to what was measured of it, a dataset each; unranked rows are left out, as are generated scenes.

    Args:
        metric: its name.
        datasets: only of these; of all, where none is named.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    images: dict[tuple[str, str], int] = {}
    for table in tables():
        for column in table.metrics:
            name, _, variant = column.id.partition("@")
            if name != metric or "/" in variant or (datasets and table.dataset not in datasets):
                continue
            here = variant, table.dataset
            for row in table.rows:
                mean = row.scores[column.id].mean if row.ranked else None
                if mean is not None and math.isfinite(mean):
                    means.setdefault(here, {}).setdefault(row.id, mean)
                    images.setdefault(here, table.images)
    found: dict[str, list[Evidence]] = {}
    for (variant, where), own in sorted(means.items()):
        found.setdefault(variant, []).append(Evidence(where, own, images[variant, where]))
    return found


def verdicts(entry: MetricCard, value: float, datasets: Collection[str] = ()) -> list[Verdict]:
    """Judge a value under every variant of a metric, the plausible ones first.

    Args:
        entry: the metric's card.
        value: in print.
        datasets: judged by these alone; by all, where none is named.
    """
    measured = evidence(entry.name, datasets)
    every = []
    for name, variant in entry.facts.variants.items():
        low, high = entry.facts.range_of(name)
        own = tuple(e.span for e in measured.get(name, ()))
        if not low <= value <= high or math.isnan(value):
            verdict = "impossible"
        elif not own:
            verdict = "unmeasured"
        else:
            verdict = min((_place(s, value) for s in own), key=ORDER.index)
        every.append(Verdict(name, verdict, variant.formula, variant.used_by, own))
    return sorted(every, key=lambda v: ORDER.index(v.verdict))


def _place(span: Span, value: float) -> str:
    """Where a value lies beside what was measured; half of its last digit is its own doubt."""
    _, _, decimals = repr(value).partition(".")
    half = 0.5 * 10.0 ** -len(decimals) if decimals.isdigit() else 0.0
    room = MARGIN * (span.high - span.low) or abs(span.high) * 0.1
    for verdict, beyond in (("plausible", half), ("unreached", room)):
        if span.low - beyond <= value <= span.high + beyond:
            return verdict
    return "implausible"
