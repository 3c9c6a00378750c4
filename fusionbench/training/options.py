"""How a run is done, which no weight depends on, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Note = Callable[[str], None]  # takes a remark, one line


def silent(text: str) -> None:
    """A note that is not printed."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Which process of how many this is, as torchrun numbers them; its rendezvous is torch's own (``env://``).

    Attributes:
        rank: of this process, from 0.
        world: how many there are.
        local_rank: of this process on its machine, which chooses its GPU.
        local_world: how many are on its machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is done.

    Attributes:
        command: for the provenance.
        note: takes remarks, a line each; from the first process only.
        max_steps: stop (with a checkpoint) when so many steps are done in all.
        max_seconds: stop likewise after so much time in this session.
        quiet: no progress bar.
        profile: watch so many steps with ``torch.profiler``; 0 for none.
        launch: which process of how many this is.
        loggers: further ones by name, with where each writes to, see :mod:`fusionbench.training.loggers`.
    """

    command: str = ""
    note: Note = silent
    max_steps: int | None = None
    max_seconds: float | None = None
    quiet: bool = False
    profile: int = 0
    launch: Launch = Launch()
    loggers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Result:
    """How a call of :func:`fusionbench.training.loop.train` ended.

    Attributes:
        finished: whether all epochs are done.
        step: steps done in all.
        best: best score (negative mean loss of an epoch where the recipe has no score), or None.
        checkpoint: the newest checkpoint.
        first: whether this is the first process, which writes files.
    """

    finished: bool
    step: int
    best: float | None
    checkpoint: Path
    first: bool = True
