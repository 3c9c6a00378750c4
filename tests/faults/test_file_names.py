"""Names of files that are very long, not UTF-8, or hold control codes: they cost their own row at most."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fusionbench.pixels.images import read_image, write_image
from fusionbench.runtime.files import is_text, printable, short_name
from tests.conftest import fusionbench

LONG = ["x" * 240, "ü" * 120, "x" * 251, "." + "y" * 245]
NOT_UTF8 = [b"caf\xe9", b"\xff\xfe", b"a\x80b" * 30]
ODD = ["a\nb", "a\x1b[31mb", "a\tb", "a|b", "=1+1", "a\u202eb", "<b>x", "`x`", "a b"]


@pytest.fixture
def flat(tree: Path) -> Path:
    """A folder with four pairs under names of one's own."""
    for role in ("ir", "vi"):
        (tree / "own" / role).mkdir(parents=True)
        for path in (tree / "MSRS/test" / role).iterdir():
            shutil.copy(path, tree / "own" / role)
    return tree / "own"


def renamed(flat: Path, name: bytes) -> None:
    for role in ("ir", "vi"):
        folder = os.fsencode(flat / role)
        first = sorted(os.listdir(folder))[0]
        os.rename(os.path.join(folder, first), os.path.join(folder, name + b".png"))


def evaluated(flat: Path, out: Path) -> tuple[int, str, str]:
    done = fusionbench("eval", "--methods=average", "--metrics=en", f"--datasets=folder={flat}", "--out", out)
    assert "internal error" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", [n for n in LONG if n[0] != "."], ids=len)
def test_a_long_name_is_fused_and_scored(flat: Path, tmp_path: Path, name: str) -> None:
    renamed(flat, name.encode())
    code, _, err = evaluated(flat, tmp_path / "out")
    assert code == 0, err
    assert "4 images fused" in err
    assert "4 kept" in evaluated(flat, tmp_path / "out")[2]


@pytest.mark.parametrize("name", NOT_UTF8, ids=range(len(NOT_UTF8)))
def test_a_name_that_is_no_text_costs_its_own_row(flat: Path, tmp_path: Path, name: bytes) -> None:
    renamed(flat, name)
    code, out, err = evaluated(flat, tmp_path / "out")
    assert code == 1
    assert "3 images fused" in err
    assert err.count("not UTF-8; rename it") == 1
    assert "average" in out
    assert fusionbench("leaderboard", "--out", tmp_path / "out").returncode == 0
    assert fusionbench("data", "check", f"folder={flat}").returncode in (0, 1)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_a_name(flat: Path, tmp_path: Path, name: str) -> None:
    renamed(flat, name.encode())
    code, out, err = evaluated(flat, tmp_path / "out")
    assert code == 0, err
    assert "4 images fused" in err
    assert "\x1b" not in out + err


def test_writing_where_only_the_temporary_name_would_be_too_long(tmp_path: Path) -> None:
    picture = np.zeros((1, 4, 4), np.uint8)
    for name in LONG:
        write_image(tmp_path / f"{name}.png", picture)
        assert read_image(tmp_path / f"{name}.png").shape == picture.shape
    assert len(list(tmp_path.iterdir())) == len(LONG)


def test_short_names() -> None:
    assert short_name("a" * 200) == "a" * 200
    made = [short_name(n) for n in ("a" * 201, "a" * 202, "ü" * 101, "\udce9" * 201)]
    assert len(set(made)) == 4
    assert all(len(os.fsencode(name)) <= 200 for name in made)


def test_text_and_what_prints() -> None:
    assert is_text("ü\n\x1b")
    assert not is_text(os.fsdecode(b"\xe9"))
    assert printable("a\x1b[31m\x9b\n\u202e\udce9ü") == "a\\x1b[31m\\x9b\\n\\u202e\\udce9ü"
    assert printable("a\nb", "\n") == "a\nb"
