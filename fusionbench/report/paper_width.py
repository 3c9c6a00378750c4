"""How wide a table will be in print, before any TeX has seen it: roughly, and rather too wide."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

COLUMN, PAGE = 237.0, 496.0  # points: the columns and the text of CVPR's pages, a little narrower than those of IEEE's
SIZES = {r"\footnotesize": 8.0, r"\scriptsize": 7.0}  # points, in a document of 10 pt
BETWEEN = 4.0  # points between two columns, at least
ROOM = 1.07  # for fonts that are wider, such as Computer Modern at 7 pt; not where the user says how wide


def em(text: str) -> float:
    """Width of a line in ems of Times, a little above it."""
    return sum(_letter(c) for c in text) * 1.04


def _letter(c: str) -> float:
    if unicodedata.east_asian_width(c) in "WF":
        return 1.0
    if c in ".,:;il'|![]()/ ":
        return 0.31
    if c in "↑–mwMW@%&+±":
        return 0.85
    return 0.72 if c.isupper() else 0.5


def fitting(columns: Sequence[Sequence[str]], wanted: str, tables: int) -> tuple[str, float] | None:
    """The font size and the width of the narrowest place that a table fits.

    Args:
        columns: the texts of each column.
        wanted: ``column``, ``page``, or "" for either.
        tables: how many; several stand over both columns of a page where nothing is wanted.

    Returns:
        The LaTeX command of the size, and one of `COLUMN` and `PAGE`; None where it fits neither.
    """
    ems = (1.0 if wanted else ROOM) * sum(max(em(text) for text in column) for column in columns)
    limits = {"column": [COLUMN], "page": [PAGE]}.get(wanted, [COLUMN, PAGE] if tables == 1 else [PAGE])
    for limit in limits:
        for size, points in SIZES.items():
            if ems * points + BETWEEN * (len(columns) - 1) <= limit:
                return size, limit
    return None
