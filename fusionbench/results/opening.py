"""Opening a results file to read it, and nothing else: nothing is written to it or beside it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from fusionbench.results.storage_errors import cannot_open


def open_to_read(path: Path) -> sqlite3.Connection:
    """A file that is not written; also in a folder that may not be, where SQLite cannot keep its shared memory."""
    uri = path.resolve().as_uri()
    try:
        return _connect(uri + "?mode=ro")
    except sqlite3.Error as error:
        if not cannot_open(error):
            raise
    journal = path.with_name(path.name + "-wal")
    if not journal.is_file() or not journal.stat().st_size:
        return _connect(uri + "?immutable=1")
    with tempfile.TemporaryDirectory() as scratch:  # another user's run was cut off, or is not finished
        for file in (journal, path):
            shutil.copyfile(file, Path(scratch, file.name))
        with closing(_connect(Path(scratch, path.name).as_uri())) as db:
            return in_memory(db)


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, timeout=60, isolation_level=None, uri=True)
    try:
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the file is opened here
    except BaseException:
        db.close()
        raise
    return db


def in_memory(db: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of a database that can be changed without a file."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    db.backup(copy)
    return copy
