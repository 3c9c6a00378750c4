"""Results on a disk without room: read nevertheless, and the reason is named; what a killed run left goes."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fusionbench.results import storage_errors
from fusionbench.results.storage_errors import storage_error
from tests.conftest import fusionbench, make_tree
from tests.faults.campaign.disk import apart, mount, mounts, own_mounts


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of two pairs."""
    root = tmp_path_factory.mktemp("results")
    make_tree(root / "data", 2)
    words = ("eval", "--methods=average,visible", "--metrics=en", "--datasets=msrs", "--data-root", root / "data")
    assert fusionbench(*words, "--out", root / "out").returncode == 0
    return root


@pytest.mark.parametrize("journal", [False, True])
def test_a_store_on_a_full_disk_is_read(results: Path, tmp_path: Path, journal: bool) -> None:
    """Also where an interrupted run has left its journal."""
    if not mounts(tmp_path):
        pytest.skip("no file system can be mounted here")
    shown = fusionbench("leaderboard", "--out", results / "out").stdout
    assert "| average |" in shown

    def read() -> tuple[int, str, str]:
        own_mounts()
        disk = tmp_path / "disk"
        mount(disk, 1 << 20)
        shutil.copy(results / "out/results.db", disk)
        if journal:
            shutil.copy(results / "out/results.db", tmp_path)
            writer = sqlite3.connect(tmp_path / "results.db")
            writer.execute("PRAGMA wal_autocheckpoint=0")
            with writer:
                writer.execute("INSERT INTO runs SELECT started || 'x', info FROM runs")
            for suffix in ("", "-wal"):
                shutil.copy(tmp_path / f"results.db{suffix}", disk)
        with open(disk / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        done = fusionbench("leaderboard", "--out", disk)
        return done.returncode, done.stdout, done.stderr

    assert apart(read) == (0, shown, "")


class Failed(sqlite3.OperationalError):
    """As Python 3.11 and later have it; 3.10 gives the text alone."""

    sqlite_errorname = "SQLITE_IOERR_SHMSIZE"


@pytest.mark.parametrize("kind", [Failed, sqlite3.OperationalError])
@pytest.mark.parametrize(("free", "said"), [(0, storage_errors.FULL), (1 << 30, storage_errors.BROKEN)])
def test_a_disk_error_is_laid_to_the_room_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[sqlite3.Error], free: int, said: str
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(storage_errors.shutil, "disk_usage", lambda path: usage)
    assert str(storage_error(tmp_path / "results.db", kind("disk I/O error"))) == f"{tmp_path / 'results.db'}: {said}"


def left(folder: Path, name: str = ".a.png.999999-1.tmp") -> Path:
    """What a killed run leaves."""
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (0, 0))
    return path


def test_merge_sweeps_what_a_killed_one_left(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fusionbench("merge", results / "out", "--out", out).returncode == 0
    picture = next((out / "fused").rglob("*.png"))
    with closing(sqlite3.connect(out / "results.db")) as db, db:
        db.execute("DELETE FROM fused WHERE path=?", (picture.relative_to(out).as_posix(),))
    whole = picture.read_bytes()
    half, users = left(picture.parent), left(picture.parent, "mine.tmp")
    assert fusionbench("merge", results / "out", "--out", out).returncode == 0
    assert not half.exists()
    assert users.exists()
    assert picture.read_bytes() == whole


def test_synth_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    from fusionbench.data import synth

    def stop(_what: str, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth.synth("msrs", tmp_path / "MSRS", 0, 4, (32, 40), 0, stop)
    half = left(tmp_path / "MSRS/test/vi")
    synth.synth("msrs", tmp_path / "MSRS", 0, 4, (32, 40), 0)
    assert not half.exists()
    assert len(list((tmp_path / "MSRS/test/vi").iterdir())) == 4
