"""The options of ``fusionbench eval`` that spread its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

if TYPE_CHECKING:
    from fusionbench.evaluation.shards import Shard


@dataclass(frozen=True, kw_only=True)
class SpreadOptions:
    """Which part of the work is done here."""

    shard: Annotated[
        str | None,
        click.option(
            "--shard",
            metavar="I/N",
            help="Only part I of N: every N-th pair and task network; `fusionbench merge` joins the stores.",
        ),
    ]

    def part(self) -> Shard | None:
        """The part that is asked for."""
        from fusionbench.evaluation.shards import shard_of

        return shard_of(self.shard) if self.shard else None
