"""Files at an address that fsspec opens: read within bounds whatever the other side says of sizes, written whole.

Nothing is listed but folders of one's own pictures. Texts of errors of the other side are never shown, as they may
repeat what opens it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.runtime.addresses import shown_of
from fusionbench.runtime.files import read_regular

PACKAGES = {  # scheme to what fsspec needs for it
    "memory": "",
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
}
LARGEST_PICTURE = 256 << 20  # bytes
MOST_FILES = 5_000_000
MOST_BYTES = 64 << 30  # of a place in all
BLOCK = 1 << 20


class Elsewhere(Protocol):
    """A folder that is not one of this machine, or is shared.

    Attributes:
        name: what messages call it; holds no secrets.
    """

    @property
    def name(self) -> str:
        """See above."""

    def bring(self, path: str, target: Path, limit: int) -> str:
        """See :meth:`Remote.bring`."""

    def put(self, path: str, data: bytes) -> None:
        """See :meth:`Remote.put`."""

    def names(self, folder: str) -> set[str]:
        """See :meth:`Remote.names`."""

    def remove(self, path: str) -> None:
        """See :meth:`Remote.remove`."""


class DeniedError(FusionbenchError):
    """Access is denied."""


@dataclass(frozen=True)
class Remote:
    """A folder at an address.

    Attributes:
        name: what messages call it.
        files: of fsspec.
        root: the address as `files` takes it.
        quoted: whether paths are written as in an address of the web.
        most: bytes that may be fetched in all.
        used: files and bytes that were.
        counting: held while these are changed.
    """

    name: str
    files: Any  # fsspec has no types
    root: str
    quoted: bool
    most: int = MOST_BYTES
    used: list[int] = field(default_factory=lambda: [0, 0])
    counting: Lock = field(default_factory=Lock)

    def bring(self, path: str, target: Path, limit: int) -> str:
        """Copy a file, whole or not at all; why it is refused, or "".

        Raises:
            FileNotFoundError: it is not there.
            FusionbenchError: it cannot be read, or too much would be fetched in all.
        """
        self._count(files=1)
        size = 0
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                for block in self.blocks(path):
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

    def blocks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            FileNotFoundError: it is not there.
            FusionbenchError: it cannot be read.
        """
        place = self.place(path)
        try:
            with self.files.open(place, "rb") as file:
                while block := file.read(BLOCK):
                    yield block
        except FileNotFoundError:
            raise FileNotFoundError(path) from None
        except Exception as error:  # of any package that fsspec uses
            kind = DeniedError if _denied(error) else FusionbenchError
            raise kind(f"{self.name}/{path}: {_why(error)}") from None

    def put(self, path: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            FusionbenchError: it cannot be written.
        """
        try:
            self.files.pipe_file(self.place(path), data)
        except Exception as error:
            raise FusionbenchError(f"{self.name}: {_why(error, 'written')}") from None

    def names(self, folder: str) -> set[str]:
        """Names of what lies in a folder; none where it is not there.

        Raises:
            FusionbenchError: it cannot be listed.
        """
        try:
            self.files.invalidate_cache()
            return {
                str(name).rstrip("/").rpartition("/")[2] for name in self.files.ls(self.place(folder), detail=False)
            }
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise FusionbenchError(f"{self.name}/{folder}: {_why(error)}") from None

    def remove(self, path: str) -> None:
        """Remove a file, where that is allowed."""
        with suppress(Exception):
            self.files.rm_file(self.place(path))

    def place(self, path: str) -> str:
        """A path as `files` takes it."""
        return f"{self.root.rstrip('/')}/{quote(path) if self.quoted else path}"


@dataclass(frozen=True)
class SharedFolder:
    """A folder that other machines see too.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.folder)

    def bring(self, path: str, target: Path, limit: int) -> str:
        """See :meth:`Remote.bring`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(read_regular(self.folder / path, "a file that is kept there", limit))
        except FileNotFoundError:
            raise FileNotFoundError(path) from None
        except DataError:
            return "no regular file, or too large"
        except OSError as error:
            raise FusionbenchError(f"{self.folder / path}: {_why(error)}") from None
        return ""

    def put(self, path: str, data: bytes) -> None:
        """See :meth:`Remote.put`."""
        target = self.folder / path
        fresh = target.with_name(f".{uuid4().hex}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
            fresh.replace(target)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise FusionbenchError(f"{self.folder}: {_why(error, 'written')}") from None

    def names(self, folder: str) -> set[str]:
        """See :meth:`Remote.names`."""
        try:
            return set(os.listdir(self.folder / folder))
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise FusionbenchError(f"{self.folder / folder}: {_why(error)}") from None

    def remove(self, path: str) -> None:
        """See :meth:`Remote.remove`."""
        with suppress(OSError):
            (self.folder / path).unlink()


def _why(error: Exception, verb: str = "read") -> str:
    """Why something cannot be read, without the error's own text, in which secrets may stand."""
    if _denied(error):
        return "access is denied; credentials come from the variables and files of its provider, see docs/lab.md"
    number = getattr(error, "errno", None)
    return f"cannot be {verb} ({os.strerror(number) if isinstance(number, int) else type(error).__name__})"


def _denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or "Credential" in type(error).__name__


def place_of(text: str) -> Elsewhere:
    """Where one's own files are kept: a folder, ``file://`` or an address as in :func:`remote_at`.

    Raises:
        FusionbenchError: the address is of another kind, holds secrets, or a package is missing.
    """
    scheme = text.partition("://")[0].lower()
    if "://" not in text or scheme == "file":
        return SharedFolder((local(text) if scheme == "file" else Path(text)).absolute())
    if scheme in ("http", "https"):
        raise FusionbenchError(f"{shown_of(text)}: nothing can be kept at an address of the web")
    return remote_at(text, 1 << 62)


def local(address: str) -> Path:
    """The folder of a ``file://`` address.

    Raises:
        FusionbenchError: it is one of another machine.
    """
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise FusionbenchError(f"{shown_of(address)}: a file:// address has three slashes, as in file:///data/results")
    return Path(url2pathname(parts.path))


def remote_at(address: str, most: int = MOST_BYTES) -> Remote:
    """What is at an address; nothing is opened yet.

    Args:
        address: ``memory://``, ``s3://``, ``gs://``, ``hf://``, ``http://`` or ``https://``.
        most: bytes that may be fetched in all.

    Raises:
        FusionbenchError: the address is of another kind, holds secrets, or a package is missing.
    """
    shown, scheme = shown_of(address), address.partition("://")[0].lower()
    if scheme not in PACKAGES or "::" in address:
        raise FusionbenchError(f"{shown}: an address begins with {', '.join(f'{s}://' for s in ('file', *PACKAGES))}")
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
    return Remote(shown.rstrip("/"), files, str(root), address.startswith("http"), most)
