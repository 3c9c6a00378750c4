"""Intervals over images of networks that were trained once: which differences hold on other images of the kind."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from fusionbench.report.numbers import fixed
from fusionbench.results.records import MATCHES, TaskResult
from fusionbench.tasks.scores.bootstrap import resamples
from fusionbench.tasks.task import task

FEWEST = 50  # pairs below which there is no interval and no place
MOST = 20_000  # images; memory grows with them
RESAMPLES = 1000
SHARE = (2.5, 97.5)  # percentiles


def intervals(results: Mapping[str, TaskResult]) -> dict[str, dict[str, str]]:
    """The first column of a task by condition and, over all conditions, by class: value and 95 % interval.

    Images are drawn with replacement 1,000 times, the same ones for every entry; the interval goes from the 2.5th to
    the 97.5th percentile of what comes out (Efron and Tibshirani 1993, chapter 13).

    Args:
        results: entry id to its result; of one test.

    Returns:
        Entry to head to text; empty where no result tells its images apart.
    """
    rows: dict[str, dict[str, str]] = {}
    weights: dict[int, NDArray[np.int64]] = {}
    for entry, result in results.items():
        asked = task(result.task)
        score = asked.card.facts.columns[0][0]
        for condition in sorted(result.facts, key=lambda c: (c != "all", c)):
            matches = result.facts[condition].get(MATCHES)
            images = _images(matches)
            if not 0 < images <= MOST:
                continue
            if images not in weights:
                weights[images] = resamples(images, RESAMPLES)
            enough = images >= FEWEST
            try:
                found = asked.resampled(matches, weights[images] if enough else weights[images][:1])
            except ValueError:  # a file of others, whose matches are none
                continue
            values = {"": result.scores[condition].get(score), **result.per_class.get(condition, {})}
            wanted = ["", *result.classes] if condition == "all" else [""]
            heads = {name: f"{condition} {name}".strip() if name else f"{condition} ({images})" for name in wanted}
            cells = {heads[name]: _text(values.get(name), found.get(name) if enough else None) for name in wanted}
            rows.setdefault(entry, {}).update(cells)
    return rows


def by_class(result: TaskResult) -> TaskResult:
    """A result whose file says nothing by class, with what its matches say."""
    if result.per_class:
        return result
    found: dict[str, dict[str, float | None]] = {}
    for condition, facts in result.facts.items():
        images = _images(facts.get(MATCHES))
        if 0 < images <= MOST:
            try:
                once = task(result.task).resampled(facts[MATCHES], np.ones((1, images), np.int64))
            except ValueError:  # a file of others, whose matches are none
                continue
            found[condition] = {name: float(once[name][0]) for name in result.classes if name in once}
    return msgspec.structs.replace(result, per_class=found)


def _images(matches: object) -> int:
    """How many images some matches are of; 0 where nothing says so."""
    if not isinstance(matches, dict) or not matches:
        return 0
    first = next(iter(matches.values()))
    objects = first.get("objects") if isinstance(first, dict) else None
    return len(objects.split()) if isinstance(objects, str) else 0


def _text(value: float | None, drawn: NDArray[np.float64] | None) -> str:
    """``0.394 [0.312, 0.470]``, or a dash."""
    if value is None or value != value:
        return "–"
    defined = drawn[~np.isnan(drawn)] if drawn is not None else np.zeros(0)
    if not len(defined):
        return fixed(value, 3)
    low, high = np.percentile(defined, SHARE)
    return f"{fixed(value, 3)} [{fixed(float(low), 3)}, {fixed(float(high), 3)}]"
