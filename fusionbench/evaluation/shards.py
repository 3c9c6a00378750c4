"""A part of a plan: every n-th pair, and every n-th task network; stores of all parts merge into that of the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.task_plan import TaskRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[T]) -> tuple[T, ...]:
        """The items of this part: which, depends on nothing but their order."""
        return tuple(items[self.number - 1 :: self.count])

    def part(self, plan: Plan) -> Plan:
        """The plan with this part of each source's pairs."""
        return replace(plan, sources=tuple(replace(s, ids=self.of(s.ids), shard=str(self)) for s in plan.sources))


def shard_of(text: str) -> Shard:
    """The part that a text such as ``1/4`` names.

    Raises:
        FusionbenchError: it names none.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise FusionbenchError(f"shard={text}: write I/N with 1 <= I <= N, e.g. 1/4 for the first of four parts")
    return Shard(int(match[1]), int(match[2]))


def task_parts(plan: Plan, request: TaskRequest) -> list[tuple[Plan, TaskRequest]]:
    """The task networks of a plan in parts that need nothing of each other, in an order that the request decides.

    A part is one network for each task and dataset: of an entry and a seed (retrained), or of a seed for all entries
    (frozen). Networks that are given are one part.
    """
    parts = []
    for source in plan.sources:
        whole = replace(plan, sources=(source,), entries=tuple(plan.entries_of(source)))
        for name in request.tasks:
            own = replace(request, tasks=(name,))
            if not request.trains(name):
                parts.append((whole, own))
                continue
            for seed in request.seeds:
                if "retrained" in request.protocols:
                    alone = replace(own, protocols=("retrained",), seeds=(seed,))
                    parts += [(replace(whole, entries=(entry,)), alone) for entry in whole.entries]
                if "frozen" in request.protocols:
                    parts.append((whole, replace(own, protocols=("frozen",), seeds=(seed,))))
    return parts
