"""Comparing rows of tables: paired differences of two entries, stability of rankings across profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Metric
from fusionbench.report.ranking import holm
from fusionbench.report.rows import Values, interval
from fusionbench.report.tables import Table

AVERAGE = "average rank"
PARAMETER = "mean paired difference"
PERMUTATIONS = 9999
BATCH = 1 << 20  # values at a time


@dataclass(frozen=True)
class Difference:
    """A minus B under one metric, over the images where both are defined.

    Everything is about one parameter, the mean of the paired differences, by which tables rank too.

    Attributes:
        mean: mean of the paired differences.
        low, high: its 95 % percentile bootstrap interval (2000 resamples, seed 0); NaN for a single image.
        p: its two-sided p value, Holm-corrected over the metrics, by permutation: the signs of the differences are
            drawn anew (9,999 times, seed 0; all ways of setting them where there are fewer). NaN when all are zero.
        effect: it in standard deviations of the differences (Cohen's d for pairs); infinite where all are the same.
        better: which of the two is better, or "": p < 0.05 and the interval lies on one side of zero.
    """

    metric: Metric
    n: int
    a: float
    b: float
    mean: float
    low: float
    high: float
    p: float
    effect: float
    better: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two entries of one table, metric by metric."""

    dataset: str
    protocol: str
    images: int
    first: str
    second: str
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        metrics = {
            d.metric.id: {
                "n": d.n,
                "direction": "up" if d.metric.up else "down",
                self.first: d.a,
                self.second: d.b,
                "difference": d.mean,
                "ci95": [d.low, d.high],
                "p_holm": d.p,
                "effect": d.effect,
                "better": d.better,
            }
            for d in self.differences
        }
        facts = {"dataset": self.dataset, "protocol": self.protocol, "images": self.images, "parameter": PARAMETER}
        return {**facts, "metrics": metrics}


def compare(table: Table, first: str, second: str) -> Comparison:
    """Paired comparison of two entries of a table on the same images.

    Raises:
        FusionbenchError: when the table lacks one of them.
    """
    rows = {r.id: r for r in table.rows}
    for name in (first, second):
        if name not in rows:
            raise FusionbenchError(
                f"no entry {name!r} in the results of {table.board.dataset}; there are: {', '.join(rows)}"
            )
    differences = []
    for m in table.metrics:
        a, b = rows[first].values[m.id], rows[second].values[m.id]
        both = ~(np.isnan(a) | np.isnan(b))
        if both.any():
            differences.append(_difference(m, a[both], b[both]))
    return Comparison(
        dataset=table.board.dataset,
        protocol=table.board.protocol,
        images=len(table.ids),
        first=first,
        second=second,
        differences=tuple(_holm(differences, first, second)),
    )


def _difference(m: Metric, a: Values, b: Values) -> Difference:
    """Of values ``[N]`` on the same images; p is not corrected yet, and nobody is called better."""
    d = a - b
    mean, spread, p = float(d.mean()), float(d.std(ddof=1)) if d.size > 1 else math.nan, math.nan
    if d.size == 1 and d.any():
        p = 1.0  # both ways of setting its sign are as far from zero
    elif d.any():
        p = float(
            stats.permutation_test(
                (d,),
                lambda values, axis: values.mean(axis),
                permutation_type="samples",  # of one sample: its signs
                vectorized=True,
                n_resamples=PERMUTATIONS,
                batch=max(1, BATCH // d.size),
                random_state=np.random.default_rng(0),
            ).pvalue
        )
    low, high = interval(d) if d.size > 1 else (math.nan, math.nan)
    effect = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    return Difference(m, d.size, float(a.mean()), float(b.mean()), mean, low, high, p, effect, "")


def _holm(differences: Sequence[Difference], first: str, second: str) -> list[Difference]:
    """Holm's step-down correction of the p values, and who is better after it."""
    known = [i for i, d in enumerate(differences) if not math.isnan(d.p)]
    corrected = dict(zip(known, holm([differences[i].p for i in known]), strict=True))
    results = []
    for i, d in enumerate(differences):
        p = corrected.get(i, math.nan)
        clear = p < 0.05 and (d.low > 0 or d.high < 0)
        winner = (first if (d.mean > 0) == d.metric.up else second) if clear else ""
        results.append(replace(d, p=p, better=winner))
    return results


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How one metric's ranking of the same entries changes with the profile.

    Attributes:
        metric: name of the metric.
        variants: profile to metric id.
        order: profile to entry ids, best first.
        means: profile to entry id to mean.
        tau: Kendall's tau between every two profiles.
    """

    metric: str
    variants: dict[str, str]
    order: dict[str, list[str]]
    means: dict[str, dict[str, float]]
    tau: dict[tuple[str, str], float]

    @property
    def first_places(self) -> dict[str, str]:
        """Profile to the entry it puts first."""
        return {p: names[0] for p, names in self.order.items()}

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        tau = {f"{a} / {b}": t for (a, b), t in self.tau.items()}
        return {"metric": self.metric, "variants": self.variants, "order": self.order, "tau": tau}


def stability(tables: Mapping[str, Table]) -> list[Stability]:
    """Rankings of the same entries and images under several profiles.

    Args:
        tables: profile to a table over the same rows.

    Returns:
        One item per metric that at least two profiles have in different variants; of several, their average rank last.
    """
    metrics: dict[str, dict[str, Metric]] = {}
    for profile, table in tables.items():
        for m in table.metrics:
            metrics.setdefault(m.card.name, {})[profile] = m
    items = [_stability(name, variants, tables) for name, variants in metrics.items()]
    found = [item for item in items if item is not None]
    return found + ([_overall(tables)] if len(found) > 1 else [])


def _overall(tables: Mapping[str, Table]) -> Stability:
    """The average rank over each profile's metrics."""
    ranks = {p: table.average_ranks() for p, table in tables.items()}
    shared = sorted(set.intersection(*(set(own) for own in ranks.values())))
    return Stability(
        metric=AVERAGE,
        variants={p: counted(len(table.metrics), "metric") for p, table in tables.items()},
        order={p: sorted(shared, key=lambda e: (own[e], e)) for p, own in ranks.items()},
        means={p: {e: own[e] for e in shared} for p, own in ranks.items()},
        tau={
            (p, q): float(stats.kendalltau([ranks[p][e] for e in shared], [ranks[q][e] for e in shared])[0])
            for p, q in combinations(tables, 2)
        },
    )


def _stability(name: str, variants: Mapping[str, Metric], tables: Mapping[str, Table]) -> Stability | None:
    """Of one metric (profile to variant); None where the variants are the same, or share fewer than two entries."""
    if len({m.id for m in variants.values()}) < 2:
        return None
    means = {p: {r.id: r.mean(m.id) for r in tables[p].ranked} for p, m in variants.items()}
    shared = sorted(set.intersection(*({k for k, v in d.items() if not math.isnan(v)} for d in means.values())))
    if len(shared) < 2:
        return None
    signed = {p: [(-1 if m.up else 1) * means[p][e] for e in shared] for p, m in variants.items()}
    return Stability(
        metric=name,
        variants={p: m.id for p, m in variants.items()},
        order={p: [e for _, e in sorted(zip(signed[p], shared, strict=True))] for p in variants},
        means={p: {e: means[p][e] for e in shared} for p in variants},
        tau={(p, q): float(stats.kendalltau(signed[p], signed[q])[0]) for p, q in combinations(variants, 2)},
    )
