"""Pairs that are sent to workers that lack them: only those of the unit, known by their hashes when they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.cluster.packing import packed_files, unpack
from fusionbench.data import Dataset
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.plan import Request
from fusionbench.evaluation.source import Source
from fusionbench.runtime.files import read_regular

LARGEST = 1 << 30  # bytes of one parcel
ENOUGH = 256 << 20  # of which units are cut where pairs are sent
BESIDE, SMALL = (".txt", ".json", ".toml"), 8 << 20  # lists and records at the top of a dataset's folder; bytes of one
LISTS = "lists"  # where a user's list of ids lies in a parcel


@dataclass(frozen=True)
class Parcel:
    """Pairs of a dataset.

    Attributes:
        root: name of the dataset's folder.
        files: path in the parcel to where it lies on the machine of the one who asks.
        hashes: of the pairs, by id.
        content: the files' bytes, or a file that holds them; None until they are sent.
    """

    root: str
    files: Mapping[str, Path]
    hashes: Mapping[str, str]
    content: bytes | Path | None = None

    def filled(self) -> bytes:
        """The files' bytes.

        Raises:
            FusionbenchError: they cannot be read, or are too many.
        """
        return packed_files(self.files, LARGEST)

    def opened(self, folder: Path, request: Request) -> Request:
        """Lay the files into a new folder; the request with the dataset that is there.

        Raises:
            FusionbenchError: they are not what was sent.
        """
        content = self.content
        if isinstance(content, Path):
            try:
                content = read_regular(content, "pairs that were sent", 2 * LARGEST)
            except (OSError, DataError) as error:
                raise FusionbenchError(f"the pairs that were sent cannot be read ({error})") from None
        unpack(content or b"", folder)
        lists = sorted((folder / LISTS).glob("*"))
        names = [spec.partition("=")[0] for spec in request.datasets]
        own = tuple(f"{name}={folder / self.root}" for name in names)
        return replace(request, datasets=own, split=str(lists[0]) if lists else request.split)

    def check(self, dataset: Dataset, split: str) -> None:
        """Compare what arrived.

        Raises:
            FusionbenchError: a pair is another one.
        """
        if other := differing(dataset, split, self.hashes):
            raise FusionbenchError(f"{len(other)} of {len(self.hashes)} pairs arrived as other files, e.g. {other[0]}")


def differing(dataset: Dataset, split: str, hashes: Mapping[str, str]) -> list[str]:
    """Ids of pairs that are not there with these hashes."""

    def other(ident: str, expected: str) -> bool:
        try:
            return dataset.hash(split, ident) != expected
        except DataError:
            return True

    return [ident for ident, expected in hashes.items() if other(ident, expected)]


def weight_of(source: Source, ids: Sequence[str]) -> int:
    """Bytes of the files of the largest of some pairs."""
    every = (source.dataset.files(source.split, ident) for ident in ids)
    return max(sum(place.stat().st_size for place in (files.ir, files.vis) if place) for files in every) or 1


def parcel_of(source: Source, ids: Sequence[str], hashes: Mapping[str, str], split: str | None) -> Parcel:
    """What would be sent of some pairs.

    Args:
        source: whose.
        ids: of the pairs.
        hashes: of pairs, by id.
        split: name of the split, or file of a user's list.

    Raises:
        FusionbenchError: its folder cannot be read, or a file lies outside of it.
    """
    dataset, name = source.dataset, source.dataset.root.resolve().name
    try:
        places = [p for p in sorted(dataset.root.iterdir()) if p.suffix in BESIDE and p.is_file()]
        places = [place for place in places if place.stat().st_size <= SMALL]
        for ident in ids:
            files = dataset.files(source.split, ident)
            places += [place for place in (files.ir, files.vis) if place]
        inside = {f"{name}/{place.relative_to(dataset.root).as_posix()}": place.absolute() for place in places}
    except (ValueError, OSError) as error:
        raise FusionbenchError(f"{dataset.root}: cannot be sent ({error})") from None
    if split and Path(split).is_file():
        inside[f"{LISTS}/{Path(split).name}"] = Path(split)
    return Parcel(name, inside, {ident: hashes[ident] for ident in ids if ident in hashes})
