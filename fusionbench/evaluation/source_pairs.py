"""Source pairs as methods get them: their hashes; and kept while there is room, decoded and corrupted once for all."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.errors import DataError
from fusionbench.evaluation.parallel import parallel
from fusionbench.evaluation.scoring import reason_of
from fusionbench.results.records import SOURCE, Case, Failures
from fusionbench.runtime.files import is_text, printable

if TYPE_CHECKING:
    from fusionbench.evaluation.source import Source

Progress = Callable[[str, int, int], None]  # (what, done, total)
Pair = tuple[np.ndarray, np.ndarray]  # infrared uint8 [1,H,W], visible uint8 [3,H,W]
Key = tuple[str, str, str, bool]  # source's label, split, id, whether it is what methods get of a corrupted source
LIMIT = 512 << 20  # bytes; the 361 test pairs of MSRS take 424 MiB
OWN = 1 << 17  # bytes of a pair that is kept in a mapping of its own


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
        self._kept: dict[Key, Pair] = {}
        self._lock = threading.Lock()

    def get(self, source: Source, ident: str) -> Pair:
        """A pair as it is, whose pixels nobody may change.

        Raises:
            DataError: it cannot be read; the next call tries again.
        """
        return self._get(source, ident, corrupted=False)

    def given(self, source: Source, ident: str) -> Pair:
        """What methods get of it, which is something else where the source is corrupted."""
        return self._get(source, ident, corrupted=source.dataset.corruption is not None)

    def _get(self, source: Source, ident: str, corrupted: bool) -> Pair:
        key = (source.label, source.split, ident, corrupted)
        if (kept := self._kept.get(key)) is not None:
            return kept
        read = source.dataset.pair(source.split, ident)
        pair = source.dataset.given(ident, read.ir, read.vis) if corrupted else (read.ir, read.vis)
        with self._lock:
            if key not in self._kept and (size := _size(pair)) <= self.room:
                self._kept[key] = pair = _apart(pair)
                self.room -= size
        return pair

    def parts(self, sources: Sequence[Source]) -> Iterator[list[Source]]:
        """Sources in groups: the good ones, then as many corrupted ones at a time as there is room for all their pairs.

        Pairs of an earlier group are no longer kept. Where the pairs of one source are too many, the first ones are.
        """
        part = [source for source in sources if source.dataset.corruption is None]
        taken = self.room if part else 0
        for source in sources:
            if source.dataset.corruption is not None:
                size = self._size_of(source)
                if part and taken + size > self.room:
                    yield part
                    self.forget()
                    part, taken = [], 0
                part, taken = [*part, source], taken + size
        yield part

    def _size_of(self, source: Source) -> int:
        """Bytes of all pairs of a source, were they as large as the first that can be read."""
        for ident in source.ids:
            try:
                read = source.dataset.pair(source.split, ident)
            except DataError:
                continue  # told where it is fused
            return len(source.ids) * _size((read.ir, read.vis))
        return 0

    def forget(self) -> None:
        """Keep no pair any longer."""
        with self._lock:
            self.room += sum(map(_size, self._kept.values()))
            self._kept.clear()

    def last(self, source: Source, ident: str) -> Pair:
        """Like :meth:`get`, and the pair is not kept any longer."""
        pair = self.get(source, ident)
        with self._lock:
            if self._kept.pop((source.label, source.split, ident, False), None) is not None:
                self.room += _size(pair)
        return pair


def _apart(pair: Pair) -> Pair:
    """A copy outside the heap: what stays for long between blocks that come and go makes the heap grow ever larger."""
    size = _size(pair)
    if size < OWN:  # many small ones would need more mappings than a process may have
        return pair
    room, at, found = mmap.mmap(-1, size), 0, []
    for pixels in pair:
        copy = np.ndarray(pixels.shape, pixels.dtype, room, at)
        copy[...] = pixels
        copy.flags.writeable = pixels.flags.writeable
        found.append(copy)
        at += pixels.nbytes
    return found[0], found[1]


def _size(pair: Pair) -> int:
    return pair[0].nbytes + pair[1].nbytes
