"""A worker's folder as bytes: whole, and nothing of a stranger's chooses a path or grows."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from fusionbench.cluster.packing import packed, received, unpack
from fusionbench.errors import FusionbenchError


def archive(*names: str, how: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", how) as file:
        for name in names:
            file.writestr(name, b"0" * 1000)
    return data.getvalue()


def test_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "a"
    (source / "fused/x").mkdir(parents=True)
    (source / "results.db").write_bytes(b"db")
    (source / "fused/x/ä b.png").write_bytes(b"png")
    (source / "secret").symlink_to("/etc/passwd")
    unpack(packed(source), tmp_path / "b")
    found = {p.relative_to(tmp_path / "b").as_posix(): p.read_bytes() for p in (tmp_path / "b").rglob("*.*")}
    assert found == {"results.db": b"db", "fused/x/ä b.png": b"png"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\x", "./x", "a//x", "a/"])
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FusionbenchError, match="a worker returned a file that is refused"):
        unpack(archive("results.db", name), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_nothing_grows(tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="refused"):
        unpack(archive("results.db", how=zipfile.ZIP_DEFLATED), tmp_path / "b")


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04K\x01.", archive("a")[:-30]])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FusionbenchError, match="cannot be unpacked"):
        unpack(data, tmp_path / "b")


def test_an_encrypted_file(tmp_path: Path) -> None:
    data = bytearray(archive("results.db"))
    data[6] |= 1  # of the file's own head
    data[data.index(b"PK\1\2") + 8] |= 1  # of the list
    with pytest.raises(FusionbenchError, match="cannot be unpacked"):
        unpack(bytes(data), tmp_path / "b")


@pytest.mark.parametrize("answer", [None, 5, ("", "text"), (None, b""), (b"", b""), ("", b"", "more")])
def test_a_worker_that_returns_something_else(tmp_path: Path, answer: object) -> None:
    """It is a failure of its unit, not the end of the cluster."""
    with pytest.raises(FusionbenchError, match="a worker returned something else than a unit"):
        received(answer, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_worker_that_could_not(tmp_path: Path) -> None:
    assert received(("no data", b""), tmp_path / "b") == "no data"
    assert received(("", archive("results.db")), tmp_path / "b") == ""
    assert (tmp_path / "b/results.db").is_file()
