"""Boards whose pairs are scored in parts, each in a store of its own until they are merged."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from fusionbench.results.records import Board


def with_shards(board: Board, other: Board) -> Board:
    """A board with the parts of another one besides its own; whole where either is, or where all parts are there."""
    if not board.shards or not other.shards:
        return msgspec.structs.replace(board, shards=msgspec.UNSET)
    parts = sorted(
        (int(count), int(number))
        for number, _, count in (part.partition("/") for part in {*board.shards, *other.shards})
    )
    numbers: dict[int, set[int]] = defaultdict(set)
    for count, number in parts:
        if 1 <= number <= count:
            numbers[count].add(number)
    whole = any(len(found) == count for count, found in numbers.items())
    return msgspec.structs.replace(board, shards=msgspec.UNSET if whole else tuple(f"{n}/{c}" for c, n in parts))
