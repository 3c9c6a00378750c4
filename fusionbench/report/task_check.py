"""What came of verifying published results of task networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from fusionbench.results.provenance import made_here
from fusionbench.results.records import TaskResult

PICTURES = "hash of pictures and labels"


@dataclass
class TaskCheck:
    """What came of it.

    Attributes:
        differences: claims that are not so or could not be checked.
        recorded: columns whose scores nothing verified, a line each.
        notes: pictures of other bytes, of results of another processor, whose last bits are others.
        worst: column without its score to the largest difference of any score.
        misprinted: columns without their score where a printed digit is another.
        compared: number of results that were scored again.
        processors: that made the table, for results that do not say it.
    """

    differences: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    misprinted: set[str] = field(default_factory=set)
    compared: int = 0
    processors: Collection[str] = ()

    def take(self, what: str, lines: Sequence[str], result: TaskResult, device: str) -> None:
        """What of a result is not so here: a difference; of another processor's pictures their hash alone is a note."""
        made = {result.made.processor} - {""} or set(self.processors)
        moved = bool(made) and made_here(device).processor not in made
        only_pictures = len(lines) == 1 and lines[0].startswith(f"its {PICTURES} ")
        (self.notes if moved and only_pictures else self.differences).extend(f"{what}: {line}" for line in lines)
