"""Using the numbers: per-image frames, paired comparison, stability of rankings across profiles."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import Metric, metric
from fusionbench.report.tables import RESAMPLES, Table
from fusionbench.results.store import Store

if TYPE_CHECKING:
    import pandas as pd


def frame(store: Store, boards: Iterable[dict[str, Any]], entries: Iterable[str] = ()) -> pd.DataFrame:
    """Every per-image score of current code, one row each, with the hashes that say what it was computed from.

    Args:
        store: an output directory's results.
        boards: which datasets, splits and output rules.
        entries: only these ids or method names.
    """
    import pandas as pd

    wanted, rows = set(entries), []
    metrics = {}
    for name in store.metrics():
        with contextlib.suppress(PluginError):  # of a plugin that is not here now
            metrics[name] = metric(name)
    scores = store.scores({name: m.code for name, m in metrics.items()})
    for board in boards:
        pairs = store.pairs(board["dataset"], board["split"])
        failures = store.failures(board["dataset"], board["split"])
        for key, info in store.entries(board["output"]).items():
            if wanted and info["id"] not in wanted and info["method"] not in wanted:
                continue
            fused = store.fused(key)
            for ident, pair in pairs.items():
                if pair not in fused or (key, ident) in failures or ("", ident) in failures:
                    continue
                image = fused[pair][0]
                for name, m in metrics.items():
                    if (image, pair, name) in scores:
                        rows.append(
                            {
                                "protocol": board["protocol"],
                                "dataset": board["dataset"],
                                "split": board["split"],
                                "split_sha256": board["split_sha256"],
                                "entry": info["id"],
                                "weights_sha256": (info["weights"] or {}).get("sha256", ""),
                                "output_rule": info["output_rule"],
                                "method_code": info["code"],
                                "id": ident,
                                "metric": name,
                                "metric_version": m.card.data["version"],
                                "metric_code": m.code,
                                "value": scores[image, pair, name],
                                "pair_sha256": pair,
                                "fused_sha256": image,
                            }
                        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Difference:
    """A minus B under one metric, over the images where both are defined.

    Attributes:
        mean: mean of the paired differences.
        low, high: its 95 % percentile bootstrap interval (2000 resamples, seed 0).
        p: two-sided Wilcoxon signed-rank p value, Holm-corrected over the metrics; NaN when all differences are zero.
        effect: matched-pairs rank-biserial correlation, -1..1.
        better: which of the two is better at p < 0.05, or "".
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


def compare(table: Table, first: str, second: str) -> list[Difference]:
    """Paired comparison of two entries of a table on the same images.

    Raises:
        FusionbenchError: when the table lacks one of them.
    """
    from scipy import stats

    rows = {r.id: r for r in table.rows}
    for name in (first, second):
        if name not in rows:
            raise FusionbenchError(
                f"no entry {name!r} in the results of {table.board['dataset']}; there are: {', '.join(rows)}"
            )
    found: list[Difference] = []
    for m in table.metrics:
        a, b = rows[first].values[m.id], rows[second].values[m.id]
        both = ~(np.isnan(a) | np.isnan(b))
        a, b = a[both], b[both]
        d = a - b
        if not d.size:
            continue
        moved = d[d != 0]
        p, effect = math.nan, 0.0
        if moved.size:
            p = float(stats.wilcoxon(moved).pvalue)
            ranks = stats.rankdata(np.abs(moved))
            effect = float((ranks * np.sign(moved)).sum() / ranks.sum())
        draws = np.random.default_rng(0).integers(0, d.size, (RESAMPLES, d.size))
        low, high = np.percentile(d[draws].mean(axis=1), [2.5, 97.5])
        found.append(
            Difference(
                m, d.size, float(a.mean()), float(b.mean()), float(d.mean()), float(low), float(high), p, effect, ""
            )
        )
    return _holm(found, first, second)


def _holm(found: Sequence[Difference], first: str, second: str) -> list[Difference]:
    """Holm's step-down correction of the p values, and who is better after it."""
    from dataclasses import replace

    order = sorted((i for i, d in enumerate(found) if not math.isnan(d.p)), key=lambda i: found[i].p)
    corrected, running = {}, 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - place) * found[i].p))
        corrected[i] = running
    out = []
    for i, d in enumerate(found):
        p = corrected.get(i, math.nan)
        winner = (first if (d.mean > 0) == d.metric.up else second) if p < 0.05 else ""
        out.append(replace(d, p=p, better=winner))
    return out


@dataclass(frozen=True)
class Stability:
    """How one metric's ranking of the same entries changes with the profile.

    Attributes:
        metric: name of the metric.
        variants: profile to metric id.
        order: profile to entry ids, best first.
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


def stability(tables: dict[str, Table]) -> list[Stability]:
    """Rankings of the same entries and images under several profiles.

    Args:
        tables: profile to a table over the same rows.

    Returns:
        One item per metric that at least two profiles have in different variants.
    """
    from scipy import stats

    metrics: dict[str, dict[str, Metric]] = {}
    for profile, table in tables.items():
        for m in table.metrics:
            metrics.setdefault(m.card.name, {})[profile] = m
    found = []
    for name, by_profile in metrics.items():
        if len({m.id for m in by_profile.values()}) < 2:
            continue
        means = {
            p: {r.id: r.mean(m.id) for r in tables[p].rows if not r.info["source_only"]} for p, m in by_profile.items()
        }
        shared = sorted(set.intersection(*({k for k, v in d.items() if not math.isnan(v)} for d in means.values())))
        if len(shared) < 2:
            continue
        signs = {p: -1 if m.up else 1 for p, m in by_profile.items()}
        order = {p: [e for _, e in sorted((signs[p] * means[p][e], e) for e in shared)] for p in by_profile}
        tau = {
            (p, q): float(
                stats.kendalltau([signs[p] * means[p][e] for e in shared], [signs[q] * means[q][e] for e in shared])[0]
            )
            for p, q in combinations(by_profile, 2)
        }
        found.append(
            Stability(
                name,
                {p: m.id for p, m in by_profile.items()},
                order,
                {p: {e: means[p][e] for e in shared} for p in by_profile},
                tau,
            )
        )
    return found


def draw(items: Sequence[Stability], path: Any) -> None:
    """One panel per metric: each entry's rank under every profile, joined by a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(4, len(items))
    lines = math.ceil(len(items) / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.6 * columns, 2.9 * lines), squeeze=False)
    colours = plt.get_cmap("tab10")
    names = sorted({e for s in items for e in s.order[next(iter(s.order))]})
    for axis in axes.flat[len(items) :]:
        axis.axis("off")
    for axis, item in zip(axes.flat, items, strict=False):
        profiles = list(item.order)
        for name in names:
            places = [item.order[p].index(name) + 1 if name in item.order[p] else math.nan for p in profiles]
            axis.plot(profiles, places, marker="o", color=colours(names.index(name) % 10), label=name, lw=2)
        worst = min(item.tau.values())
        axis.set_title(f"{item.metric}  (lowest τ {worst:.2f})", fontsize=10)
        axis.set_ylim(len(names) + 0.5, 0.5)
        axis.set_yticks(range(1, len(names) + 1))
        axis.set_ylabel("rank", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.15)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=min(6, len(labels)), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)
