"""What leaderboards/same-data/ teaches, in sentences whose every number is computed from its tables.

python benchmarks/same_data_lessons.py            # prints them
python benchmarks/same_data_lessons.py --write    # puts them into its README.md

A method's released row is the one with the weights that its card lists first, its own row the one that was trained on
the same data. Rows are ranked in each column, the mean of these ranks orders them; orders are compared by Spearman's
correlation. The page beside a table holds the intervals.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import publish
from scipy import stats

FOLDER = publish.BOARDS / "same-data"
HOME = "scenes-msrs"  # the dataset that was drawn by the generator of the training pairs
FEWEST = 4  # rows whose order is compared
INTERVAL = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")


@dataclass(frozen=True)
class Board:
    """One table.

    Attributes:
        dataset: whose pairs.
        images: how many.
        columns: metric to 1 where more is better, else -1.
        rows: entry to the mean of each metric.
        intervals: entry to the 95 % interval of each metric.
    """

    dataset: str
    images: int
    columns: dict[str, int]
    rows: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]

    @classmethod
    def read(cls, path: Path) -> Board:
        """A table's JSON, and its page."""
        table = json.loads(path.read_text())
        columns = {m["id"]: 1 if m["direction"] == "up" else -1 for m in table["metrics"]}
        rows = {r["id"]: {m: r["scores"][m]["mean"] for m in columns} for r in table["rows"]}
        intervals = {}
        for line in path.with_suffix(".md").read_text().splitlines():
            name, *cells = line.strip("| ").split(" | ")
            if name in rows:
                found = [INTERVAL.search(cell) for cell in cells[: len(columns)]]
                ends = [(float(m[1]), float(m[2])) for m in found if m]
                intervals[name] = dict(zip(columns, ends, strict=True))
        return cls(table["dataset"], table["images"], columns, rows, intervals)

    @property
    def title(self) -> str:
        """As sentences call it."""
        return f"held-out scenes ({self.images} pairs)" if self.dataset == HOME else f"{self.name} ({self.images})"

    @property
    def name(self) -> str:
        """Short."""
        return "scenes" if self.dataset == HOME else self.dataset.upper()

    @cached_property
    def own(self) -> list[str]:
        """What was trained on the same data, without other rows of the same weights."""
        return [name for name in self.rows if "[same" in name and "," not in name]

    @cached_property
    def both(self) -> dict[str, tuple[str, str]]:
        """Method to its released and its own row, where it has both; of two stages the one that comes first."""
        found: dict[str, tuple[str, str]] = {}
        for name in sorted(self.own, key=lambda n: ("ct" in n, "rsc" in n, n)):
            method = name.partition("[")[0]
            released = [r for r in self.rows if r.startswith(f"{method}[") and "same" not in r and "," not in r]
            if released and method not in found:
                found[method] = (released[0], name)
        return found

    def ranks(self, names: Iterable[str], metrics: Iterable[str] | None = None) -> dict[str, float]:
        """Mean rank of each of some rows among them, over some columns; 1 is best."""
        chosen = list(names)
        every = [
            stats.rankdata([-self.columns[m] * self.rows[name][m] for name in chosen])
            for m in (metrics or self.columns)
        ]
        return dict(zip(chosen, np.mean(every, axis=0).tolist(), strict=True))

    def gain(self, method: str, metric: str) -> float:
        """By how much of the released row's value the own row is better; negative where it is worse."""
        released, own = (self.rows[name][metric] for name in self.both[method])
        return self.columns[metric] * (own - released) / abs(released)

    def apart(self, method: str, metric: str) -> int:
        """-1 where the own row is worse and intervals do not meet, 1 where it is better and they do not, else 0."""
        (low, high), (own_low, own_high) = (self.intervals[name][metric] for name in self.both[method])
        if own_low <= high and low <= own_high:
            return 0
        return 1 if self.gain(method, metric) > 0 else -1


def agreement(one: dict[str, float], other: dict[str, float]) -> float:
    """Spearman's correlation of two orders of the same rows."""
    names = list(one)
    return float(stats.spearmanr([one[n] for n in names], [other[n] for n in names]).statistic)


def listed(texts: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def shown(metric: str) -> str:
    """A column's name."""
    return {"qabf": "Qabf", "qcv": "Qcv"}.get(short := metric.partition("@")[0], short.upper())


def ends(values: dict[str, float], digits: str = ".2f") -> str:
    """The largest and the smallest of some named values."""
    high, low = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    return f"from {values[low]:{digits}} ({low}) to {values[high]:{digits}} ({high})"


def sentences(boards: list[Board]) -> list[str]:
    """All of them; the first table is that of held-out scenes."""
    home, *real = boards
    return [write(home, real) for write in WRITERS]


def on_each(boards: Iterable[Board], text: Callable[[Board], str]) -> str:
    """A text of every table, with its dataset's name."""
    return listed([f"{text(board)} on {board.name}" for board in boards])


def order_of_own(home: Board, real: list[Board]) -> str:
    parts = []
    for board in real:
        names = [n for n in home.own if n in board.rows]
        rho = agreement(home.ranks(names), board.ranks(names))
        parts.append(f"{rho:.2f} with {board.title} over {len(names)} rows")
    return f"The order on {home.title} of what was trained on equal data has a rank correlation of {listed(parts)}."


def order_by_column(home: Board, real: list[Board]) -> str:
    parts = []
    for board in real:
        names = [n for n in home.own if n in board.rows]
        found = {shown(m): agreement(home.ranks(names, [m]), board.ranks(names, [m])) for m in home.columns}
        parts.append(f"{ends(found)} with {board.name}")
    return f"Column by column it goes {listed(parts)}."


def order_of_released(home: Board, real: list[Board]) -> str:
    parts = []
    for board in real:
        methods = [method for method in home.both if method in board.both]
        found = []
        for side in (0, 1):
            names = [home.both[method][side] for method in methods]
            found.append(agreement(home.ranks(names), board.ranks(names)))
        parts.append(f"{found[0]:.2f} and {found[1]:.2f} with {board.name}")
    return (
        f"Of the {len(home.both)} methods that have both rows, the order on scenes with released weights, and that on "
        f"equal data, have {listed(parts)}."
    )


def two_worlds(home: Board, real: list[Board]) -> str:
    def agrees(board: Board) -> str:
        return f"{agreement(_world(board, 0), _world(board, 1)):.2f}"

    return (
        "The order of methods among themselves with released weights and their order on equal data have a correlation "
        f"of {on_each((home, *real), agrees)}."
    )


def _world(board: Board, side: int) -> dict[str, float]:
    names = {pair[side]: method for method, pair in board.both.items()}
    return {names[name]: rank for name, rank in board.ranks(names).items()}


def best_of_worlds(home: Board, real: list[Board]) -> str:
    def first(board: Board) -> str:
        return " and ".join(min(world, key=world.__getitem__) for world in (_world(board, 0), _world(board, 1)))

    return f"First among them with released weights, and first on equal data, are {on_each((home, *real), first)}."


def by_how_much(home: Board, real: list[Board]) -> str:
    def gains(board: Board) -> str:
        median = {shown(m): 100 * float(np.median([board.gain(k, m) for k in board.both])) for m in board.columns}
        return ends(median, "+.0f")

    return (
        "What equal data gain on the released weights of the same method, in per cent, the median over methods, goes "
        f"by columns {on_each((home, *real), gains)}."
    )


def apart_or_not(home: Board, real: list[Board]) -> str:
    def counts(board: Board) -> str:
        found = [board.apart(method, metric) for method in board.both for metric in board.columns]
        worse, same, better = (found.count(kind) for kind in (-1, 0, 1))
        return f"{worse}, {same} and {better}"

    return (
        "Of these comparisons, a method in a column each, equal data are worse with intervals apart, not told from "
        f"the released weights, and better with intervals apart in {on_each((home, *real), counts)}."
    )


def who_moves(home: Board, real: list[Board]) -> str:
    rows = common(home, *real)
    lost = on_each((home, *real), lambda board: ends(costs(board, rows), "+.1f"))
    return f"The step from released weights to equal data costs, in mean rank among all rows, {lost}."


def at_home(home: Board, real: list[Board]) -> str:
    rows = common(home, *real)
    lost = on_each((home, *real), lambda board: f"{np.mean(list(costs(board, rows).values())):.1f}")
    return (
        f"On average over methods that is, of {len(rows)} places, {lost}: what was trained here is at home on "
        "scenes, what the authors released is not."
    )


def common(*boards: Board) -> list[str]:
    """Rows that all tables have."""
    return [name for name in boards[0].rows if all(name in board.rows for board in boards)]


def costs(board: Board, rows: list[str]) -> dict[str, float]:
    """By how many places a method's own row stands behind its released row among these rows."""
    place = board.ranks(rows)
    pairs = {method: pair for method, pair in board.both.items() if set(pair) <= place.keys()}
    return {method: place[own] - place[released] for method, (released, own) in pairs.items()}


def rules(home: Board, real: list[Board]) -> str:
    def above(board: Board) -> str:
        place = board.ranks(board.rows)
        better = [sum(place[name] < place[rule] for name in board.own) for rule in ("average", "maximum")]
        return f"{better[0]} and {better[1]} of {len(board.own)}"

    return (
        "Two rules that learn nothing, average and maximum of both sources, have above them, of the rows trained here "
        f"and by mean rank, {on_each((home, *real), above)}."
    )


WRITERS: tuple[Callable[[Board, list[Board]], str], ...] = (
    order_of_own,
    order_by_column,
    order_of_released,
    two_worlds,
    best_of_worlds,
    by_how_much,
    apart_or_not,
    who_moves,
    at_home,
    rules,
)


def read(folder: Path) -> list[Board]:
    """Tables of a folder, of each dataset that of most pairs, scenes first; those with too few rows are left out."""
    paths = [p for p in sorted(folder.glob("*.json")) if not re.search(r"\.(provenance|selected)\.json$", p.name)]
    boards = [board for board in map(Board.read, paths) if len(board.both) >= FEWEST]
    largest = {board.dataset: board for board in sorted(boards, key=lambda board: board.images)}
    return sorted(largest.values(), key=lambda board: (board.dataset != HOME, board.dataset))


def text(folder: Path) -> str:
    """The sentences as a numbered list, once there is a table besides that of scenes."""
    boards = read(folder)
    lines = sentences(boards) if len(boards) > 1 else ["Nothing yet: there is no table of real pictures."]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found = text(FOLDER)
    print(found)
    if asked.write:
        page = FOLDER / "README.md"
        page.write_text(publish.between(page.read_text(), "lessons", found))


if __name__ == "__main__":
    main()
