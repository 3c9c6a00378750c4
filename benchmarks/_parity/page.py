"""Bounds that stay as they are while they hold, and a Markdown page made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable

LADDER = [float(f"{m}e{e}") for e in range(-12, 7) for m in (1, 2, 5)]  # below it is rounding, which differs anywhere


def tidy(x: float | None) -> str:
    """A short form of a tolerance or a step of the ladder."""
    if x is None:
        return "none"
    if not math.isfinite(x):
        return "a value is missing"
    digit, _, power = f"{x:.0e}".partition("e")
    return f"{digit}e{int(power)}" if int(power) < -2 else f"{x:g}"


def step(x: float) -> int:
    """Which step of the ladder 1, 2, 5, 10 a deviation is rounded up to."""
    return next((i for i, bound in enumerate(LADDER) if x <= bound), len(LADDER))


class Deviation(float):
    """A measured deviation: written as the step above it, which it has to leave by more than a step to be rewritten.

    Where that step is beyond what is claimed, and the claim holds, the claim is the bound.
    """

    claimed = math.inf

    def within(self, claimed: float | None) -> Deviation:
        self.claimed = math.inf if claimed is None or self > claimed else claimed
        return self

    def text(self, old: str | None) -> str:
        try:
            was = step(float(old or "nan"))
        except ValueError:
            was = len(LADDER)
        new = step(self)
        if old is not None and was < len(LADDER) and abs(was - new) <= 1:
            return old
        return tidy(min(LADDER[new], self.claimed)) if new < len(LADDER) else tidy(math.inf)


Row = tuple[tuple[str, ...], tuple[object, ...] | None]


class Page:
    """Markdown under way, beside the page it will replace."""

    def __init__(self, old: str) -> None:
        self.lines: list[str] = []
        self.heading = ""
        self.sections: dict[str, list[str]] = {}
        heading = ""
        for line in old.splitlines():
            if line.startswith("#"):
                heading = line.strip("# ")
            else:
                self.sections.setdefault(heading, []).append(line)

    def head(self, level: int, title: str, *text: str) -> None:
        self.heading = title
        self.lines += ["#" * level + " " + title, ""]
        for paragraph in text:
            self.lines += [paragraph, ""]

    def table(self, header: str, rows: Iterable[Row], right: int = 0) -> list[list[str]]:
        """A table whose rows are named by their first cells; the others are measured, or copied where they are None.

        Returns:
            Those other cells, as written.
        """
        names = [c.strip() for c in header.split("|")]
        edges = ["---"] * (len(names) - right) + ["--:"] * right
        self.lines += [f"| {' | '.join(names)} |", f"|{'|'.join(edges)}|"]
        olds = [
            [c.strip() for c in line.strip("| ").split(" | ")]
            for line in self.sections.get(self.heading, [])
            if line.startswith("| ")
        ]
        every = []
        for key, cells in rows:
            key = tuple(c.replace("|", "\\|") for c in key)
            old = next((o[len(key) :] for o in olds if tuple(o[: len(key)]) == key), None)
            if cells is None:
                written = old or ["not measured"] * (len(names) - len(key))
            else:
                was = old if old and len(old) == len(cells) else [None] * len(cells)
                written = [c.text(o) if isinstance(c, Deviation) else str(c) for c, o in zip(cells, was, strict=True)]
            self.lines.append(f"| {' | '.join((*key, *written))} |")
            every.append(written)
        self.lines.append("")
        return every

    def keep(self, text: str) -> None:
        """Copy what followed `text` under this heading."""
        old = "\n".join(self.sections.get(self.heading, []))
        self.lines += [old.partition(text)[2].strip("\n") or "not measured", ""]
