"""Under which evaluator a whole printed row is likeliest.

The rule. A printed value x of a metric, on one dataset, under one variant: among n methods measured there (committed
tables, real images) the means have average m and sample deviation s. x is as likely as Student's t with n - 1 degrees
of freedom, centre m and scale sqrt(s^2 (1 + 1/n) + u^2 / 3) says, u being half of the last printed digit, 0.5 at
most: the distribution of one more method. A variant that fewer than three methods were measured under, or that the
evaluator does not compute, counts as equally likely anywhere in its card's range, or, where that is infinite, from 0
to four times the largest mean measured. A profile is as likely as the product over the row; values outside its
variants' range rule it out. So that no evaluator is weighed on other methods than another, all are judged by the
methods that were measured under every variant of theirs in the row, where those are three or more. Profiles that less
than half of the row was measured under are not judged. The likeliest is clear where no other is more than 1/20 as
likely.

The product takes metrics for independent, which they are not: factors are for ordering, not for odds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.evaluation.protocol import in_profile
from fusionbench.plugins.cards import MetricCard, cards, profiles
from fusionbench.report.explain import Evidence, evidence, tables
from fusionbench.report.headings import Score, dataset_of, score_of, share_of
from fusionbench.report.printed import number, printed_values

CLEAR = 20.0  # the likeliest is this many times as likely as the next
FITS = 0.01  # two-sided tail: a value further out fits a variant no more
FEWEST = 3  # methods behind a distribution
LARGEST = 1e100  # a value; its square is still a number
ROOM = 4.0  # of the largest mean, where a variant was not measured
MOST_LETTERS, MOST_VALUES = 4000, 60
_NUMBER = r"[-+−]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_PAIR = re.compile(rf"(?P<name>[^=,;]{{1,60}}?)\s*=\s*(?P<value>{_NUMBER})\s*(?P<unit>%?)(?=[\s,;]|$)[\s,;]*")
_SPACED = re.compile(rf"(?P<name>\S{{1,60}})\s+(?P<value>{_NUMBER})\s*(?P<unit>%?)(?=[\s,;]|$)[\s,;]*")


@dataclass(frozen=True)
class Printed:
    """One value of the row: heading, number, half of its last digit, and what it is of."""

    heading: str
    value: float
    half: float
    percent: bool
    score: Score | None


@dataclass(frozen=True)
class Fit:
    """A value under one variant, or among what others printed of a task.

    Attributes:
        name: of the variant; of a task, network and training.
        logarithm: of its likelihood.
        tail: two-sided p value; None where too few were measured.
        evidence: what was measured; None for nothing.
        impossible: whether the definition rules the value out.
    """

    name: str
    logarithm: float
    tail: float | None
    evidence: Evidence | None
    impossible: bool = False

    @property
    def fits(self) -> bool:
        """Whether it is among what was measured."""
        return not self.impossible and self.tail is not None and self.tail >= FITS


@dataclass(frozen=True)
class Judged:
    """One evaluator.

    Attributes:
        profile: its name.
        logarithm: of its likelihood; minus infinity where a value is impossible.
        fits: heading to the value under the evaluator's variant.
        not_computed: headings that it does not compute.
        unmeasured: headings whose variant too few methods were measured under.
    """

    profile: str
    logarithm: float
    fits: dict[str, Fit]
    not_computed: tuple[str, ...]
    unmeasured: tuple[str, ...]

    @property
    def order(self) -> tuple[float, int, float]:
        """Likelier ones first; of those that a value rules out, by how many do, then by the others."""
        possible = [f.logarithm for f in self.fits.values() if not f.impossible]
        return -self.logarithm, len(self.fits) - len(possible), -sum(possible)

    @property
    def worst(self) -> str | None:
        """The heading of the value that fits it worst: an impossible one, else that of the smallest tail."""
        known = {h: -1.0 if f.impossible else f.tail for h, f in self.fits.items()}
        tails = {heading: tail for heading, tail in known.items() if tail is not None}
        return min(tails, key=lambda heading: tails[heading], default=None)


@dataclass(frozen=True)
class Answer:
    """What a printed row can be.

    Attributes:
        dataset: on which it was measured.
        profiles: those that were judged, the likeliest first.
        methods: entries that all of them are judged by; none where too few have means under all their variants.
        not_judged: those of which less than half was measured.
        variants: heading of a metric to its variants, the likeliest first.
        tasks: heading of a task's score to those that printed or measured it, the likeliest first.
        unknown: headings that we have nothing for.
        metrics: heading to the metric's name.
    """

    dataset: str
    profiles: tuple[Judged, ...]
    methods: tuple[str, ...]
    not_judged: tuple[str, ...]
    variants: dict[str, tuple[Fit, ...]]
    tasks: dict[str, tuple[Fit, ...]]
    unknown: tuple[str, ...]
    metrics: dict[str, str]

    @property
    def likeliest(self) -> tuple[str, ...]:
        """The profiles that cannot be told from the first; none where nothing can be judged."""
        possible = [j for j in self.profiles if math.isfinite(j.logarithm)]
        return tuple(j.profile for j in possible if j.logarithm > possible[0].logarithm - math.log(CLEAR))


def parse(text: str) -> tuple[Printed, ...]:
    """``EN=6.70 VIF=0.97, mIoU=75.09%`` or ``EN 6.70 VIF 0.97`` as values.

    Raises:
        FusionbenchError: it is none, a heading stands twice, or all are unknown.
    """
    if len(text) > MOST_LETTERS:
        raise FusionbenchError(f"--paper: {len(text)} letters; a row has at most {MOST_LETTERS}")
    pattern = _PAIR if "=" in text else _SPACED
    rest = " ".join(re.sub(r"[|&\\]", " ", text).split())
    found: list[Printed] = []
    while rest:
        match = pattern.match(rest)
        if not match:
            raise FusionbenchError(f"--paper: cannot read {rest[:40]!r}; write HEADING=VALUE, e.g. 'EN=6.70 VIF=0.97'")
        heading = match["name"].strip(" ↑↓:")
        if re.match(r",[0-9]", rest[match.end("unit") :]):
            raise FusionbenchError(f"--paper: {rest[: match.end('unit') + 3]}: a decimal comma? Write 6.70, not 6,70")
        if "@" in heading and (score := score_of(heading.partition("@")[0])) and score.metric:
            raise FusionbenchError(f"--paper: {heading}: it is judged under every variant; write {score.metric.title}")
        digits = match["value"].replace("−", "-")
        value = number(digits, f"--paper: {heading}")
        half = min(0.5, 0.5 * 10.0 ** _exponent(digits))
        found.append(Printed(heading, value, half, match["unit"] == "%", score_of(heading)))
        rest = rest[match.end() :]
    if not 0 < len(found) <= MOST_VALUES:
        raise FusionbenchError(f"--paper: {len(found)} values; a row has 1 to {MOST_VALUES}")
    _check_twice(found)
    if not any(p.score for p in found):
        titles = [c.title for c in cards("metric").values()]
        raise FusionbenchError(f"--paper: no metric {found[0].heading!r}; {did_you_mean(found[0].heading, titles)}")
    return tuple(found)


def _exponent(digits: str) -> int:
    """Power of ten of the last digit: -2 for ``6.70``."""
    mantissa, _, power = digits.lower().partition("e")
    return int(power or 0) - len(mantissa.partition(".")[2])


def _check_twice(values: Sequence[Printed]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for p in values:
        key = (p.score.title, p.score.score) if p.score else (p.heading, "")
        if key in seen:
            raise FusionbenchError(f"--paper: {seen[key]} and {p.heading} are the same metric; give one value")
        seen[key] = p.heading


def explain_row(values: Sequence[Printed], dataset: str) -> Answer:
    """Judge a printed row.

    Args:
        values: of one method, from one table.
        dataset: on which it was measured, as users type it.

    Raises:
        FusionbenchError: no such dataset, or no committed table of it.
    """
    measured = sorted({t.dataset for t in tables()})
    name = dataset_of(dataset)
    if not name:
        raise FusionbenchError(f"--datasets: no dataset {dataset!r}; {did_you_mean(dataset, measured)}")
    if name not in measured:
        raise FusionbenchError(
            f"--datasets: no committed table of {name} to judge by; there are: {', '.join(measured)}"
        )
    fits = {p.heading: _fits(p, p.score.metric, name) for p in values if p.score and p.score.metric}
    metrics = {p.heading: p.score.metric for p in values if p.score and p.score.metric}
    grey = [n for n, facts in profiles().items() if facts.colour == "grey"]  # as committed tables are
    first = [_judge(profile, metrics, fits) for profile in grey]
    common = _common([j for j in first if _enough(j, fits)])
    alike = {p.heading: _fits(p, metrics[p.heading], name, common) for p in values if p.heading in metrics}
    every = [_judge(profile, metrics, alike) for profile in grey]
    enough = [j for j in every if _enough(j, fits)]
    return Answer(
        dataset=name,
        profiles=tuple(sorted(enough, key=lambda j: j.order)),
        methods=tuple(sorted(common)),
        not_judged=tuple(n for n in profiles() if n not in {j.profile for j in enough}),
        variants={h: tuple(sorted(own.of.values(), key=lambda f: -f.logarithm)) for h, own in fits.items()},
        tasks={p.heading: _task_fits(p, name) for p in values if p.score and p.score.task},
        unknown=tuple(p.heading for p in values if p.score is None),
        metrics={heading: metric.name for heading, metric in metrics.items()},
    )


@dataclass(frozen=True)
class _Fits:
    """A value under every variant of its metric, and the logarithm of its likelihood where nothing is known."""

    of: dict[str, Fit]
    flat: float


def _enough(judged: Judged, fits: Mapping[str, _Fits]) -> bool:
    """Whether half of the row was measured under an evaluator."""
    return bool(fits) and len(judged.fits) - len(judged.unmeasured) >= len(fits) / 2


def _common(judged: Sequence[Judged]) -> set[str]:
    """Entries with a mean under every variant that the evaluators are judged by; none where they are too few."""
    every = [f.evidence.means.keys() for j in judged for f in j.fits.values() if f.evidence and f.tail is not None]
    common = set.intersection(*map(set, every)) if every else set()
    return common if len(common) >= FEWEST else set()


def _fits(p: Printed, metric: MetricCard, dataset: str, only: set[str] | None = None) -> _Fits:
    """A value under every variant; ``only`` by these entries, where there are any and the variant has them all."""
    found = {name: own[0] for name, own in evidence(metric.name, (dataset,)).items()}
    if only:
        found = {name: _of(measured, only) for name, measured in found.items()}
    largest = max((abs(v) for e in found.values() for v in e.means.values()), default=abs(p.value)) or 1.0

    def flat(low: float, high: float) -> float:
        return -math.log(high - low if math.isfinite(high - low) else ROOM * largest)

    fits = {}
    for name in metric.facts.variants:
        low, high = metric.facts.range_of(name)
        own = found.get(name)
        if not low - p.half <= p.value <= high + p.half:
            fits[name] = Fit(name, -math.inf, None, own, impossible=True)
        elif own is None or len(own.means) < FEWEST:
            fits[name] = Fit(name, flat(low, high), None, own)
        else:
            fits[name] = _fit(name, p.value, p.half, own)
    return _Fits(fits, flat(*metric.facts.range))


def _of(measured: Evidence, only: set[str]) -> Evidence:
    """What was measured of these entries; of all, where some of them are not among them."""
    if not only <= measured.means.keys():
        return measured
    return replace(measured, means={entry: measured.means[entry] for entry in sorted(only)})


def _fit(name: str, value: float, half: float, own: Evidence) -> Fit:
    """A value among measured means, by the distribution of one more method."""
    means = np.array(list(own.means.values()))
    scale = math.sqrt(means.var(ddof=1) * (1 + 1 / means.size) + half * half / 3) or 1e-12
    t = (max(-LARGEST, min(LARGEST, value)) - float(means.mean())) / scale
    logarithm = float(stats.t.logpdf(t, means.size - 1) - math.log(scale))
    return Fit(name, logarithm, float(2 * stats.t.sf(abs(t), means.size - 1)), own)


def _judge(profile: str, metrics: Mapping[str, MetricCard], fits: Mapping[str, _Fits]) -> Judged:
    own: dict[str, Fit] = {}
    for heading, metric in metrics.items():
        names = [v for v in in_profile(metric, profile) if "/" not in v] if profile in metric.facts.profiles else []
        if names:
            own[heading] = max((fits[heading].of[v] for v in names), key=lambda f: f.logarithm)
    missing = tuple(heading for heading in metrics if heading not in own)
    logarithm = sum(f.logarithm for f in own.values()) + sum(fits[heading].flat for heading in missing)
    unmeasured = tuple(h for h, f in own.items() if f.tail is None and not f.impossible)
    return Judged(profile, logarithm, own, missing, unmeasured)


def _task_fits(p: Printed, dataset: str) -> tuple[Fit, ...]:
    """A task's score among what others printed and what was measured on a dataset, by network and training."""
    assert p.score is not None
    share = p.percent or p.value > 1
    value, half = (p.value / 100, p.half / 100) if share else (p.value, p.half)
    if not -half <= value <= 1 + half:
        return (Fit("a share from 0 to 1, or percent", -math.inf, None, None, impossible=True),)
    fits = []
    for name, own in {**_in_print(p.score, dataset), **_measured(p.score, dataset)}.items():
        fits.append(_fit(name, value, half, own) if len(own.means) >= FEWEST else Fit(name, 0.0, None, own))
    return tuple(sorted(fits, key=lambda f: (f.tail is None, -f.logarithm)))


def _in_print(score: Score, dataset: str) -> dict[str, Evidence]:
    """Network and training to the values in print; of several of a method the first."""
    means: dict[str, dict[str, float]] = {}
    for v in printed_values():
        if dataset_of(v.dataset) == dataset and score_of(v.metric) == score and "ablation" not in v.table:
            name = f"printed: {v.network or 'network not told'}, {v.training or 'retrained or frozen not told'}"
            means.setdefault(f"{name} ({v.source})", {}).setdefault(v.method, share_of(v, score))
    return {name: Evidence(dataset, own, 0) for name, own in means.items()}


def _measured(score: Score, dataset: str) -> dict[str, Evidence]:
    """Network, training and recipe to the means over seeds in committed tables."""
    found: dict[str, Evidence] = {}
    for table in tables():
        for column in table.tasks if table.dataset == dataset else ():
            task, network, training, recipe, name = column.id.split("/", 4)
            values = {r.id: [v for v in r.tasks.get(column.id, ()) if v is not None] for r in table.rows if r.ranked}
            means = {entry: float(np.mean(own)) for entry, own in values.items() if own}
            if score.task and (task, name) == (score.task.name, score.score) and means:
                own = Evidence(dataset, means, table.images)
                found.setdefault(f"measured: {network}, {training}, recipe {recipe}", own)
    return found
