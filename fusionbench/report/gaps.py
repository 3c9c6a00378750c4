"""How far two numbers lie apart, and whether they print alike, where either may be missing."""

from __future__ import annotations

import math

from fusionbench.report.numbers import fixed


def gap(a: float | None, b: float | None) -> float:
    """Difference of two means; infinite where only one of them is a number."""
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    difference = abs(a - b)
    return 0.0 if a == b else difference if math.isfinite(difference) else math.inf


def alike(a: float | None, b: float | None, digits: int) -> bool:
    """Whether two numbers are the same in print, with so many decimals."""
    if a is None or b is None:
        return a is b
    return fixed(a, digits) == fixed(b, digits)
