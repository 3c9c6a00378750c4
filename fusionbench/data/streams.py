"""Compressed archives read forward in bounded memory: what an archive says of its own sizes is not believed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

Readable = IO[bytes] | io.BufferedIOBase
BLOCK = 1 << 20
MAX_HEADER = 1 << 20  # bytes before an entry's content: names and attributes
MAX_HEADERS = 256 << 20  # of all entries together: attributes that hold for all that follow pile up
XZ_MEMORY = 256 << 20  # `xz -9` needs 65 MiB
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    OverflowError,
    ValueError,
)


def decompressed(file: IO[bytes]) -> Readable:
    """The content of a gzip, bzip2 or xz file, told by its first bytes; of any other file, the file."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start == b"\xfd7zXZ\0":
        return io.BufferedReader(Xz(file), BLOCK)
    return file


class Xz(io.RawIOBase):
    """The content of an xz file. (``lzma.LZMAFile`` lets the file choose how much memory is taken.)"""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: lzma.LZMADecompressor | None = None
        self._rest = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed wants the private ABC
        """As the base class: the next bytes, none at the end.

        Raises:
            EOFError: the file is cut off.
            lzma.LZMAError: it is broken or wants more memory.
        """
        while True:
            if self._decoder is None or self._decoder.eof:
                rest = self._decoder.unused_data if self._decoder else b""
                self._rest = (rest or self._file.read(BLOCK)).lstrip(b"\0")  # padding between streams
                if not self._rest:
                    return 0
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
            elif self._decoder.needs_input and not self._rest:
                self._rest = self._file.read(BLOCK)
                if not self._rest:
                    raise EOFError("it is cut off")
            data = self._decoder.decompress(self._rest, len(buffer))
            self._rest = b""
            if data:
                buffer[: len(data)] = data
                return len(data)


class Forward(io.RawIOBase):
    """What tarfile reads from: forward only, and little as long as it reads headers.

    Attributes:
        in_header: whether what is read is not yet an entry's content.
        exceeded: whether a header was too long.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._position = self._header = self._headers = 0
        self._in_header, self.exceeded = True, False

    @property
    def in_header(self) -> bool:
        """Whether what is read is not yet an entry's content."""
        return self._in_header

    @in_header.setter
    def in_header(self, value: bool) -> None:
        self._in_header, self._header = value, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go forward to an offset from the beginning.

        Raises:
            tarfile.ReadError: backward.
        """
        if whence or offset < self._position:
            raise tarfile.ReadError("its entries are not in order")
        while self._position < offset:
            block = self._file.read(min(BLOCK, offset - self._position))
            if not block:
                break
            self._position += len(block)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            tarfile.ReadError: a header that is too long, or headers that are.
        """
        if self._in_header:
            self._header += max(size, 0)
            self._headers += max(size, 0)
            self.exceeded = self._header > MAX_HEADER or self._headers > MAX_HEADERS
        if self.exceeded or not 0 <= size <= BLOCK:
            self.exceeded = True
            raise tarfile.ReadError("a header of unusual length")
        data = self._file.read(size)
        self._position += len(data)
        return data


def directory_size(archive: Path) -> int:
    """Bytes of the table of contents of a zip archive, as its end states them; 0 where the end is not found."""
    with open(archive, "rb") as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(max(0, length - (1 << 16) - 22 - 76))
        end = file.read()
    place = len(end) - 22  # as zipfile looks for it: without a comment, else the last that looks like one
    if not (end[place : place + 4] == b"PK\5\6" and end.endswith(b"\0\0")):
        place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 22:
        return 0
    size: int = struct.unpack("<L", end[place + 12 : place + 16])[0]
    wide = place - 76  # the record of archives beyond 4 GiB, and 20 bytes that say where it is
    if wide >= 0 and end[wide : wide + 4] == b"PK\6\6":
        size = struct.unpack("<Q", end[wide + 40 : wide + 48])[0]
    return size
