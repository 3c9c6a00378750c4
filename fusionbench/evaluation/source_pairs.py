"""Source pairs: their hashes; and decoded ones, kept while there is room, so that entries need not decode one each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.evaluation.parallel import parallel
from fusionbench.evaluation.scoring import reason_of
from fusionbench.results.records import SOURCE, Case, Failures
from fusionbench.runtime.files import is_text, printable

if TYPE_CHECKING:
    from fusionbench.evaluation.plan import Source

Progress = Callable[[str, int, int], None]  # (what, done, total)
Pair = tuple[np.ndarray, np.ndarray]  # infrared uint8 [1,H,W], visible uint8 [3,H,W]
LIMIT = 512 << 20  # bytes; the 361 test pairs of MSRS take 424 MiB


def hashed(source: Source, jobs: int, progress: Progress = lambda *_: None) -> tuple[dict[str, str], Failures]:
    """Image id to the hash of its pair, and pairs that cannot be read at all."""
    hashes: dict[str, str] = {}
    failures: Failures = {}
    results = parallel(jobs, lambda i: source.dataset.hash(source.split, i), source.ids)
    for done, (image, future) in enumerate(results, 1):
        if not is_text(image):  # no store, table or list can hold it
            failures[Case(SOURCE, printable(image))] = "the name of the file is not UTF-8; rename it"
        elif error := future.exception():
            failures[Case(SOURCE, image)] = reason_of(error)
        else:
            hashes[image] = future.result()
        progress(f"reading {source.label}", done, len(source.ids))
    return hashes, failures


class SourcePairs:
    """Reads pairs for several threads.

    Every entry asks for the pairs in the same order, so the first ones that fit stay and the others are read each time:
    what was used last would be thrown away just before it is asked for again.

    Args:
        limit: bytes of pixels to keep.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.room = limit
        self._kept: dict[tuple[str, str, str], Pair] = {}
        self._lock = threading.Lock()

    def get(self, source: Source, ident: str) -> Pair:
        """A pair, whose pixels nobody may change.

        Raises:
            DataError: it cannot be read; the next call tries again.
        """
        key = (source.label, source.split, ident)
        if (kept := self._kept.get(key)) is not None:
            return kept
        read = source.dataset.pair(source.split, ident)
        pair = read.ir, read.vis
        with self._lock:
            if key not in self._kept and (size := _size(pair)) <= self.room:
                self._kept[key] = pair
                self.room -= size
        return pair

    def last(self, source: Source, ident: str) -> Pair:
        """Like :meth:`get`, and the pair is not kept any longer."""
        pair = self.get(source, ident)
        with self._lock:
            if self._kept.pop((source.label, source.split, ident), None) is not None:
                self.room += _size(pair)
        return pair


def _size(pair: Pair) -> int:
    return pair[0].nbytes + pair[1].nbytes
