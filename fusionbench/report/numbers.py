"""Numbers as text, and which of them are the best as they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def places(means: Mapping[str, float], digits: int, up: bool) -> dict[str, int]:
    """1 for the best and 2 for the second of some means; those that are printed alike share a place.

    Args:
        means: name to value; NaN takes no part.
        digits: decimals that are printed.
        up: whether more is better.
    """
    printed = {name: float(fixed(value, digits)) for name, value in means.items() if not math.isnan(value)}
    best = sorted(set(printed.values()), reverse=up)[:2]
    return {name: best.index(value) + 1 for name, value in printed.items() if value in best}
