"""Types of a recipe's settings that say which numbers make sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Above:
    """The range of a field: every number in it is above a limit."""

    limit: float

    def __contains__(self, value: float) -> bool:
        return value > self.limit

    def __str__(self) -> str:
        return f"must be a number above {self.limit:g}"


@dataclass(frozen=True)
class AtLeast:
    """The range of a field: every number in it is a limit or above."""

    limit: float

    def __contains__(self, value: float) -> bool:
        return value >= self.limit

    def __str__(self) -> str:
        return f"must be at least {self.limit:g}"


@dataclass(frozen=True)
class Between:
    """The range of a field: every number in it is from a lower to an upper limit."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"must be {self.low:g} to {self.high:g}"


Range = Above | AtLeast | Between
Count = Annotated[int, Above(0)]
Natural = Annotated[int, AtLeast(0)]
Positive = Annotated[float, Above(0)]
NotNegative = Annotated[float, AtLeast(0)]
Probability = Annotated[float, Between(0, 1)]
Size = Annotated[tuple[int, int], Above(0)]  # height, width
Interval = Annotated[tuple[float, float], Above(0)]  # from, to
