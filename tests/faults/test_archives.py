"""Archives that are small and unpack to much, or whose headers are: refused in bounded memory, and nothing is left."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionbench.data import archives, streams
from fusionbench.data.archives import extract
from fusionbench.errors import DataError

MEBI = 1 << 20
COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def header(name: bytes, size: int, kind: bytes, mode: bytes = b"0000644") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:107] = mode
    block[124:136] = b"%011o\0" % size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def long_name(size: int) -> bytes:
    return header(b"././@LongLink", size, b"L") + b"a" * size + header(b"x", 0, b"0") + bytes(1024)


def pax(size: int, kind: bytes = b"x") -> bytes:
    record = b"%d comment=" % size
    return header(b"pax", size, kind) + record.ljust(size - 1, b"a") + b"\n" + header(b"x", 0, b"0") + bytes(1024)


def many_global(size: int) -> bytes:
    """Attributes of all that follows, again and again with other names."""
    made = b""
    for number in range(size >> 19):
        record = b"%d key%d=" % (1 << 19, number)
        made += header(b"pax", 1 << 19, b"g") + record.ljust((1 << 19) - 1, b"a") + b"\n"
    return made + header(b"x", 0, b"0") + bytes(1024)


@pytest.mark.parametrize("kind", list(COMPRESS))
@pytest.mark.parametrize("make", [long_name, pax, many_global])
def test_headers_are_bounded(
    tmp_path: Path, kind: str, make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_HEADERS", 4 * MEBI)
    path = tmp_path / f"a.tar.{kind}"
    path.write_bytes(COMPRESS[kind](make(8 * MEBI)))
    with pytest.raises(DataError, match=r"header of unusual length|neither a zip nor a tar") as caught:
        extract(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_memory_of_a_gigabyte_of_header(tmp_path: Path) -> None:
    """In a process that may have little memory."""
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(header(b"././@LongLink", 1 << 30, b"L"))
        for _ in range(1024):
            file.write(bytes(MEBI))
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom fusionbench.data.archives import extract\n"
        "from fusionbench.errors import DataError\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    extract(Path(sys.argv[1]), Path(sys.argv[1]).parent / 'out')\n"
        "except DataError as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    message, used = done.stdout.splitlines()
    assert "header of unusual length" in message
    assert int(used) < 64


def tar_of(count: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"{number}"))
    return made.getvalue()


def zip_of(count: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}", b"")
    return made.getvalue()


@pytest.mark.parametrize("kind", ["zip", *COMPRESS])
def test_many_entries_without_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(zip_of(3000) if kind == "zip" else COMPRESS[kind](tar_of(3000)))
    with pytest.raises(DataError, match=r"unpacks to more than|more than 2000 entries"):
        extract(path, tmp_path / "out", max_bytes=2 * MEBI)
    with pytest.raises(DataError, match="more than 2000 entries"):
        extract(path, tmp_path / "out", max_files=2000)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_table_of_contents_of_a_zip_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(100))
    with zipfile.ZipFile(path) as archive:
        real = len(path.read_bytes()) - archive.start_dir - 22
    assert streams.directory_size(path) == real
    monkeypatch.setattr(archives, "MAX_DIRECTORY", real - 1)
    with pytest.raises(DataError, match="its table of contents is over the limit"):
        extract(path, tmp_path / "out")
    comment = tmp_path / "b.zip"
    comment.write_bytes(path.read_bytes()[:-2] + struct.pack("<H", 7) + b"comment")
    assert streams.directory_size(comment) == real


def test_an_xz_file_does_not_choose_our_memory(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(tar_of(1), filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    data[16] = 40  # the dictionary is 4 GiB
    size = (data[12] + 1) * 4
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    (tmp_path / "a.tar.xz").write_bytes(data)
    with pytest.raises(DataError, match=r"[Mm]emory"):
        extract(tmp_path / "a.tar.xz", tmp_path / "out")


@pytest.mark.parametrize("kind", ["", *COMPRESS])
def test_ordinary_archives_unpack_as_before(tmp_path: Path, kind: str) -> None:
    """Long names, several streams in one file, large and empty files."""
    made = io.BytesIO()
    files = {"a/" + "b" * 150 + "/c.txt": b"hello", "ü.bin": bytes(range(256)) * 9000, "empty": b"", "e" * 250: b"x"}
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    whole = made.getvalue()
    pack = COMPRESS.get(kind, bytes)
    (tmp_path / "a").write_bytes(pack(whole[:5000]) + pack(whole[5000:]))
    out = extract(tmp_path / "a", tmp_path / "out")
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("kind", list(COMPRESS))
def test_cut_off_anywhere(tmp_path: Path, kind: str) -> None:
    whole = COMPRESS[kind](tar_of(3) + bytes(range(256)) * 40)
    for length in range(1, len(whole) - 1, max(1, len(whole) // 40)):
        (tmp_path / "a").write_bytes(whole[:length])
        try:
            extract(tmp_path / "a", tmp_path / f"out{length}")
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - what is whole before the cut may be unpacked


def test_a_folder_of_a_process_that_has_ended_is_swept_once_nobody_writes_to_it(tmp_path: Path) -> None:
    ended, mine, busy = (
        tmp_path / f".out.{name}.{number}.part" for name, number in (("a", 999999), ("b", os.getpid()), ("c", 999999))
    )
    for folder in (ended, mine, busy):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
        for path in (folder / "x", folder):
            os.utime(path, (time.time() - 3600,) * 2)
    os.utime(busy / "x")
    (tmp_path / "a.tar").write_bytes(tar_of(1))
    extract(tmp_path / "a.tar", tmp_path / "out")
    assert [folder.exists() for folder in (ended, mine, busy)] == [False, True, True]


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    old, new = tmp_path / ".out.abc.999999.part", tmp_path / ".out.abd.999999.part"
    for folder in (old, new):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    os.utime(old, (0, 0))
    (tmp_path / "a.tar").write_bytes(tar_of(1))
    extract(tmp_path / "a.tar", tmp_path / "out")
    assert not old.exists()
    assert new.exists()
