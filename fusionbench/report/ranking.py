"""Which entries can be told apart: average ranks over images or datasets, Friedman's test, tie groups, random halves.

Sources: J. Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006 (Friedman, Nemenyi's
critical difference); A. Benavoli, G. Corani, F. Mangili, Should we really use post-hoc tests based on mean-ranks?, JMLR
17, 2016 (Wilcoxon's test with Holm's correction in its place).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.report.rows import Values, interval
from fusionbench.report.tables import Table

ALPHA = 0.05
MOST_ENTRIES = 300
Over = Literal["images", "datasets"]
Test = Literal["nemenyi", "wilcoxon"]


@dataclass(frozen=True)
class Blocks:
    """What entries are compared over.

    Attributes:
        names: of the entries.
        ranks: ``[N,k]``, of each entry in each block, 1 the best: its ranks under the metrics, averaged.
        over: what a block is.
        datasets: labels.
        metrics: ids.
    """

    names: tuple[str, ...]
    ranks: Values
    over: Over
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """Entries by average rank, and which cannot be told apart.

    Attributes:
        names: the best first.
        average: rank of each, averaged over blocks.
        intervals: 95 % bootstrap interval of it over blocks (2000 resamples, seed 0).
        blocks: their number, kind, datasets and metrics.
        chi2, p: Friedman's test; p is 1 where all blocks tie.
        test: which test tells pairs apart.
        critical: Nemenyi's critical difference of average ranks at 0.05; None under another test.
        pairs: ``[k,k]`` p values, corrected for the number of pairs.
        groups: tie groups, each from the best; every two entries that cannot be told apart share one, others none.
    """

    names: tuple[str, ...]
    average: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    blocks: Blocks
    chi2: float
    p: float
    test: Test
    critical: float | None
    pairs: Values
    groups: tuple[tuple[str, ...], ...]

    @property
    def letters(self) -> dict[str, str]:
        """Entry to the letters of its tie groups, "" for one that stands alone."""
        shared = [group for group in self.groups if len(group) > 1]
        return {n: " ".join(letter(i) for i, group in enumerate(shared) if n in group) for n in self.names}

    @property
    def note(self) -> str:
        """Test and tie groups in a line."""
        shared = [group for group in self.groups if len(group) > 1]
        how = (
            f"Nemenyi, critical difference {self.critical:.2f}" if self.critical else "Wilcoxon with Holm's correction"
        )
        groups = "; ".join(f"{letter(n)}: {', '.join(group)}" for n, group in enumerate(shared)) or "none"
        return (
            f"Cannot be told apart by their ranks on {len(self.blocks.ranks)} {self.blocks.over} (Friedman p = "
            f"{self.p:.2g}; {how} at 0.05): {groups}."
        )

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        entries = [
            {"entry": n, "average_rank": a, "ci95": list(i), "groups": self.letters[n].split()}
            for n, a, i in zip(self.names, self.average, self.intervals, strict=True)
        ]
        return {
            "over": self.blocks.over,
            "blocks": len(self.blocks.ranks),
            "datasets": list(self.blocks.datasets),
            "metrics": list(self.blocks.metrics),
            "friedman": {"chi2": self.chi2, "p": self.p},
            "test": self.test,
            "critical_difference": self.critical,
            "entries": entries,
            "tie_groups": [list(group) for group in self.groups],
            "pairs": [[a, b, float(self.pairs[i, j])] for (i, a), (j, b) in combinations(enumerate(self.names), 2)],
        }


def letter(number: int) -> str:
    """a, b ... z, aa, ab ..."""
    return (letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def blocks_of(tables: Sequence[Table], over: Over) -> Blocks:
    """Ranks of the entries that all tables rank, a row for each image or for each dataset.

    Within a block entries are ranked under every metric (a dataset's by their means), and these ranks averaged. A
    metric that is undefined for one of them in a block is left out there for all.

    Args:
        tables: of the same metrics.
        over: what a block is.

    Raises:
        FusionbenchError: fewer than three entries, or two blocks, or too many entries.
    """
    where = ", ".join(t.board.dataset for t in tables)
    names = tuple(sorted(set.intersection(*({r.id for r in t.ranked} for t in tables))))
    if not 3 <= len(names) <= MOST_ENTRIES:
        raise FusionbenchError(
            f"{where}: {counted(len(names), 'ranked entry', 'are')} in every table; "
            f"3 to {MOST_ENTRIES} can be compared so, two by `fusionbench compare`"
        )
    rows = []
    for table in tables:
        values = _signed(table, names)
        if over == "datasets":
            values = np.array([[_means(v) for v in values]]).transpose(1, 0, 2)  # [M,1,k]
        rows += [r for n in range(values.shape[1]) if (r := _block(values[:, n])) is not None]
    if len(rows) < 2:
        raise FusionbenchError(f"{where}: {len(rows)} of the {over} to compare over; at least 2 are needed")
    metrics = tuple(m.id for m in tables[0].metrics)
    return Blocks(names, np.array(rows), over, tuple(t.board.dataset for t in tables), metrics)


def _signed(table: Table, names: Sequence[str]) -> Values:
    """``[M,N,k]``, smaller better."""
    rows = {r.id: r for r in table.rows}
    return np.array([[(-1 if m.up else 1) * rows[n].values[m.id] for n in names] for m in table.metrics]).swapaxes(1, 2)


def _means(values: Values) -> Values:
    """``[k]`` means of ``[N,k]`` over the images where a value is; NaN where none is."""
    count = (~np.isnan(values)).sum(0)
    sums = np.nansum(values, axis=0)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _block(values: Values) -> Values | None:
    """Average rank ``[k]`` of each entry over the metrics ``[M,k]`` that are defined for all; None without any."""
    whole = values[~np.isnan(values).any(axis=1)]
    return np.asarray(stats.rankdata(whole, axis=1).mean(0)) if len(whole) else None


def ranking(blocks: Blocks, test: Test = "nemenyi") -> Ranking:
    """Average ranks, Friedman's test and tie groups.

    Args:
        blocks: see :func:`blocks_of`.
        test: tells pairs apart where Friedman's p is below 0.05: ``nemenyi``, by the difference of average ranks, or
            ``wilcoxon``, by the signed ranks of the two alone, with Holm's correction over the pairs.
    """
    ranks = np.asarray(stats.rankdata(blocks.ranks, axis=1))
    average = ranks.mean(0)
    order = np.argsort(average, kind="stable")
    count, k = ranks.shape
    chi2, p = (float(x) for x in stats.friedmanchisquare(*ranks.T)) if np.ptp(ranks, axis=1).any() else (0.0, 1.0)
    critical = float(stats.studentized_range.ppf(1 - ALPHA, k, np.inf)) * math.sqrt(k * (k + 1) / (12 * count))
    pairs = _nemenyi(average, count) if test == "nemenyi" else _wilcoxon(blocks.ranks)
    pairs = pairs[np.ix_(order, order)]
    apart = (pairs < ALPHA) & (p < ALPHA)
    names = tuple(blocks.names[i] for i in order)
    return Ranking(
        names,
        tuple(float(a) for a in average[order]),
        tuple(interval(ranks[:, i]) for i in order),
        blocks,
        chi2,
        p,
        test,
        critical if test == "nemenyi" else None,
        pairs,
        tuple(tuple(names[i] for i in group) for group in tie_groups(apart)),
    )


def _nemenyi(average: Values, count: int) -> Values:
    k = average.size
    q = np.abs(average[:, None] - average) / math.sqrt(k * (k + 1) / (12 * count))
    return np.asarray(stats.studentized_range.sf(q, k, np.inf))


def _wilcoxon(ranks: Values) -> Values:
    k = ranks.shape[1]
    every = list(combinations(range(k), 2))
    raw = [_signed_rank(ranks[:, i] - ranks[:, j]) for i, j in every]
    pairs = np.ones((k, k))
    for (i, j), p in zip(every, holm(raw), strict=True):
        pairs[i, j] = pairs[j, i] = p
    return pairs


def _signed_rank(differences: Values) -> float:
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction. SciPy has no such correction."""
    corrected, running = [0.0] * len(p), 0.0
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - step) * p[i]))
        corrected[i] = running
    return corrected


def tie_groups(apart: NDArray[np.bool_]) -> list[list[int]]:
    """Groups of entries none of which can be told from another.

    Every two that cannot be told apart share a group. A group begins with the best such pair that has none yet, its
    members farthest from each other, and takes in whoever fits; an entry told from all others stands alone.

    Args:
        apart: ``[k,k]``, symmetric, entries from the best.
    """
    k = len(apart)
    groups: list[list[int]] = []
    shared = np.eye(k, dtype=bool)
    for i in range(k):
        for j in range(k - 1, i, -1):
            if apart[i, j] or shared[i, j]:
                continue
            group = [i, j]
            fitting = ~(apart[i] | apart[j])
            for n in range(k):
                if fitting[n] and n not in (i, j):
                    group.append(n)
                    fitting &= ~apart[n]
            groups.append(sorted(group))
            shared[np.ix_(group, group)] = True
    inside = {n for group in groups for n in group}
    return sorted([*groups, *([n] for n in range(k) if n not in inside)])


@dataclass(frozen=True)
class Halves:
    """How a ranking changes with the images.

    Attributes:
        names: by average rank over all images, the best first.
        average: that average rank over the metrics.
        positions: ``[2 * times, k]``, position of each entry in every half, 1 the best; ties share their mean.
        between: Kendall's tau between the two halves, one per splitting.
        whole: Kendall's tau between a half and all images, one per half.
    """

    names: tuple[str, ...]
    average: tuple[float, ...]
    positions: Values
    between: Values
    whole: Values

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        entries = [
            {
                "entry": name,
                "average_rank": self.average[i],
                "best": float(self.positions[:, i].min()),
                "median": float(np.median(self.positions[:, i])),
                "worst": float(self.positions[:, i].max()),
                "first": float((self.positions[:, i] == self.positions.min(axis=1)).mean()),
            }
            for i, name in enumerate(self.names)
        ]
        facts = {"halves": len(self.positions), "tau_between_halves": spread(self.between)}
        return {**facts, "tau_with_all": spread(self.whole), "entries": entries}


def spread(values: Values) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": float(np.median(values)), "lowest": float(values.min()), "highest": float(values.max())}


def halves(table: Table, times: int = 50, seed: int = 0) -> Halves:
    """Rank the entries of a table on random halves of its images, as the table ranks them on all.

    Args:
        table: at least three ranked rows and four images.
        times: how often the images are split in two.
        seed: of the splitting.

    Raises:
        FusionbenchError: too few rows or images.
    """
    names = [r.id for r in table.ranked]
    count = len(table.ids)
    if len(names) < 3 or count < 4:
        raise FusionbenchError(
            f"{table.board.dataset}: {len(names)} ranked entries on {counted(count, 'image')}; "
            "halves need at least 3 on 4"
        )
    values = _signed(table, names)
    average = _average(values)
    order = np.argsort(average, kind="stable")
    rng = np.random.default_rng(seed)
    positions, between, whole = [], [], []
    for _ in range(times):
        shuffled = rng.permutation(count)
        two = [_average(values[:, part]) for part in (shuffled[: count // 2], shuffled[count // 2 :])]
        positions += [stats.rankdata(half) for half in two]
        between.append(_tau(*two))
        whole += [_tau(half, average) for half in two]
    return Halves(
        tuple(names[i] for i in order),
        tuple(float(average[i]) for i in order),
        np.array(positions)[:, order],
        np.array(between),
        np.array(whole),
    )


def _average(values: Values) -> Values:
    """Average rank ``[k]`` over the metrics, of the means of ``[M,N,k]``; without a value a metric is left out."""
    means = np.array([_means(v) for v in values])
    ranks = stats.rankdata(means, axis=1, nan_policy="omit")
    count = (~np.isnan(ranks)).sum(0)
    return np.asarray(np.where(count > 0, np.nansum(ranks, axis=0) / np.maximum(count, 1), len(means[0])))


def _tau(a: Values, b: Values) -> float:
    tau = float(stats.kendalltau(a, b)[0])
    return 1.0 if math.isnan(tau) else tau  # all tie in one of them
