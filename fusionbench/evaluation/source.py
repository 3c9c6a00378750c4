"""One dataset split that is scored under one protocol."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fusionbench.data import Dataset
from fusionbench.evaluation.protocol import Metric, Protocol, metric_change
from fusionbench.results.records import Board, Origin


@dataclass(frozen=True)
class Source:
    """One dataset split that is scored under one protocol.

    Attributes:
        dataset: the adapter, on its folder.
        label: name in tables; a generated tree says so here.
        ids: the image ids to score, in order.
        expected: number of images in the whole split, or None where nobody states it.
        origin: where a generated tree comes from; empty for real images.
        shard: ``1/4`` where only a part of the ids is scored here, and others elsewhere.
    """

    dataset: Dataset
    label: str
    protocol: Protocol
    ids: tuple[str, ...]
    expected: int | None
    metrics: tuple[Metric, ...]
    origin: Origin
    shard: str = ""

    @property
    def token(self) -> str:
        """The protocol's token with everything that this run changes behind it."""
        return self.protocol.token + metric_change({m.id for m in self.metrics}, {m.id for m in self.protocol.own()})

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.protocol.split

    @property
    def partial(self) -> bool:
        """Whether images of the split are not scored."""
        return self.expected is not None and len(self.ids) < self.expected

    @property
    def unmatched(self) -> str:
        """What of a user's list is not there, in one line; "" where all of it is."""
        return self.dataset.unmatched(self.split)

    def board(self) -> Board:
        """What provenance and tables tell of it."""
        split, title, how = self.dataset.split(self.split), self.dataset.card.title, self.dataset.corruption
        title = f"Scenes in the layout of {title}" if self.origin.generator else title
        return Board(
            dataset=self.label,
            title=f"{title} with {how.text}" if how else title,
            split=self.split,
            split_sha256=split.sha256,
            split_source=split.source,
            expected=self.expected,
            protocol=self.protocol.token,
            own_metrics=tuple(m.id for m in self.protocol.own()),
            colour=self.protocol.colour,
            output=self.protocol.output,
            metrics=tuple(m.id for m in self.metrics),
            origin=self.origin,
            corruption=str(how) if how else msgspec.UNSET,
            shards=(self.shard,) if self.shard else msgspec.UNSET,
        )
