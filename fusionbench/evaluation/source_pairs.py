"""Decoded source pairs, kept while there is room, so that the entries of a run need not decode a pair each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionbench.data import Sample
    from fusionbench.evaluation.plan import Source

LIMIT = 512 << 20  # bytes; the 361 test pairs of MSRS take 424 MiB


class SourcePairs:
    """Reads pairs for several threads.

    Every entry asks for the pairs in the same order, so the first ones that fit stay and the others are read each time:
    what was used last would be thrown away just before it is asked for again.

    Args:
        limit: bytes of pixels to keep.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.room = limit
        self._kept: dict[tuple[str, str, str], Sample] = {}
        self._lock = threading.Lock()

    def get(self, source: Source, ident: str) -> Sample:
        """A pair, whose pixels nobody may change.

        Raises:
            DataError: it cannot be read; the next call tries again.
        """
        key = (source.label, source.split, ident)
        if (kept := self._kept.get(key)) is not None:
            return kept
        pair = source.dataset.pair(source.split, ident)
        with self._lock:
            if key not in self._kept and (size := pair.ir.nbytes + pair.vis.nbytes) <= self.room:
                self._kept[key] = pair
                self.room -= size
        return pair

    def last(self, source: Source, ident: str) -> Sample:
        """Like :meth:`get`, and the pair is not kept any longer."""
        pair = self.get(source, ident)
        with self._lock:
            if self._kept.pop((source.label, source.split, ident), None) is not None:
                self.room += pair.ir.nbytes + pair.vis.nbytes
        return pair
