"""Boards whose pairs are scored in parts, each in a store of its own until they are merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from fusionbench.results.records import Board

Place = tuple[str, ...]  # dataset, split, output rule


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


def joined(own: Mapping[Place, Board], other: Mapping[Place, Board]) -> Iterator[tuple[Place, Board]]:
    """Boards, by dataset, split and output rule, of which another store has parts that the own one lacks."""
    for place, board in own.items():
        if place in other and (both := with_shards(board, other[place])) != board:
            yield place, both
