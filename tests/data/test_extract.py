"""Archives that try to write elsewhere or to fill the disk."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile

import pytest

from fusionbench.data.archives import extract
from fusionbench.errors import DataError

FILES = {"a/b.txt": b"hello", "c.txt": b"", "a/d/e.bin": bytes(5000)}


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(tmp_path, archive, pattern, **options):
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(DataError, match=pattern) as caught:
        extract(archive, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}")
    assert sorted(p.name for p in tmp_path.iterdir()) == before, "something was left behind"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_plain(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        make_zip(path, {"empty/": b"", **FILES})
    else:
        folder = member("a", tarfile.DIRTYPE)
        make_tar(path, [(folder, b""), *((member(n), d) for n, d in FILES.items())], "w:" + kind.partition(".")[2])
    assert extract(path, tmp_path / "out") == tmp_path / "out"
    assert contents(tmp_path / "out") == FILES
    assert sorted(os.listdir(tmp_path)) == ["out", path.name]
    mode = (tmp_path / "out" / "c.txt").stat().st_mode
    assert not mode & (stat.S_IXUSR | stat.S_ISUID)


def test_into_a_folder_that_exists(tmp_path):
    path = make_zip(tmp_path / "x.zip", FILES)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "mine").write_bytes(b"kept")
    extract(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {**FILES, "mine": b"kept"}
    extract(path, tmp_path / "out")  # as a run that was cut off does again
    assert contents(tmp_path / "out") == {**FILES, "mine": b"kept"}
    (tmp_path / "out" / next(iter(FILES))).write_bytes(b"another")
    refused(tmp_path, path, "is there already; it is another file: unpack into an empty folder")


OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "\\evil", "..\\evil", "C:\\evil", "a\\..\\..\\evil", "C:evil"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside(tmp_path, name):
    pattern = "would land outside the target; refused"
    refused(tmp_path, make_zip(tmp_path / "x.zip", {"ok": b"", name: b"x"}), pattern)
    refused(tmp_path, make_tar(tmp_path / "x.tar", [(member(name), b"x")]), pattern)


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "inside"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_in_tar(tmp_path, kind, link):
    path = make_tar(tmp_path / "x.tar", [(member("l", kind, link), b""), (member("l/x"), b"x")])
    refused(tmp_path, path, "'l' is a link or a device; refused")


def test_links_in_zip(tmp_path):
    info = zipfile.ZipInfo("l")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc")
    refused(tmp_path, path, "'l' is a link or a device; refused")


def test_bombs(tmp_path):
    zeros = {"zeros": bytes(1 << 20)}
    path = make_zip(tmp_path / "x.zip", zeros)
    refused(tmp_path, path, "unpacks to more than 1000 bytes; refused", max_bytes=1000)
    path = make_tar(tmp_path / "x.tar.gz", [(member("zeros"), zeros["zeros"])], "w:gz")
    refused(tmp_path, path, "unpacks to more than 1000 bytes; refused", max_bytes=1000)
    refused(tmp_path, make_zip(tmp_path / "y.zip", FILES), "more than 2 entries; refused", max_files=2)


def test_ratio(tmp_path):
    """80 MB of zeros in 80 kB: beyond 64 MiB the ratio counts."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    refused(tmp_path, path, f"unpacks to more than {64 << 20} bytes; refused")


def test_header_that_understates_its_size(tmp_path):
    """The stated size is patched to 10 bytes; what comes out is counted, and the checksum fails."""
    path = make_zip(tmp_path / "x.zip", {"zeros": bytes(100_000)})
    data = path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    refused(tmp_path, path, r"broken or unsupported archive \(.*CRC")


def test_broken(tmp_path):
    path = make_zip(tmp_path / "x.zip", FILES)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 8] ^= 0xFF
    path.write_bytes(whole)
    refused(tmp_path, path, "broken or unsupported archive|would land outside|cannot be unpacked")
    path = make_tar(tmp_path / "x.tar.gz", [(member("a"), os.urandom(50_000))], "w:gz")
    path.write_bytes(path.read_bytes()[:20_000])
    refused(tmp_path, path, r"broken or unsupported archive \(.+\); fetch it again")
    (tmp_path / "text.zip").write_text("hello")
    refused(tmp_path, tmp_path / "text.zip", "neither a zip nor a tar archive; unpack it by hand")
    refused(tmp_path, tmp_path / "none.zip", "no such file")


def test_encrypted(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"a": b"x"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    refused(tmp_path, path, "'a' is encrypted; unpack it by hand")


def test_file_where_a_folder_is_needed(tmp_path):
    refused(tmp_path, make_zip(tmp_path / "x.zip", {"a": b"x", "a/b": b"y"}), "cannot be unpacked")
