"""What a run did, and what failed in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fusionbench.evaluation.entries import Entry, Skip


class FailedImage(NamedTuple):
    """An image that has no picture or no scores."""

    entry: str
    """Id of the entry, or ``source`` where the pair itself cannot be used."""
    dataset: str
    image: str


class Column(NamedTuple):
    """A metric of an entry on a dataset."""

    entry: str
    dataset: str
    metric: str


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        fused: number of images fused in this run.
        read: number of pictures of other programs read in this run.
        cached: number of images fused or read by earlier runs.
        scored: number of values computed.
        seconds: how long it took.
        failures: what failed, with the reason.
        undefined: column to the images where the metric has no value.
        skipped: what was left out, and entries that could not start.
        broken: metric id to what it raised; such a metric has no column.
        odd: pictures that do not look like what they should be, a line for each kind.
        replaced: pictures of other programs that are not those of an earlier run, a line for each entry and dataset.
    """

    fused: int = 0
    read: int = 0
    cached: int = 0
    scored: int = 0
    seconds: float = 0.0
    failures: dict[FailedImage, str] = field(default_factory=dict)
    undefined: dict[Column, list[str]] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        """Number of pictures that this run added."""
        return self.fused + self.read

    def count(self, entry: Entry) -> None:
        """Another picture of an entry is there."""
        if entry.precomputed:
            self.read += 1
        else:
            self.fused += 1

    def add(self, other: Outcome) -> None:
        """What was done of other entries or images; each failure and each line once."""
        self.fused, self.cached = self.fused + other.fused, self.cached + other.cached
        self.read += other.read
        self.scored, self.seconds = self.scored + other.scored, self.seconds + other.seconds
        self.failures.update(other.failures)
        self.broken.update(other.broken)
        for column, images in other.undefined.items():
            self.undefined.setdefault(column, []).extend(images)
        for own, more in ((self.replaced, other.replaced), (self.odd, other.odd)):
            own += [line for line in more if line not in own]
        self.skipped += [skip for skip in other.skipped if skip not in self.skipped]


def verb_of(entry: Entry) -> str:
    """What is done for a picture of an entry: ``fusing``, or ``reading`` where another program made it."""
    return "reading" if entry.precomputed else "fusing"
