"""Unpacking an archive so that nothing lands outside the target, and no disk is filled by a small file.

The same rules hold for zip and tar. ``tarfile``'s own filter "data" is milder: it strips a leading slash instead of
refusing the name, knows no drive letters and backslashes, and lets links to files inside the archive through.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from fusionbench.data.streams import BROKEN, Forward, decompressed, directory_size
from fusionbench.errors import DataError
from fusionbench.runtime.files import short_name, sweep
from fusionbench.runtime.reasons import reason

BLOCK = 1 << 20
ENTRY_COST = 2048  # bytes that an entry counts for besides its content: an inode, and room in a folder
MAX_DIRECTORY = 32 << 20  # bytes of the table of contents of a zip, all of which is held in memory
TARGET_AT_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class TargetError(DataError):
    """The folder to unpack to is at fault and not the archive, which is worth keeping."""


def extract(
    archive: str | Path,
    target: str | Path,
    *,
    max_bytes: int = 200 << 30,
    max_files: int = 1_000_000,
    max_ratio: float = 100.0,
    find: Callable[[Path], Path | None] | None = None,
) -> Path:
    """Unpack a zip or tar archive.

    Only plain files and folders are made, none outside ``target``. Everything is unpacked beside the target first,
    so that a refused or broken archive leaves nothing behind.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz.
        target: the folder; may exist, but no file in it is overwritten by another.
        max_bytes: most bytes it may unpack to.
        max_files: most entries it may have.
        max_ratio: most bytes it may unpack to for each byte of the archive (beyond the first 64 MiB), where each entry
            counts for 2 KiB besides its content.
        find: picks the folder to move to the target from what was unpacked; None for all of it.

    Raises:
        DataError: one line: not an archive, broken, something in it that is refused, or a file that is there already.
    """
    archive, target = Path(archive), Path(target)
    if not archive.is_file():
        raise DataError(f"{archive}: no such file")
    make_folder(target.parent)
    limit = min(max_bytes, max(int(archive.stat().st_size * max_ratio), min(max_bytes, 64 << 20)))
    sweep(target.parent, f".{short_name(target.name)}.*.part")
    try:
        prefix, suffix = f".{short_name(target.name)}.", f".{os.getpid()}.part"
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=target.parent))
    except OSError as error:
        raise TargetError(f"{target.parent}: cannot be written ({error.strerror}); choose another folder") from None
    try:
        _unpack(archive, temporary / "all", limit, max_files)
        root = find(temporary / "all") if find else temporary / "all"
        if root is None:
            raise DataError(f"{archive}: the archive does not hold the expected folders; get and unpack it by hand")
        _move(root, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        TargetError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{folder}: cannot be made ({reason(folder, error)}); choose another folder") from None


class _Entry(NamedTuple):
    """One entry of an archive; `size` is what its header states."""

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]


def _unpack(archive: Path, folder: Path, limit: int, max_files: int) -> None:
    try:
        _write(archive, folder, limit, max_files)
    except BROKEN as error:
        raise DataError(f"{archive}: broken or unsupported archive ({error}); fetch it again") from None
    except OSError as error:
        kind = TargetError if error.errno in TARGET_AT_FAULT else DataError
        raise kind(f"{archive}: cannot be unpacked: {error}") from None


def _write(archive: Path, folder: Path, limit: int, max_files: int) -> None:
    folder.mkdir()
    written = 0
    for count, entry in enumerate(_entries(archive), 1):
        path = folder / _safe(archive, entry.name)
        if count > max_files:
            raise DataError(f"{archive}: more than {max_files} entries; refused")
        written += ENTRY_COST
        if entry.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        if written + entry.size > limit:
            raise DataError(f"{archive}: unpacks to more than {limit} bytes; refused")
        path.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, open(path, "wb") as file:
            while block := source.read(BLOCK):
                written += len(block)
                if written > limit:  # the header understated the size
                    raise DataError(f"{archive}: unpacks to more than {limit} bytes; refused")
                file.write(block)


def _entries(archive: Path) -> Iterator[_Entry]:
    """The files and folders of an archive; anything else in it is refused."""
    return _zip_entries(archive) if zipfile.is_zipfile(archive) else _tar_entries(archive)


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    if directory_size(archive) > MAX_DIRECTORY:
        raise DataError(
            f"{archive}: its table of contents is over the limit of {MAX_DIRECTORY} bytes; unpack it by hand"
        )
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {info.filename!r} is a link or a device; refused")
            if info.flag_bits & 1:
                raise DataError(f"{archive}: {info.filename!r} is encrypted; unpack it by hand")
            yield _Entry(info.filename, info.file_size, info.is_dir(), partial(bundle.open, info))


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with open(archive, "rb") as file:
        stream = Forward(decompressed(file))
        try:
            bundle = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 - it holds nothing but `file`
        except tarfile.ReadError as error:
            if stream.exceeded:
                raise
            raise DataError(f"{archive}: neither a zip nor a tar archive; unpack it by hand ({error})") from None
        while (member := bundle.next()) is not None:
            vars(bundle)["members"].clear()  # it would keep them all
            stream.in_header = False
            if not (member.isdir() or member.isreg()):
                raise DataError(f"{archive}: {member.name!r} is a link or a device; refused")
            yield _Entry(member.name, member.size, member.isdir(), partial(_open_member, bundle, member))
            stream.in_header = True


def _open_member(bundle: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = bundle.extractfile(member)
    if file is None:
        raise tarfile.TarError(f"{member.name!r} holds no data")
    return file


def _safe(archive: Path, name: str) -> Path:
    plain = name.replace("\\", "/")
    pure = PurePosixPath(plain)
    if not plain or pure.is_absolute() or ".." in pure.parts or "\0" in plain or plain[1:2] == ":":
        raise DataError(f"{archive}: {name!r} would land outside the target; refused")
    return Path(*pure.parts)


def _move(source: Path, target: Path) -> None:
    try:
        if not target.exists():
            os.replace(source, target)
            return
        files = {path: target / path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        for path, new in files.items():  # the same file is no matter: a run was cut off here, or is done again
            if new.exists() and not (new.is_file() and filecmp.cmp(path, new, shallow=False)):
                raise TargetError(f"{new} is there already; it is another file: unpack into an empty folder")
        for path, new in files.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, new)
    except OSError as error:
        raise TargetError(f"{target}: cannot be written ({reason(target, error)}); choose another folder") from None
