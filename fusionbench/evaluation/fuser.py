"""Makes and saves the pictures of an entry, a pair or a batch of pairs at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

import numpy as np

from fusionbench.data.looks import levels
from fusionbench.errors import DataError
from fusionbench.evaluation.batches import Pair, fuse_pairs, together
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.room import check_room
from fusionbench.evaluation.scoring import reason_of
from fusionbench.evaluation.small import in_words
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.source_pairs import SourcePairs
from fusionbench.pixels.images import picture_digest
from fusionbench.plugins.method import Context, Method
from fusionbench.results.store import Store
from fusionbench.runtime.files import short_name

Job = tuple[Source, str, str]  # source, image id, hash of the pair
Saved = tuple[str, str]  # SHA-256 of the saved picture, its path below the output directory


class BadPair(DataError):
    """The source pair cannot be used, by any method."""


class CannotWrite(Exception):
    """The picture cannot be saved."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def entry_folder(entry: Entry, source: Source) -> str:
    """Where an entry's pictures of a source lie, below the output directory."""
    return f"fused/{entry.folder}/{short_name(f'{source.label}-{source.split}')}"


def in_batches(jobs: Iterable[Job], batch: int) -> Iterator[list[Job]]:
    """Jobs of one source, in their order, at most so many at a time."""
    for _, of_one in groupby(jobs, key=lambda job: job[0].label):
        while group := list(islice(of_one, batch)):
            yield group


class Fuser:
    """Fuses pairs and saves the pictures the way a user would; for several threads.

    Args:
        entry: whose method it is.
        method: built.
        device: where it is.
        store: where pictures go.
        pairs: reads them.

    Attributes:
        odd: what is odd about each picture, by label of the source and image id.
    """

    def __init__(self, entry: Entry, method: Method, device: str, store: Store, pairs: SourcePairs) -> None:
        self.entry, self.method, self.device, self.store, self.pairs = entry, method, device, store, pairs
        self.rule = entry.output_rule()
        self.odd: dict[tuple[str, str], str] = {}

    def __call__(self, jobs: Sequence[Job]) -> list[Saved | BaseException]:
        """What came of each of a few jobs of one source; whatever a plugin raises, an exit too, is about a picture."""
        found: dict[str, Saved | BaseException] = {}
        read: dict[tuple[int, ...], list[Pair]] = {}
        for source, ident, _ in jobs:
            try:
                pair = self._read(source, ident)
                read.setdefault(pair.ir.shape, []).append(pair)
            except BaseException as error:
                found[ident] = error
        for pairs in read.values():
            for pair, picture in zip(pairs, self._pictures(jobs[0][0], pairs), strict=True):
                try:
                    found[pair.ident] = self._save(jobs[0][0], pair.ident, picture)
                except BaseException as error:
                    found[pair.ident] = error
        return [found[ident] for _, ident, _ in jobs]

    def _read(self, source: Source, ident: str) -> Pair:
        try:
            ir, vis = self.pairs.given(source, ident)
        except DataError as error:
            raise BadPair(reason_of(error)) from None
        size = (ir.shape[-2], ir.shape[-1])
        check_room(self.entry, size, self.device, together(self.entry.batch, size))
        return Pair(ident, ir, vis)

    def _pictures(self, source: Source, pairs: list[Pair]) -> list[np.ndarray | BaseException]:
        """Pictures of pairs of one size, or why there are none."""
        size = (pairs[0].ir.shape[-2], pairs[0].ir.shape[-1])
        if self.entry.batch > 1:
            context = Context([], source.label, source.split)
            made = fuse_pairs(self.method, self.rule, pairs, self.device, context, self.entry.batch)
            return [in_words(one, size) if isinstance(one, BaseException) else one for one in made]
        found: list[np.ndarray | BaseException] = []
        for ident, ir, vis in pairs:
            try:
                context = Context([ident], source.label, source.split)
                found.append(fuse_pair(self.method, self.rule, ir, vis, self.device, context))
            except BaseException as error:
                found.append(in_words(error, size))
        return found

    def _save(self, source: Source, ident: str, picture: np.ndarray | BaseException) -> Saved:
        """Save a picture.

        Raises:
            BaseException: there is none.
            DataError: no file can have its name.
            CannotWrite: nothing can be written.
        """
        if isinstance(picture, BaseException):
            raise picture
        self.odd[source.label, ident] = levels(picture, "fused")
        path = f"{entry_folder(self.entry, source)}/{short_name(ident)}.png"
        try:
            self.store.shelf.save(path, picture)
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):  # of this picture alone
                raise DataError(f"{self.store.folder / path}: no file can have this name ({error.strerror})") from None
            raise CannotWrite(error) from None
        return picture_digest(picture), path
