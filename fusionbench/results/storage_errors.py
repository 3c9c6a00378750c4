"""What is wrong with a file of results, in one line that says what to do."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.runtime.reasons import reason

FULL = "the disk is full; free some space and run the same command again, finished images are kept"
UNWRITABLE = "cannot be written; choose a writable directory with out="
UNREADABLE = "cannot be read; ask its owner for access"
FOREIGN = "is damaged or no results store; move it away, or choose another out="
BROKEN = "the disk cannot be read or written (disk I/O error); free some space or look at the disk, then run it again"
BUSY = "another run holds it for over a minute; try again"

# SQLite's result codes, with the text by which Python 3.10, which does not give the code, tells them.
SQLITE = {
    "SQLITE_FULL": ("disk is full", FULL),
    "SQLITE_READONLY": ("readonly database", UNWRITABLE),
    "SQLITE_CANTOPEN": ("unable to open", UNWRITABLE),
    "SQLITE_NOTADB": ("not a database", FOREIGN),
    "SQLITE_CORRUPT": ("malformed", FOREIGN),
    "SQLITE_BUSY": ("database is locked", BUSY),
    "SQLITE_LOCKED": ("table is locked", BUSY),
    "SQLITE_IOERR": ("disk I/O error", BROKEN),
}
LITTLE = 1 << 20  # bytes that are free on a disk on which SQLite could not make the files that it needs
DAMAGED = ("Could not decode to UTF-8", "no such column", "no such table", "string or blob too big")
SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: UNWRITABLE,
    errno.EPERM: UNWRITABLE,
    errno.EROFS: UNWRITABLE,
}


def cannot_open(error: sqlite3.Error) -> bool:
    """Whether SQLite may not open or write a file, or one that it needs beside it (on a full disk, for one)."""
    code = getattr(error, "sqlite_errorname", "")
    names = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL")
    return code.startswith(names) or (not code and any(SQLITE[name][0] in str(error) for name in names))


def storage_error(path: Path, error: Exception, reading: bool = False) -> FusionbenchError:
    """One line for a file that cannot be written or read."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        text = SYSTEM.get(error.errno or 0) or reason(path, error)
    elif isinstance(error, UnicodeDecodeError):  # names in the file that are no text
        text = FOREIGN
    elif isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorname", "")
        if any(text.startswith(words) for words in DAMAGED):
            text = FOREIGN
        for name, (words, remedy) in SQLITE.items():
            if code.startswith(name) or (not code and words in text):  # SQLite's texts name no file
                text = FULL if remedy == BROKEN and _is_full(path) else remedy
                break
    return FusionbenchError(f"{path}: {UNREADABLE if reading and text == UNWRITABLE else text}")


def _is_full(path: Path) -> bool:
    """Whether the disk that a file lies on has hardly any room: SQLite does not say why it could not write."""
    try:
        return shutil.disk_usage(path.parent).free < LITTLE
    except OSError:
        return False
