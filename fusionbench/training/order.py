"""Data order and randomness as functions of (seed, epoch, index): nothing in here has a state that could be lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError


@dataclass(frozen=True)
class Step:
    """Which samples one step reads, over all processes.

    Attributes:
        groups: indices into the training set, one tuple for each batch the step needs (a meta step needs two).
        kind: for recipes that alternate; appears in the loss log.
        salt: tells apart two readings of one sample in the same epoch, whose augmentation should differ.
    """

    groups: tuple[tuple[int, ...], ...]
    kind: str = ""
    salt: int = 0

    def share(self, rank: int, world: int) -> Step:
        """What one of ``world`` processes reads: an equal, contiguous part of every group.

        Raises:
            FusionbenchError: when a group cannot be divided evenly.
        """
        for group in self.groups:
            if len(group) % world:
                raise FusionbenchError(
                    f"a batch of {len(group)} cannot be divided among {world} processes; use a multiple of {world}"
                )
        return replace(self, groups=tuple(_part(group, rank, world) for group in self.groups))


def _part(group: tuple[int, ...], rank: int, world: int) -> tuple[int, ...]:
    size = len(group) // world
    return group[rank * size : (rank + 1) * size]


def randomness(seed: int, *keys: int) -> np.random.Generator:
    """A generator of its own for each (seed, epoch, index, ...); keys are not negative."""
    return np.random.default_rng([seed, *keys])


def draw(count: int, amount: int, seed: int, *keys: int) -> list[int]:
    """``amount`` indices below ``count``: one random permutation after another, so that all come equally often."""
    rng = randomness(seed, *keys)
    rounds = -(-amount // count) if count else 0
    return [int(i) for _ in range(rounds) for i in rng.permutation(count)][:amount]


def shuffled(
    count: int, batch: int, seed: int, epoch: int, *, last: str = "drop", kind: str = "", salt: int = 0
) -> list[Step]:
    """One pass over a training set in random order.

    Args:
        count: samples in the set.
        batch: samples of a step, over all processes.
        seed: of the run.
        epoch: from 0.
        last: what becomes of an incomplete last batch: ``drop`` or ``keep``.
        kind: of every step.
        salt: of every step; also changes the order.

    Raises:
        FusionbenchError: fewer samples than a batch, with ``drop``.
    """
    if last == "drop" and count < batch:
        raise FusionbenchError(
            f"{counted(count, 'training sample', 'are')} fewer than a batch of {batch}; use a smaller batch"
        )
    order = draw(count, count, seed, epoch, salt)
    end = count - count % batch if last == "drop" else count
    return [Step((tuple(order[i : min(i + batch, end)]),), kind, salt) for i in range(0, end, batch)]


def digest(names: Sequence[Sequence[str]], steps: Sequence[Step]) -> str:
    """SHA-256 of an epoch's order: kinds, indices and names of every step."""
    text = "\n".join(f"{s.kind} {s.groups} {s.salt} {list(n)}" for s, n in zip(steps, names, strict=True))
    return hashlib.sha256(text.encode()).hexdigest()
