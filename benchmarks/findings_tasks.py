"""What docs/findings.md says of detection on MSRS, from committed tables alone; part of benchmarks/findings.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

from fusionbench.report.ranking import holm
from fusionbench.results.records import MATCHES
from fusionbench.tasks.scores.bootstrap import resamples
from fusionbench.tasks.task import task

LEADERBOARDS = Path(__file__).parents[1] / "leaderboards"
SOURCES = ("infrared", "visible")
CONDITIONS = ("all", "day", "night")
FOLDS = "folds/msrs-fusion@v1.selected"
FROZEN = "methods/msrs-fusion@v1"
METRICS = ("methods/msrs-fusion@v1+profile=cddfuse",)
COUNT = 6  # folds
DRAWN = 1000
FIRST, LAST = 4, 1  # fusions that are shown of all
Drawn = dict[str, np.ndarray]  # entry to AP50: of all images, then of each resample


@cache
def drawn() -> dict[str, Drawn]:
    """Condition to frozen AP50 on the 361 pairs; every entry's resamples are of the same images."""
    data = json.loads((LEADERBOARDS / f"{FROZEN}.provenance.json").read_text())
    found: dict[str, Drawn] = {condition: {} for condition in CONDITIONS}
    for entry, results in data["tasks"].items():
        (result,) = (r for r in results if r["test_split"] == "test" and r["protocol"] == "frozen")
        for condition in CONDITIONS:
            matches = result["facts"][condition][MATCHES]
            images = len(next(iter(matches.values()))["objects"].split())
            again = task("detection").resampled(matches, resamples(images, DRAWN))[""]
            found[condition][entry] = np.array([result["scores"][condition]["ap50@coco"], *again])
    return found


def fusions() -> list[str]:
    """Entries with frozen AP50 that are no source."""
    return sorted(drawn()["all"].keys() - set(SOURCES))


def metrics() -> dict[str, dict[str, float]]:
    """Metric to fusion to mean, signed so that more is better."""
    found: dict[str, dict[str, float]] = {}
    for name in METRICS:
        table = json.loads((LEADERBOARDS / f"{name}.json").read_text())
        for head in table["metrics"]:
            sign = 1 if head["direction"] == "up" else -1
            for row in table["rows"]:
                found.setdefault(head["id"], {})[row["id"]] = sign * (row["scores"][head["id"]]["mean"] or np.nan)
    return found


def predicted() -> Iterator[str]:
    """How each fusion metric orders the fusions beside frozen AP50, p by Holm; and how AP50 does on other images."""
    entries = fusions()
    truth = np.array([drawn()["all"][e] for e in entries])
    yield f"| τ with AP50, {len(entries)} fusions | p by Holm | order by |"
    yield "|--:|--:|---|"
    found = {name: stats.kendalltau([means[e] for e in entries], truth[:, 0]) for name, means in metrics().items()}
    by_tau: dict[tuple[str, str], list[str]] = {}
    for (name, (tau, _)), p in zip(found.items(), holm([p for _, p in found.values()]), strict=True):
        by_tau.setdefault((f"{tau:.2f}", f"{p:.3f}"), []).append(name)
    for (tau, p), names in sorted(by_tau.items(), key=lambda row: -float(row[0][0])):
        yield f"| {tau} | {p} | {', '.join(sorted(names))} |"
    again = np.median([stats.kendalltau(truth[:, 0], truth[:, n])[0] for n in range(1, DRAWN + 1)])
    yield f"| {again:.2f} | | AP50 of the same pictures, images drawn again (median of {DRAWN:,}) |"


def beaten() -> Iterator[str]:
    """By how much the best and the last fusions are above the better source, by night above both; and how many are.

    Images are drawn for both at once.
    """
    beside = [(c, max(SOURCES, key=lambda source: drawn()[c][source][0])) for c in CONDITIONS]
    beside += [("night", source) for source in SOURCES if ("night", source) not in beside]
    heads = [f"{c}: above {source} ({drawn()[c][source][0]:.3f})" for c, source in beside]
    yield f"| AP50, frozen | {' | '.join(heads)} |"
    yield "|---|" + "--:|" * len(heads)
    order = sorted(fusions(), key=lambda e: -drawn()["all"][e][0])
    counts = [[0, 0] for _ in beside]
    for place, entry in enumerate(order):
        cells = []
        for (c, source), count in zip(beside, counts, strict=True):
            more = drawn()[c][entry] - drawn()[c][source]
            low, high = np.percentile(more[1:], (2.5, 97.5))
            count[0] += low > 0
            count[1] += high < 0
            cells.append(f"{more[0]:+.3f} [{low:+.3f}, {high:+.3f}]")
        if place < FIRST or place >= len(order) - LAST:
            yield f"| {entry} | {' | '.join(cells)} |"
    yield f"| of {len(order)}, interval above 0, below 0 | {' | '.join(f'{a}, {b}' for a, b in counts)} |"


@cache
def folded() -> dict[str, Drawn]:
    """Condition to AP50 of the detector trained on in folds, resampled as the frozen one is."""
    data = json.loads((LEADERBOARDS / f"{FOLDS}.provenance.json").read_text())
    found: dict[str, Drawn] = {condition: {} for condition in CONDITIONS}
    for entry, results in data["tasks"].items():
        (result,) = (r for r in results if r["protocol"] == "retrained")
        for condition in CONDITIONS:
            matches = result["facts"][condition][MATCHES]
            images = len(next(iter(matches.values()))["objects"].split())
            again = task("detection").resampled(matches, resamples(images, DRAWN))[""]
            found[condition][entry] = np.array([result["scores"][condition]["ap50@coco"], *again])
    return found


def gained() -> Iterator[str]:
    """What training on in folds adds to frozen AP50 on all pairs, with images drawn for both at once.

    Raises:
        SystemExit: an entry's mean is not above its frozen one.
    """
    yield "| AP50, 361 pairs | frozen | retrained, six folds | more, with its 95 % interval over images |"
    yield "|---|--:|--:|--:|"
    data = json.loads((LEADERBOARDS / f"{FROZEN}.provenance.json").read_text())["tasks"]
    for entry, own in sorted(folded()["all"].items(), key=lambda item: -item[1][0]):
        (result,) = (r for r in data[entry] if r["test_split"] == "test" and r["protocol"] == "frozen")
        matches, before = result["facts"]["all"][MATCHES], result["scores"]["all"]["ap50@coco"]
        images = len(next(iter(matches.values()))["objects"].split())
        # The results of folds lie one after the other, those of the frozen network by id.
        order = np.concatenate([np.arange(images)[first::COUNT] for first in range(COUNT)])
        same = np.empty((DRAWN, images), np.int64)
        same[:, order] = resamples(images, DRAWN)
        low, high = np.percentile(own[1:] - task("detection").resampled(matches, same)[""], (2.5, 97.5))
        if own[0] <= before:
            sys.exit(f"{FOLDS}: {entry} has {own[0]:.3f}, frozen {before:.3f}")
        more = f"{own[0] - before:+.3f} [{low:+.3f}, {high:+.3f}]"
        yield f"| {entry} | {before:.3f} | {own[0]:.3f} | {more} |"


def retrained() -> Iterator[str]:
    """Frozen and trained on in folds, of the same pairs."""
    order = sorted(folded()["all"], key=lambda entry: -folded()["all"][entry][0])
    yield f"| AP50 | {' | '.join(f'{c}: frozen | retrained' for c in CONDITIONS)} |"
    yield "|---|" + "--:|--:|" * len(CONDITIONS)
    for entry in order:
        cells = (f"{drawn()[c][entry][0]:.3f} | {folded()[c][entry][0]:.3f}" for c in CONDITIONS)
        yield f"| {entry} | {' | '.join(cells)} |"
    taus = [stats.kendalltau(*([own[c][e][0] for e in order] for own in (drawn(), folded())))[0] for c in CONDITIONS]
    yield "| τ of the two | " + " | | ".join(f"{tau:.2f}" for tau in taus) + " | |"


PARTS = {"predicted": predicted, "beaten": beaten, "retrained": retrained}
TASKS_PARTS = {"folds": gained}  # of leaderboards/tasks/README.md
