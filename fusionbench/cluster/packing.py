"""A worker's folder as bytes and back; nothing in them is executed, chooses a path or grows when it is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.runtime.files import read_regular

MOST_FILES = 100_000


def packed(folder: Path) -> bytes:
    """Every regular file below a folder, as a ZIP archive without compression: pictures and weights have it already."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                archive.write(path, path.relative_to(folder).as_posix())
    return data.getvalue()


def packed_files(files: Mapping[str, Path], limit: int) -> bytes:
    """Some files under the names that they get, as :func:`packed`.

    Raises:
        FusionbenchError: one cannot be read, or they are too many bytes.
    """
    data, left = io.BytesIO(), limit
    try:
        with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
            for name, path in files.items():
                content = read_regular(path, "a file that is sent", max(0, left))
                left -= len(content)
                archive.writestr(zipfile.ZipInfo(name), content)
    except (OSError, DataError) as error:
        raise FusionbenchError(f"data cannot be sent: {error}") from None
    return data.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Write what :func:`packed` made into a new folder.

    Raises:
        FusionbenchError: it is something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
            if len(files) > MOST_FILES:
                raise FusionbenchError(f"a worker returned {len(files)} files, over the limit of {MOST_FILES}")
            for file in files:
                parts = PurePosixPath(file.filename).parts
                plain = "/".join(parts) == file.filename and not {"/", "..", "."} & set(parts)
                plain = plain and "\\" not in file.filename
                # without compression nothing is larger than what was received
                if not plain or file.compress_type != zipfile.ZIP_STORED or file.file_size != file.compress_size:
                    raise FusionbenchError(f"a worker returned a file that is refused: {file.filename!r}")
            if sum(file.file_size for file in files) > len(data):
                raise FusionbenchError("a worker returned files that lie over each other")
            folder.mkdir()
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, struct.error) as error:
        raise FusionbenchError(f"what a worker returned cannot be unpacked ({error})") from None


def received(answer: object, folder: Path) -> str:
    """Write what a worker returned, the reason and the bytes of its folder, into a new folder.

    Returns:
        Why it could not do its unit, or "".

    Raises:
        FusionbenchError: it returned something else.
    """
    match answer:
        case (str(reason), bytes(data)):
            if not reason:
                unpack(data, folder)
            return reason
    raise FusionbenchError("a worker returned something else than a unit")
