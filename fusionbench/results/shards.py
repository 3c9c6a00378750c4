"""Boards whose pairs are scored in parts, each in a store of its own until they are merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from fusionbench.results.records import Board
from fusionbench.results.schema import BoardRow
from fusionbench.results.store import Store


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


def joined(store: Store, own: Iterable[BoardRow], other: Iterable[BoardRow]) -> Iterator[tuple[tuple[str, ...], Board]]:
    """Boards, by dataset, split and output rule, of which another store has parts that the own one lacks."""
    theirs = {row[:3]: store.decoded(Board, row.info) for row in other}
    for row in own:
        present = store.decoded(Board, row.info)
        if row[:3] in theirs and (board := with_shards(present, theirs[row[:3]])) != present:
            yield row[:3], board
