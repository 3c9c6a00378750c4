"""What names in print mean: headings of columns, methods, datasets, evaluators.

``leaderboards/published_names.toml`` lists those that are not ours in other letters.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import in_profile, without_tex
from fusionbench.naming import matches
from fusionbench.plugins.cards import MetricCard, TaskCard, cards, profiles
from fusionbench.report.printed import PrintedValue, committed
from fusionbench.runtime.decoding import decode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "published_names.toml"


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in print to our name: of scores (``task/score``), methods, and costs (in millions, in 10^9)."""

    scores: dict[str, str] = {}
    methods: dict[str, str] = {}
    costs: dict[str, str] = {}


@dataclass(frozen=True)
class Score:
    """What a heading means: a metric, or a score of a task.

    Attributes:
        metric: the metric's card.
        task: the task's card.
        score: name of the score among the task's.
    """

    metric: MetricCard | None = None
    task: TaskCard | None = None
    score: str = ""

    @property
    def title(self) -> str:
        """As our tables print it, without a variant."""
        if self.metric:
            return self.metric.title
        titles = dict(self.task.facts.columns) if self.task else {}
        return titles.get(self.score, self.score).partition("@")[0]

    @property
    def up(self) -> bool:
        """Whether a larger value is better."""
        if self.metric:
            return self.metric.facts.direction == "up"
        return self.task is None or self.score not in self.task.facts.lower


@lru_cache(maxsize=1)
def names() -> Names:
    """How papers call what we have."""
    path = committed(FILE)
    return decode(Names, tomllib.loads(path.read_text(encoding="utf-8")), path, FusionbenchError, "the file")


def score_of(heading: str) -> Score | None:
    """What a heading in print means; None where we have nothing of that name, or it is not clear."""
    metrics, tasks = cards("metric"), cards("task")
    for text in dict.fromkeys((heading, without_tex(heading))):
        if found := _meant(text, {n: (c.title,) for n, c in metrics.items()}, {}):
            return Score(metric=metrics[found])
    scores = {f"{t}/{s}": (s, title) for t, c in tasks.items() for s, title in c.facts.columns}
    short = {k: (*v, *(text.partition("@")[0] for text in v)) for k, v in scores.items()}
    for text in dict.fromkeys((heading, without_tex(heading))):
        task, _, score = _meant(text, short, names().scores).partition("/")
        if task in tasks:
            return Score(task=tasks[task], score=score)
    return None


def share_of(printed: PrintedValue, score: Score) -> float:
    """A value on our scale: task scores are shares of 1, which papers print in percent and do not always say so."""
    percent = printed.unit == "percent" or (score.task is not None and printed.value > 1)
    return printed.value / 100 if percent else printed.value


def method_of(name: str) -> str:
    """Our method of this name in print, "" where there is none, or it is not clear."""
    return _meant(name, {n: (c.title,) for n, c in cards("method").items()}, names().methods)


def dataset_of(name: str) -> str:
    """Our dataset of this name in print, "" where there is none, or it is not clear."""
    return _meant(name, {n: (c.title,) for n, c in cards("dataset").items()}, {})


def _meant(text: str, titles: Mapping[str, tuple[str, ...]], printed: Mapping[str, str]) -> str:
    """The one name that is meant, "" where none or several are: what the list of names says counts most."""
    if listed := {printed[key] for key in matches(text, printed)}:
        return listed.pop() if len(listed) == 1 else ""
    found = matches(text, titles, titles)
    return found[0] if len(found) == 1 else ""


def variants_in(printed: PrintedValue, score: Score) -> frozenset[str]:
    """Variants of our metric (or what stands behind the @ of a task's score) that may be printed; empty: not said.

    A profile's name stands for the variants that it uses of the metric; a name that is neither stays as it is.
    """
    found: set[str] = set()
    for name in filter(None, (part.strip() for part in printed.variant.split("|"))):
        facts = score.metric.facts if score.metric else None
        own = matches(name, facts.variants) if facts else []
        of = matches(name, profiles())
        if facts is None or score.metric is None or not (own or of):
            found.add(name.casefold())
        elif own:
            found |= set(own)
        elif of[0] in facts.profiles:
            found |= {v.partition("/")[0] for v in in_profile(score.metric, of[0])}
    return frozenset(found)
