"""Where a store to be merged lies: a folder, or an address that fsspec opens.

Of an address nothing is listed: fetched are ``results.db``, and pictures by the paths that its rows give, where these
are safe ones, a batch at a time into a private folder. Sizes are bounded whatever the other side says of them. Texts of
errors of the other side are never shown, as they may repeat what opens it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fusionbench.errors import FusionbenchError
from fusionbench.results.merged_pictures import is_safe
from fusionbench.results.remote import LARGEST_PICTURE, MOST_BYTES, DeniedError, Remote, local, remote_at
from fusionbench.results.schema import FusedRow
from fusionbench.results.shelf import Shelf, shelf_of
from fusionbench.results.store import Store

LARGEST_STORE = 4 << 30  # bytes of results.db
BATCH, AT_ONCE = 64, 8  # pictures
JOURNALS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # how SQLite's write-ahead log begins


@dataclass(frozen=True)
class LocalStore:
    """A store in a folder.

    Attributes:
        folder: the folder.
        name: what messages call it.
        whole: whether no picture is looked for at the address that keeps those of this process.
    """

    folder: Path
    name: str
    whole: bool = field(default=False, kw_only=True)

    def opened(self) -> AbstractContextManager[Store]:
        """The store, open to be read."""
        return Store(self.folder, create=False)

    def fetch(self, path: str) -> str:
        """Make a picture's file be there; why it is refused, or ""."""
        return ""

    def fetched(self, rows: Iterable[FusedRow]) -> Iterator[tuple[FusedRow, str, Path]]:
        """Rows whose pictures are wanted, each when its file is there, with why it is refused, or "", and the folder
        that its path is below; some at once, and of each batch nothing stays that was fetched."""
        left, shelf = iter(rows), Shelf(self.folder) if self.whole else shelf_of(self.folder)
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                while batch := list(itertools.islice(left, BATCH)):
                    paths = list(dict.fromkeys(row.path for row in batch))
                    found = dict(zip(paths, pool.map(lambda path: self._found(shelf, path), paths), strict=True))
                    for row in batch:
                        folder, reason = found[row.path]
                        yield row, reason, folder
                    for path, (folder, _) in found.items():
                        if is_safe(path) and folder != self.own:
                            (folder / path).unlink(missing_ok=True)
        finally:
            shelf.close()

    @property
    def own(self) -> Path | None:
        """The folder of which nothing is removed."""
        return self.folder

    def _found(self, shelf: Shelf, path: str) -> tuple[Path, str]:
        return shelf.brought(path)


@dataclass(frozen=True)
class RemoteStore(LocalStore):
    """A store at an address, what is needed of it in a private folder.

    Attributes:
        remote: the address.
    """

    remote: Remote

    def fetch_store(self) -> None:
        """Bring ``results.db``.

        Raises:
            FusionbenchError: there is none, one that is being written, or one that is too large.
        """
        try:
            if self.remote.bring("results.db", self.folder / "results.db", LARGEST_STORE):
                raise FusionbenchError(f"{self.name}/results.db: over the limit of {LARGEST_STORE} bytes for a store")
        except FileNotFoundError:
            raise FusionbenchError(f"{self.name}/results.db: no results store") from None
        journal = b""
        with suppress(FileNotFoundError, DeniedError):  # some say of what is not there that it is not allowed
            journal = next(self.remote.blocks("results.db-wal"), b"")
        if journal.startswith(JOURNALS):
            raise FusionbenchError(
                f"{self.name}: a run is writing there, or was cut off; copy the folder again when it has ended"
            )

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The store, open to be read; errors name the address in place of the private folder."""
        try:
            with Store(self.folder, create=False) as store:
                yield store
        except FusionbenchError as error:
            raise FusionbenchError(str(error).replace(str(self.folder), self.name)) from None

    def fetch(self, path: str) -> str:
        """Make a picture's file be there; why it is refused, or "". One that the other side lacks is not there.

        Raises:
            FusionbenchError: it cannot be read, or too much would be fetched in all.
        """
        if not is_safe(path):
            return "its path is not one of a fused picture"
        try:
            return self.remote.bring(path, self.folder / path, LARGEST_PICTURE)
        except FileNotFoundError:
            return ""

    @property
    def own(self) -> None:
        """There is none: everything was fetched."""

    def _found(self, shelf: Shelf, path: str) -> tuple[Path, str]:
        return self.folder, self.fetch(path)


@contextmanager
def source(place: str | Path, most: int = MOST_BYTES) -> Iterator[LocalStore]:
    """A folder or an address, looked at: what is fetched of an address is gone afterwards.

    Args:
        place: a folder, ``file://``, ``memory://``, ``s3://``, ``gs://``, ``hf://``, ``http://`` or ``https://``.
        most: bytes that may be fetched in all.

    Raises:
        FusionbenchError: no store is there, or it cannot be read; fsspec or what it needs is not installed.
    """
    if isinstance(place, Path) or "://" not in place or urlsplit(place).scheme == "file":
        folder = Path(place) if isinstance(place, Path) or "://" not in place else local(place)
        if not (folder / "results.db").is_file():
            raise FusionbenchError(f"{folder / 'results.db'}: no results store")
        Store(folder, create=False).close()
        yield LocalStore(folder, str(folder))
        return
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
        there = remote_at(place, most)
        remote = RemoteStore(Path(scratch), there.name, there)
        remote.fetch_store()
        with remote.opened():
            pass
        yield remote
