"""Why a file cannot be read or written, in plain words; no number depends on it, as on `runtime.files`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

PLAIN = {
    errno.EISDIR: "is a folder; name a file",
    errno.ELOOP: "a link that leads back to itself",
    errno.ENAMETOOLONG: "the name is too long for this disk; choose a shorter one",
}


def reason(path: Path, error: OSError) -> str:
    """Why a file or folder cannot be read or written, in plain words, without numbers and names of temporary files."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        blocking = next((p for p in path.parents if os.path.lexists(p) and not os.path.isdir(p)), path)
        return f"{blocking} is a file where a folder is needed; name another place"
    return PLAIN.get(error.errno or 0) or error.strerror or " ".join(str(error).split())
