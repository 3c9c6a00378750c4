"""Where units are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fusionbench.cluster.units import Unit
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.scoring import reason_of


class ClusterGone(FusionbenchError):
    """There is nobody left who would do the units that have not ended."""


@dataclass(frozen=True)
class Ended:
    """How a unit ended.

    Attributes:
        number: of the unit.
        reason: why it could not be done; "" where its folder holds the results.
        died: whether its process came to an end of its own, so that another try may help.
    """

    number: int
    reason: str = ""
    died: bool = False


class Engine(Protocol):
    """Does units, several at once.

    Attributes:
        slots: how many are done at once.
    """

    slots: int

    def run(self, units: Sequence[Unit], folder: Path) -> Iterator[Ended]:
        """Do units, each into ``folder/NUMBER``; in the order in which they end.

        Raises:
            ClusterGone: what has not ended never will.
        """


def attempt(unit: Unit, folder: Path) -> str:
    """Do a unit here, into a folder; why it could not be done, or ""."""
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    try:
        folder.mkdir(exist_ok=True)
        unit.do(folder)
    except Exception as error:  # also of a plugin's code: the other units go on
        return reason_of(error)
    return ""
