"""Split lists as people have them, and names that match nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from _data_samples import opened

from fusionbench.data import read_list
from fusionbench.data.lists import found, unmatched
from fusionbench.errors import DataError
from fusionbench.pixels.images import write_image
from tests.conftest import fusionbench

NAMES = ("001", "002", "010")


def ids(tmp_path: Path, text: str, encoding: str = "utf-8") -> tuple[str, ...]:
    (tmp_path / "a").write_bytes(text.encode(encoding))
    return read_list(tmp_path / "a")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    assert ids(tmp_path, end.join(["", "Köln 1.png", "", "b", "c.JPG"]) + end, encoding) == ("Köln 1", "b", "c")


def test_utf_16_with_a_mark_of_either_order(tmp_path: Path) -> None:
    for order in ("le", "be"):
        (tmp_path / "a").write_bytes("\ufeff001\r\n002\r\n".encode(f"utf-16-{order}"))
        assert read_list(tmp_path / "a") == ("001", "002")


@pytest.mark.parametrize(
    "lines",
    [
        ["001,0", "002,1", "010,0"],
        ["001;a;b", "002;a;b", "010;a;b"],
        ["001\t0", "002\t1", "010\t1"],
        ["filename,label", "001.png,0", "002.png,1", "010.png,1"],
        [",name", "0,001", "1,002", "2,010"],  # pandas, with its index
        ["split,image", "train,001", "train,002", "test,010"],
        ["0,001.png", "1,002.png", "2,010.png"],
        ["image", "001", "002", "010"],
        ['"001.png","0"', '"002.png","1"', '"010.png","1"'],
        ["001.png 0", "002.png 1", "010.png 1"],
        ["ir/001.png gt/001.png", "ir/002.png gt/002.png", "ir/010.png gt/010.png"],
        ["ir/001.TIF,vis/001.TIF", "ir/002.TIF,vis/002.TIF", "ir/010.TIF,vis/010.TIF"],
        ["001 -1", "002  1", "010 -1"],  # PASCAL VOC, a class's list
        [r"C:\data\ir\001.bmp", r"D:\002.webp", r"x\010.jpeg"],
        ["# mine", "001 # night", "", "  002  ", "010.xml"],
        ["001.png,5,6,30,40,car", "001.png,7,7,20,20,bus", "002.png,1,1,5,5,car", "010.png,1,1,9,9,car"],  # by object
        ["001.png 1,2,3,4,0 5,6,7,8,1", "002.png", "010.png 1,2,3,4,2"],
    ],
)
def test_columns(tmp_path: Path, lines: list[str]) -> None:
    assert ids(tmp_path, "\n".join(lines)) == NAMES


@pytest.mark.parametrize("name", ["Straße 1", "img #1", "a-1 2", "v1.2", "a.b.c", "100%", "x (2)"])
def test_names_that_look_like_columns(tmp_path: Path, name: str) -> None:
    assert ids(tmp_path, f"{name}.png\nother.png\n") == (name, "other")
    assert ids(tmp_path, f"{name}\nother\n") == (name, "other")


def test_a_name_twice_in_a_list_of_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: b is listed twice \(first on line 2\)"):
        ids(tmp_path, "a\nb.png\nb.jpg\n")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\0\0", b"a\0b\0c", b"\xe9t\xe9\n"])
def test_no_text(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError, match="cannot read the split list: not a text file"):
        read_list(tmp_path / "a")


# ---------------------------------------------------------------- what is there


@pytest.mark.parametrize("file", ["list", "LIST.TXT", "list.lst", "test.csv", "my.list.2024"])
def test_any_file_is_a_list(make, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make("fmb", count=3)
    monkeypatch.chdir(tmp_path)
    Path(file).write_text("TEST2.PNG,1\n")
    again = opened("fmb", dataset.root)
    assert again.ids(again.add_list(file)) == ["test2"], "in another case, as no other name is like it"
    assert again.add_list("test") == "test", "a split's name stands before a file's"


def test_case_that_tells_names_apart() -> None:
    assert found(["a", "B", "C"], {"A", "a", "b", "c", "C"}) == {"a": "a", "B": "b", "C": "C"}
    assert found(["é"], {"e\u0301"}) == {"é": "e\u0301"}
    assert found(["x"], {"X", "x\u0301"}) == {"x": "X"}
    assert found(["q"], {"Q1", "Q2"}) == {}


def test_what_is_told_is_bounded(tmp_path: Path) -> None:
    text = unmatched(["y" * 10_000_000, "a", "b", "c"], ["y" * 10_000_000, "a", "b", "c"], {"z" * 9}, tmp_path)
    assert len(text) < 500


@pytest.fixture
def pairs(tree: Path) -> Path:
    """A folder of four pairs of MSRS."""
    return tree / "MSRS"


def run(pairs: Path, tmp_path: Path, text: str) -> tuple[int, str]:
    (tmp_path / "mine.lst").write_text(text)
    asked = ("--datasets", f"msrs={pairs}", "--methods", "average", "--metrics", "en", "--out", tmp_path / "out")
    done = fusionbench("eval", *asked, "--split", tmp_path / "mine.lst")
    return done.returncode, done.stderr


def test_some_names_match_nothing(pairs: Path, tmp_path: Path) -> None:
    here = sorted(p.stem for p in (pairs / "test/ir").iterdir())
    code, text = run(pairs, tmp_path, f"{here[0]}\n{here[1][:-1]}\nzzz\n")
    assert code == 0
    want = f"2 of the 3 listed names are not in {pairs}: {here[1][:-1]} (nearest: {here[1]}), zzz"
    assert text.count(f"{tmp_path / 'mine.lst'}: {want}") == 1


def test_no_name_matches(pairs: Path, tmp_path: Path) -> None:
    code, text = run(pairs, tmp_path, "zzz\n@@@\n")
    assert code == 2
    assert text.startswith(f"error: {tmp_path / 'mine.lst'}: none of the 2 listed names is in {pairs}: zzz, @@@")
    assert "there are 00004N, " in text
    assert "synth" not in text


def test_data_check_counts_them(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("00004N,x\n00004\n")
    done = fusionbench("data", "check", f"msrs={pairs}", "--split", tmp_path / "mine.csv", "--complete")
    assert "1 of the 2 listed names is not in" in done.stdout
    assert "00004 (nearest: 00004N)" in done.stdout
    assert done.returncode == 1


def test_a_pipe_is_no_list(pairs: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="not a regular file"):
        opened("msrs", pairs).add_list(str(tmp_path / "fifo"))


def test_the_80_pairs_of_msrs_for_detection(tmp_path: Path) -> None:
    """As its repository has them: a folder of their own, other names, boxes in ``labels``."""
    names = opened("msrs", tmp_path).split("detection").ids
    assert names is not None
    assert (len(names), names[0], names[-1]) == (80, "1", "1605")
    for kind, channels in (("ir", 1), ("vi", 3)):
        write_image(tmp_path / f"detection/{kind}/1.png", np.full((channels, 32, 40), 7, np.uint8))
    (tmp_path / "detection/labels").mkdir()
    (tmp_path / "detection/labels/1.txt").write_text("2 0.25 0.5 0.1 0.2\n0 0.7 0.5 0.2 0.6\n")
    dataset = opened("msrs", tmp_path)
    assert dataset.ids("detection") == ["1"]
    sample = dataset.read("detection", "1")
    assert sample.boxes is not None
    assert [dataset.card.facts.classes.boxes[i] for i in sample.boxes.labels] == ["car", "person"]
