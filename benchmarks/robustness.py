"""Tables and figures of docs/robustness.md, from the committed tables of corrupted pairs alone.

python benchmarks/robustness.py            # checks that the page says what the tables say
python benchmarks/robustness.py --write    # brings its tables and figures up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from publish import between
from scipy import stats

from fusionbench.pixels.corruption import KINDS, Corruption
from fusionbench.report.robustness import Robustness, draw
from fusionbench.results.records import MATCHES
from fusionbench.tasks.scores.bootstrap import resamples
from fusionbench.tasks.task import task

REPO = Path(__file__).parents[1]
PAGE = REPO / "docs/robustness.md"
BOARDS = REPO / "leaderboards/robustness"
CLEAN = "msrs-fusion@v1+split=boxes-test"
COLUMNS = {"ap50": ("AP50", 3), "qabf@released": ("Qabf", 3), "mi@bits": ("MI", 2)}
DRAWN = 1000
Means = dict[str, dict[str, float]]  # column to entry to mean


@cache
def matches(stem: str) -> dict[str, object]:
    """Entry to what each image's boxes matched."""
    facts = json.loads((BOARDS / f"{stem}.provenance.json").read_text())
    return {entry: own[0]["facts"]["all"][MATCHES] for entry, own in facts["tasks"].items()}


@cache
def table(stem: str) -> Means:
    """The means of one table."""
    data = json.loads((BOARDS / f"{stem}.json").read_text())
    found: Means = {name: {} for name in COLUMNS}
    for row in data["rows"]:
        for name in COLUMNS.keys() - {"ap50"}:
            found[name][row["id"]] = row["scores"][name]["mean"]
        (found["ap50"][row["id"]],) = next(v for n, v in row["tasks"].items() if n.endswith("/ap50@coco"))
    return found


def stem(how: Corruption | None) -> str:
    """The table of a corruption, or of the pairs as they are."""
    return f"{CLEAN}+corrupt={how}.selected" if how else f"{CLEAN}.selected"


def every() -> list[Corruption]:
    """All kinds at their three levels, weakest first."""
    return [Corruption(name, level) for name, kind in KINDS.items() for level in kind.levels]


def strongest() -> list[Corruption]:
    """The last level of each kind."""
    return [Corruption(name, kind.levels[-1]) for name, kind in KINDS.items()]


def curves(column: str) -> Robustness:
    """What the figure of a column shows."""
    title, digits = COLUMNS[column]
    clean = table(stem(None))[column]
    return Robustness(
        title="MSRS, split boxes-test",
        column=f"{title} ↑",
        digits=digits,
        up=True,
        images=60,
        clean=dict(sorted(clean.items(), key=lambda item: -item[1])),
        means={how: table(stem(how))[column] for how in every()},
    )


@cache
def drawn(name: str) -> dict[str, np.ndarray]:
    """Entry to AP50 on resampled images, the same images in every table."""
    images = 60
    weights = resamples(images, DRAWN)
    return {entry: task("detection").resampled(found, weights)[""] for entry, found in matches(name).items()}


def fell(entry: str, how: Corruption) -> bool:
    """Whether the 95 % interval of what a corruption costs lies above zero."""
    low, _ = np.percentile(drawn(stem(None))[entry] - drawn(stem(how))[entry], (2.5, 97.5))
    return bool(low > 0)


def means(column: str) -> Iterator[str]:
    """Means on good pairs and at the strongest level of each kind; of AP50 with a mark where it is lower for sure."""
    _, digits = COLUMNS[column]
    clean = table(stem(None))[column]
    yield f"| {COLUMNS[column][0]} | good pairs | {' | '.join(map(str, strongest()))} |"
    yield "|---|--:|" + "--:|" * len(strongest())
    for entry in sorted(clean, key=lambda e: -clean[e]):
        cells = [f"{clean[entry]:.{digits}f}"]
        for how in strongest():
            mark = "*" if column == "ap50" and fell(entry, how) else ""
            cells.append(f"{table(stem(how))[column][entry]:.{digits}f}{mark}")
        yield f"| {entry} | {' | '.join(cells)} |"


def left() -> Iterator[str]:
    """Which share of a column is left at each level, median over the methods."""
    yield "| left, median of 8 | " + " | ".join(KINDS) + " |"
    yield "|---|" + "--:|" * len(KINDS)
    for column, (title, _) in COLUMNS.items():
        clean, cells = table(stem(None))[column], []
        for name, kind in KINDS.items():
            found = [table(stem(Corruption(name, level)))[column] for level in kind.levels]
            cells.append(" ".join(f"{np.median([own[e] / clean[e] for e in clean]):.0%}" for own in found))
        yield f"| {title} | {' | '.join(cells)} |"


def agreed() -> Iterator[str]:
    """Kendall's tau of two columns over the methods, on good pairs and at the strongest levels."""
    yield f"| τ with AP50, 8 methods | good pairs | {' | '.join(map(str, strongest()))} |"
    yield "|---|--:|" + "--:|" * len(strongest())
    for column in [name for name in COLUMNS if name != "ap50"]:
        cells = []
        for how in (None, *strongest()):
            own = table(stem(how))
            entries = sorted(own["ap50"])
            tau = stats.kendalltau([own[column][e] for e in entries], [own["ap50"][e] for e in entries])[0]
            cells.append(f"{tau:.2f}")
        yield f"| {COLUMNS[column][0]} | {' | '.join(cells)} |"


PARTS = {"left": left, **{name.partition("@")[0]: partial(means, name) for name in COLUMNS}, "agreed": agreed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = page = PAGE.read_text(encoding="utf-8")
    for name, lines in PARTS.items():
        text = between(text, name, "\n".join(lines()))
    if given.write:
        PAGE.write_text(text, encoding="utf-8")
        for column in COLUMNS:
            draw(curves(column), PAGE.with_name(f"robustness-{column.partition('@')[0]}.png"))
    elif text != page:
        sys.exit(f"{PAGE.relative_to(REPO)} is not what the tables say; --write brings it up to date")


if __name__ == "__main__":
    main()
