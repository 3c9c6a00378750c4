"""Where a store to be merged lies: a folder, or an address that fsspec opens.

Of an address nothing is listed: fetched are ``results.db``, and pictures by the paths that its rows give, where these
are safe ones, a batch at a time into a private folder. Sizes are bounded whatever the other side says of them. Texts of
errors of the other side are never shown, as they may repeat what opens it.
"""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from fusionbench.errors import FusionbenchError
from fusionbench.results.merged_pictures import is_safe
from fusionbench.results.schema import FusedRow
from fusionbench.results.store import Store
from fusionbench.runtime.addresses import shown_of

PACKAGES = {  # scheme to what fsspec needs for it
    "memory": "",
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
}
LARGEST_STORE = 4 << 30  # bytes of results.db
LARGEST_PICTURE = 256 << 20
MOST_FILES = 5_000_000
MOST_BYTES = 64 << 30  # of a source in all
BLOCK = 1 << 20
BATCH, AT_ONCE = 64, 8  # pictures
JOURNALS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # how SQLite's write-ahead log begins


class _DeniedError(FusionbenchError):
    """Access is denied."""


@dataclass(frozen=True)
class LocalStore:
    """A store in a folder.

    Attributes:
        folder: the folder.
        name: what messages call it.
    """

    folder: Path
    name: str

    def opened(self) -> AbstractContextManager[Store]:
        """The store, open to be read."""
        return Store(self.folder, create=False)

    def fetch(self, path: str) -> str:
        """Make a picture's file be there; why it is refused, or ""."""
        return ""

    def fetched(self, rows: Iterable[FusedRow]) -> Iterator[tuple[FusedRow, str]]:
        """Rows whose pictures are wanted, each when its file is there, with why it is refused, or ""."""
        return ((row, "") for row in rows)


@dataclass(frozen=True)
class RemoteStore(LocalStore):
    """A store at an address, what is needed of it in a private folder.

    Attributes:
        files: of fsspec.
        root: the address as `files` takes it.
        quoted: whether paths are written as in an address of the web.
        most: bytes that may be fetched in all.
        used: files and bytes that were.
        counting: held while these are changed.
    """

    files: Any  # fsspec has no types
    root: str
    quoted: bool
    most: int = MOST_BYTES
    used: list[int] = field(default_factory=lambda: [0, 0])
    counting: Lock = field(default_factory=Lock)

    def fetch_store(self) -> None:
        """Bring ``results.db``.

        Raises:
            FusionbenchError: there is none, one that is being written, or one that is too large.
        """
        try:
            if self._bring("results.db", LARGEST_STORE):
                raise FusionbenchError(f"{self.name}/results.db: over the limit of {LARGEST_STORE} bytes for a store")
        except FileNotFoundError:
            raise FusionbenchError(f"{self.name}/results.db: no results store") from None
        journal = b""
        with suppress(FileNotFoundError, _DeniedError):  # some say of what is not there that it is not allowed
            journal = next(self._blocks("results.db-wal"), b"")
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
            return self._bring(path, LARGEST_PICTURE)
        except FileNotFoundError:
            return ""

    def fetched(self, rows: Iterable[FusedRow]) -> Iterator[tuple[FusedRow, str]]:
        """Some at once; of each batch no file stays."""
        left = iter(rows)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while batch := list(itertools.islice(left, BATCH)):
                paths = list(dict.fromkeys(row.path for row in batch))
                reasons = dict(zip(paths, pool.map(self.fetch, paths), strict=True))
                yield from ((row, reasons[row.path]) for row in batch)
                for path in filter(is_safe, paths):
                    (self.folder / path).unlink(missing_ok=True)

    def _bring(self, path: str, limit: int) -> str:
        """Copy a file, whole or not at all; why it is refused, or "".

        Raises:
            FileNotFoundError: it is not there.
            FusionbenchError: it cannot be read, or too much would be fetched in all.
        """
        self._count(files=1)
        target, size = self.folder / path, 0
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                for block in self._blocks(path):
                    size += len(block)
                    self._count(size=len(block))
                    if size > limit:
                        break
                    file.write(block)
                else:
                    return ""
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        target.unlink()
        return "too large"

    def _count(self, files: int = 0, size: int = 0) -> None:
        """Note what is fetched.

        Raises:
            FusionbenchError: it is too much.
        """
        with self.counting:
            self.used[0] += files
            self.used[1] += size
        if self.used[0] > MOST_FILES:
            raise FusionbenchError(f"{self.name}: over the limit of {MOST_FILES} files")
        if self.used[1] > self.most:
            raise FusionbenchError(
                f"{self.name}: over the limit of {self.most / 2**30:.3g} GiB for all of it; most=GIB allows more"
            )

    def _blocks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            FileNotFoundError: it is not there.
            FusionbenchError: it cannot be read.
        """
        place = f"{self.root.rstrip('/')}/{quote(path) if self.quoted else path}"
        try:
            with self.files.open(place, "rb") as file:
                while block := file.read(BLOCK):
                    yield block
        except FileNotFoundError:
            raise FileNotFoundError(path) from None
        except Exception as error:  # of any package that fsspec uses
            kind = _DeniedError if _denied(error) else FusionbenchError
            raise kind(f"{self.name}/{path}: {_why(error)}") from None


def _why(error: Exception) -> str:
    """Why something cannot be read, without the error's own text, in which secrets may stand."""
    if _denied(error):
        return "access is denied; credentials come from the variables and files of its provider, see docs/lab.md"
    number = getattr(error, "errno", None)
    return f"cannot be read ({os.strerror(number) if isinstance(number, int) else type(error).__name__})"


def _denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or "Credential" in type(error).__name__


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
        folder = Path(place) if isinstance(place, Path) or "://" not in place else _local(place)
        if not (folder / "results.db").is_file():
            raise FusionbenchError(f"{folder / 'results.db'}: no results store")
        Store(folder, create=False).close()
        yield LocalStore(folder, str(folder))
        return
    files, root = _filesystem(place)
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as scratch:
        name = shown_of(place).rstrip("/")
        remote = RemoteStore(Path(scratch), name, files, root, place.startswith("http"), most)
        remote.fetch_store()
        with remote.opened():
            pass
        yield remote


def _local(address: str) -> Path:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise FusionbenchError(f"{shown_of(address)}: a file:// address has three slashes, as in file:///data/results")
    return Path(url2pathname(parts.path))


def _filesystem(address: str) -> tuple[Any, str]:
    """What opens an address, and the address as it takes it.

    Raises:
        FusionbenchError: the address is of another kind, holds secrets, or a package is missing.
    """
    shown, scheme = shown_of(address), address.partition("://")[0].lower()
    if scheme not in PACKAGES or "::" in address:
        raise FusionbenchError(f"{shown}: stores are read from {', '.join(f'{s}://' for s in ('file', *PACKAGES))}")
    if "@" in address.partition("://")[2].partition("/")[0] or {"?", "#"} & set(address):
        raise FusionbenchError(
            f"{shown}: an address holds no credentials and nothing behind ? or #; "
            "credentials come from the variables and files of its provider"
        )
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError:
        raise FusionbenchError(
            f"{shown}: addresses need fsspec, which is not installed: pip install 'ivif-fusionbench[remote]'"
        ) from None
    try:
        files, root = core.url_to_fs(address)
    except ImportError:
        need = PACKAGES[scheme]
        raise FusionbenchError(f"{shown}: needs {need}, which is not installed: pip install {need}") from None
    except Exception as error:  # of any package that fsspec uses
        raise FusionbenchError(f"{shown}: {_why(error)}") from None
    return files, str(root)
