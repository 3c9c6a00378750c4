"""Pictures of another machine: only pictures, only below ``fused/``, and only those that are what their record says."""

from __future__ import annotations

import heapq
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fusionbench.errors import DataError
from fusionbench.pixels.images import picture_digest, read_image, write_image
from fusionbench.results.schema import FusedRow
from fusionbench.results.storage_errors import storage_error

LARGEST = 1 << 30  # bytes of one file
LONGEST = 255  # bytes of one name


def is_safe(path: str) -> bool:
    """Whether a recorded path is a plain relative one below ``fused/`` that names a PNG file."""
    parts = PurePosixPath(path).parts
    return (
        len(parts) >= 3
        and parts[0] == "fused"
        and "/".join(parts) == path
        and path.endswith(".png")
        and not any(part.startswith(".") or len(part.encode(errors="replace")) > LONGEST for part in parts)
        and "\\" not in path
        and path.isprintable()
    )


def sample(rows: Iterable[FusedRow], count: int) -> set[FusedRow]:
    """Some pictures of every entry and split: those with the smallest hashes, which nobody chooses."""
    places: dict[tuple[str, str, str], list[FusedRow]] = {}
    for row in rows:
        places.setdefault(row[:3], []).append(row)
    return {row for every in places.values() for row in heapq.nsmallest(count, every, key=lambda r: (r.image, r.id))}


def copy_picture(row: FusedRow, source: Path, target: Path, taken: bool = False) -> str:
    """Write a source's picture into the target, from its pixels.

    Args:
        row: its record.
        source: folder that it is in.
        target: folder of the results that it becomes part of.
        taken: whether another picture has its path there.

    Returns:
        Why it is refused; empty where it was copied, or the source has the record without the picture.

    Raises:
        FusionbenchError: it cannot be written.
    """
    if not is_safe(row.path):
        return "its path is not one of a fused picture"
    place = source
    for part in PurePosixPath(row.path).parts:
        place = place / part
        try:
            mode = place.lstat()
        except FileNotFoundError:
            return ""  # the next run makes it anew
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if stat.S_ISLNK(mode.st_mode):
            return "a link on its path"
    if taken:
        return "its path is that of another picture here"
    if not stat.S_ISREG(mode.st_mode) or mode.st_size > LARGEST:
        return "no regular file" if not stat.S_ISREG(mode.st_mode) else "too large"
    try:
        pixels = read_image(place)
    except DataError:
        return "no readable picture"
    if picture_digest(pixels) != row.image:
        return "its pixels are not those of its record"
    try:
        write_image(target / row.path, pixels)
    except OSError as error:
        raise storage_error(target / row.path, error) from None
    return ""
