"""Files that strangers made: only regular ones are read, no more of them than expected; names that fit and print."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from fusionbench.errors import DataError

MAX_NAME = 200  # bytes; most file systems allow 255, and suffixes and temporary names are added
TEMPORARY = re.compile(r"\.(\d+)(-\d+)?\.(part|tmp)$")  # behind the name of the file: process, thread
MINUTE, DAY = 60.0, 86400.0


def check_regular(path: str | Path, what: str = "the image", limit: int | None = None) -> None:
    """Look at a file before it is opened: a pipe would be waited for, a device never ends.

    Args:
        path: the file; links are followed.
        what: what the file should hold, for the message.
        limit: bytes that it may have.

    Raises:
        DataError: a pipe, socket or device, or more bytes. A folder passes: opening it fails at once.
        OSError: it is not there.
    """
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
        raise DataError(f"{path}: not a regular file but a pipe or a device; save {what} as a file")
    if limit is not None and state.st_size > limit:
        raise DataError(f"{path}: {state.st_size} bytes, over the limit of {limit} for {what}; is it the right file?")


def read_regular(path: str | Path, what: str, limit: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: no regular file, or more than `limit` bytes.
        OSError: it cannot be read.
    """
    check_regular(path, what, limit)
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # it grew, or states no size
        raise DataError(f"{path}: over the limit of {limit} bytes for {what}; is it the right file?")
    return data


def sha256(path: str | Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def decoded(data: bytes) -> str:
    """A text that other programs saved: UTF-8, or UTF-16 in either order (PowerShell's), with or without mark.

    Raises:
        UnicodeDecodeError: another encoding, or no text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16")
    elif len(data) > 1 and not len(data) % 2 and 0 in data[:2] and data[:2] != b"\0\0":
        text = data.decode("utf-16-le" if data[1] == 0 else "utf-16-be")  # no text in UTF-8 has a zero byte
    else:
        text = data.decode("utf-8-sig")
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", data[:1], 0, 1, "holds zero bytes")
    return text


def short_name(name: str) -> str:
    """A file name without suffix that file systems take: a long one is cut and told apart by a hash."""
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= MAX_NAME:
        return name
    return data[: MAX_NAME - 17].decode("utf-8", "ignore") + "-" + hashlib.sha256(data).hexdigest()[:16]


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8; another one can stand in no database, table or list."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def printable(text: str, allowed: str = "") -> str:
    r"""Text that a terminal prints as it is: control characters and bytes that are no UTF-8 are written ``\x1b``."""
    return "".join(c if c in allowed or not _acts(c) else c.encode("unicode_escape").decode() for c in text)


def _acts(c: str) -> bool:
    """Whether a terminal may obey a character (control codes, marks that turn the direction), or cannot encode it."""
    return (
        c < " "
        or "\x7f" <= c <= "\x9f"
        or c in "\u2028\u2029\u200e\u200f"
        or ("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" or "\ud800" <= c <= "\udfff")
    )


def sweep(folder: Path, pattern: str = ".*.part") -> None:
    """Remove what killed runs left: temporary files whose process has ended, and what is a day old."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            if not (match := TEMPORARY.search(path.name)):
                continue
            is_folder, now = path.is_dir() and not path.is_symlink(), time.time()
            newest = max(p.lstat().st_mtime for p in (path, *(path.rglob("*") if is_folder else ())))
            if now - path.lstat().st_mtime > DAY or (now - newest > MINUTE and not _running(int(match[1]))):
                shutil.rmtree(path) if is_folder else path.unlink()


def _running(process: int) -> bool:
    """Whether this machine has a process of that number. (One of another machine has just written to its file.)"""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True
