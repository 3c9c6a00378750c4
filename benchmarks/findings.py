"""The figures of docs/findings.md, and of folds in leaderboards/tasks/README.md, from committed tables alone.

    python benchmarks/findings.py            # checks that they say what the tables say
    python benchmarks/findings.py --write    # brings its tables up to date
    python benchmarks/findings.py --store DIR    # besides, ranks and halves anew from a store of benchmarks/tables.py

DIR is `pictures` below the folder that was given to benchmarks/tables.py as --work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import findings_tasks
import numpy as np
import same_data_lessons
from publish import between
from scipy import stats

REPO = Path(__file__).parents[1]
PAGE = REPO / "docs/findings.md"
EVIDENCE = REPO / "benchmarks/evidence/rankings"
COLUMNS = (("average rank", "average rank"), ("ssim@tdfusion", "ssim@cddfuse"), ("vif@tdfusion", "vif@cddfuse"))
LEARNT = ("tdfusion", "refusion")  # methods whose loss is learned
PROFILES = {"TDFusion": ".selected", "CDDFuse": "+profile=cddfuse"}


def table(name: str) -> dict[str, dict[str, float]]:
    """Column to ranked entry to mean, signed so that smaller is better; and `average rank`."""
    data = json.loads((REPO / f"leaderboards/{name}.json").read_text())
    rows = [r for r in data["rows"] if not r["source_only"] and not r.get("unverified")]
    found = {
        head["id"]: {
            r["id"]: r["scores"][head["id"]]["mean"] * (-1 if head["direction"] == "up" else 1)
            for r in rows
            if r["scores"][head["id"]]["mean"] is not None
        }
        for head in data["metrics"]
    }
    return {**found, "average rank": {r["id"]: r["average_rank"] for r in rows}}


def tau(a: dict[str, float], b: dict[str, float]) -> float:
    """Kendall's tau of two orders of the entries that both have."""
    shared = sorted(a.keys() & b.keys())
    return float(stats.kendalltau([a[e] for e in shared], [b[e] for e in shared])[0])


def moved(a: dict[str, float], b: dict[str, float]) -> np.ndarray:
    """By how many positions each shared entry moves."""
    shared = sorted(a.keys() & b.keys())
    first, second = (stats.rankdata([x[e] for e in shared]) for x in (a, b))
    return np.abs(first - second)


def top(order: dict[str, float], count: int) -> set[str]:
    """The best entries."""
    return set(sorted(order, key=lambda e: (order[e], e))[:count])


def evaluators() -> Iterator[str]:
    """Two evaluators, one set of pictures: all methods on VIFB and TNO, and VIFB's own pictures."""
    yield "| table | entries | column | τ | median move | largest move | same first | of the ten best, shared |"
    yield "|---|--:|---|--:|--:|--:|---|--:|"
    for where in ("methods/vifb-fusion@v1", "methods/tno-fusion@v1", "pictures/vifb-fusion@v1"):
        a, b = (table(where + suffix) for suffix in _suffixes(where))
        for column, other in COLUMNS:
            x, y = a[column], b[other]
            move = moved(x, y)
            both = len(top(x, 10) & top(y, 10))
            same = "yes" if top(x, 1) == top(y, 1) else "no"
            title = column if column == other else f"{column} / {other}"
            yield (
                f"| {where} | {move.size} | {title} | {tau(x, y):.2f} | {np.median(move):.1f} | {move.max():.1f} "
                f"| {same} | {both} |"
            )


def _suffixes(where: str) -> list[str]:
    """The tables of the two evaluators."""
    return [s if (REPO / f"leaderboards/{where}{s}.json").exists() else "" for s in PROFILES.values()]


def datasets() -> Iterator[str]:
    """The same entries and evaluator on two datasets."""
    yield "| evaluator | entries | τ between VIFB and TNO | median move | largest move |"
    yield "|---|--:|--:|--:|--:|"
    for title, suffix in PROFILES.items():
        a, b = (table(f"methods/{name}-fusion@v1{suffix}")["average rank"] for name in ("vifb", "tno"))
        move = moved(a, b)
        yield f"| {title} | {move.size} | {tau(a, b):.2f} | {np.median(move):.1f} | {move.max():.1f} |"


def variants() -> Iterator[str]:
    """Five methods on 24 pairs of MSRS under every variant: metrics whose variants order them differently."""
    every = table("msrs-fusion@v1+metrics=c4825850.partial-24-of-361")
    yield "| metric | variants | lowest τ between two | which |"
    yield "|---|--:|--:|---|"
    names = sorted({column.partition("@")[0] for column in every if "@" in column})
    lines, same = [], []
    for name in names:
        own = [c for c in every if c.startswith(f"{name}@")]
        if len(own) > 1:
            found = {pair: tau(every[pair[0]], every[pair[1]]) for pair in combinations(own, 2)}
            pair = min(found, key=lambda p: (found[p], p))
            which = " / ".join(c.partition("@")[2] for c in pair) if found[pair] < 1 - 1e-9 else "–"
            if which == "–":
                same.append(f"{name} ({len(own)})")
            else:
                lines.append((found[pair], f"| {name} | {len(own)} | {found[pair]:.2f} | {which} |"))
    yield from (line for _, line in sorted(lines))
    yield f"| {', '.join(same)} | | 1.00 | none |"


def halves() -> Iterator[str]:
    """VIFB's pictures on random halves of the images."""
    data = json.loads((EVIDENCE / "halves.json").read_text())
    yield "| evaluator | halves | τ of two halves: median, lowest | τ with all: same | widest span | first on |"
    yield "|---|--:|--:|--:|---|---|"
    for profile, own in data.items():
        halved, whole = own["tau_between_halves"], own["tau_with_all"]
        widest = max(own["entries"], key=lambda e: (e["worst"] - e["best"], e["entry"]))
        first = max(own["entries"], key=lambda e: e["first"])
        span = f"{widest['entry']}: {widest['best']:g} to {widest['worst']:g}"
        yield (
            f"| {profile} | {own['halves']} | {halved['median']:.2f}, {halved['lowest']:.2f} "
            f"| {whole['median']:.2f}, {whole['lowest']:.2f} | {span} | {first['entry']}: {first['first']:.0%} |"
        )


def ties() -> Iterator[str]:
    """VIFB's pictures: what can be told apart."""
    yield "| evaluator | test | Friedman p | pairs | told apart | the best shares a group with |"
    yield "|---|---|--:|--:|--:|---|"
    for path in sorted(EVIDENCE.glob("ranks-*.json")):
        data = json.loads(path.read_text())
        apart = sum(p < 0.05 for _, _, p in data["pairs"])
        best = data["entries"][0]["entry"]
        mates = sorted({e for g in data["tie_groups"] if best in g for e in g} - {best})
        profile = path.stem.split("-")[1]
        yield (
            f"| {profile} | {data['test']} | {data['friedman']['p']:.1e} | {len(data['pairs'])} | {apart} "
            f"| {best}: {', '.join(mates) or 'none'} |"
        )


def equal() -> Iterator[str]:
    """Rows trained on the same data, ordered by their mean rank over eight columns among each other."""
    yield f"| table | pairs | rows | {' | '.join(LEARNT)} | first |"
    yield f"|---|--:|--:|{'--:|' * len(LEARNT)}---|"
    for board in same_data_lessons.read(same_data_lessons.FOLDER):
        rank = board.ranks(board.own)
        order = sorted(rank, key=rank.__getitem__)
        places = " | ".join(str(order.index(f"{name}[same]") + 1) for name in LEARNT)
        best = order[0].partition("[")[0]
        yield f"| {board.name} | {board.images} | {len(order)} | {places} | {best} |"


PARTS = {
    "evaluators": evaluators,
    "datasets": datasets,
    "variants": variants,
    "halves": halves,
    "ties": ties,
    "equal": equal,
    **findings_tasks.PARTS,
}
PAGES = {PAGE: PARTS, REPO / "leaderboards/tasks/README.md": findings_tasks.TASKS_PARTS}


def again(store: Path) -> None:
    """Ranks and halves of a store, as the command line gives them."""

    def fusionbench(*words: str) -> str:
        command = [sys.executable, "-m", "fusionbench", *words, "--out", str(store)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    EVIDENCE.mkdir(parents=True, exist_ok=True)
    found = fusionbench("stability", "--datasets", "vifb", "--profiles", "tdfusion,cddfuse", "--halves", "50", "--json")
    (EVIDENCE / "halves.json").write_text(found)
    for profile in ("tdfusion", "cddfuse"):
        for test in ("nemenyi", "wilcoxon"):
            words = ("figure", "ranks", "--datasets", "vifb", "--profile", profile, "--test", test)
            figure = () if test == "wilcoxon" else ("-o", str(EVIDENCE / f"ranks-{profile}.png"))
            (EVIDENCE / f"ranks-{profile}-{test}.json").write_text(fusionbench(*words, "--json", *figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    if given.store:
        again(given.store)
    for path, parts in PAGES.items():
        text = page = path.read_text(encoding="utf-8")
        for name, lines in parts.items():
            text = between(text, name, "\n".join(lines()))
        if given.write:
            path.write_text(text, encoding="utf-8")
        elif text != page:
            sys.exit(f"{path.relative_to(REPO)} is not what the tables say; --write brings it up to date")


if __name__ == "__main__":
    main()
