"""A generated tree that is not finished is no dataset, and the command that its message names finishes it."""

from __future__ import annotations

import errno
import hashlib
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionbench.data import open_dataset, synth
from fusionbench.data.origin import ORIGIN, read_origin
from fusionbench.errors import DataError, FusionbenchError
from tests.conftest import fusionbench

SIZE = (32, 40)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def command(out: Path, *more: str) -> list[str]:
    return [
        "data",
        "synth",
        "--like",
        "msrs",
        "--out",
        str(out),
        "--train",
        "2",
        "--test",
        "9",
        "--size",
        "32x40",
        *more,
    ]


def interrupted(out: Path, after: int, error: BaseException) -> None:
    def stop(_what: str, done: int, _total: int) -> None:
        if done == after:
            raise error

    with pytest.raises(type(error) if not isinstance(error, OSError) else FusionbenchError):
        synth.synth("msrs", out, 2, 9, SIZE, 0, stop)


def refused(root: Path, tmp_path: Path) -> str:
    """Every reader refuses the tree in one line; the command that it names."""
    with pytest.raises(DataError, match="an unfinished generated tree; the same command finishes it: ") as caught:
        open_dataset("msrs", root)
    with pytest.raises(DataError, match="unfinished"):
        read_origin(root / "MSRS")
    for words in (
        ("eval", "--methods=average", "--metrics=en", "--datasets=msrs", "--out", str(tmp_path / "results")),
        ("eval", "--methods=average", f"--datasets=msrs={root / 'MSRS'}", "--out", str(tmp_path / "results")),
        ("data", "check", "msrs"),
        ("train", "tdfusion", "--dataset", "msrs", "--out", str(tmp_path / "run")),
    ):
        done = fusionbench(*words, FUSIONBENCH_DATA=str(root))
        assert done.returncode == 2, words
        assert "unfinished generated tree" in done.stderr, words
        assert len(done.stderr.strip().splitlines()) == 1
    shown = fusionbench("data", "list", FUSIONBENCH_DATA=str(root)).stdout
    assert re.search(
        r"^msrs +not usable +.*MSRS\n +.*an unfinished generated tree; the same command", shown, re.MULTILINE
    )
    done = fusionbench("doctor", "--data-root", root, "--out", tmp_path)
    assert re.search(r"bad   data msrs: .*unfinished generated tree\n +fix: the same command finishes it", done.stdout)
    return str(caught.value).partition("finishes it: ")[2]


@pytest.mark.parametrize("after", [1, 3, 11])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr)
def test_interrupted_at_any_image(tmp_path: Path, after: int, error: BaseException) -> None:
    root = tmp_path / "with space"
    interrupted(root / "MSRS", after, error)
    words = shlex.split(refused(root, tmp_path))
    assert words[:3] == ["fusionbench", "data", "synth"]
    assert fusionbench(*words[1:]).returncode == 0
    assert fusionbench(*command(tmp_path / "calm" / "MSRS")).returncode == 0
    assert contents(root / "MSRS") == contents(tmp_path / "calm" / "MSRS")
    assert open_dataset("msrs", root).ids("test")


def test_kill_9_in_the_middle(tmp_path: Path) -> None:
    out = tmp_path / "data" / "MSRS"
    process = subprocess.Popen([sys.executable, "-m", "fusionbench", *command(out)], stderr=subprocess.DEVNULL)
    while len(list(out.rglob("*.png"))) < 9:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    refused(tmp_path / "data", tmp_path)
    assert fusionbench(*command(out)).returncode == 0
    assert fusionbench(*command(tmp_path / "calm" / "MSRS")).returncode == 0
    torn, calm = contents(out), contents(tmp_path / "calm" / "MSRS")
    assert {k: v for k, v in torn.items() if not k.endswith(".tmp")} == calm


def test_other_settings_do_not_go_into_an_unfinished_tree(tmp_path: Path) -> None:
    interrupted(tmp_path / "MSRS", 2, KeyboardInterrupt())
    before = contents(tmp_path / "MSRS")
    done = fusionbench(*command(tmp_path / "MSRS", "--seed", "1"))
    assert done.returncode == 2
    assert "an unfinished tree of other settings; finish it: fusionbench data synth --like msrs" in done.stderr
    assert contents(tmp_path / "MSRS") == before


def test_a_finished_tree_and_a_users_folder_are_not_written_into(tmp_path: Path) -> None:
    assert fusionbench(*command(tmp_path / "MSRS")).returncode == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    for folder in ("MSRS", "mine"):
        before = contents(tmp_path / folder)
        done = fusionbench(*command(tmp_path / folder))
        assert done.returncode == 2
        assert "not empty; name a new folder, nothing is overwritten" in done.stderr
        assert contents(tmp_path / folder) == before


def test_killed_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "MSRS").mkdir()
    (tmp_path / "MSRS" / f".{ORIGIN}.123-456.tmp").write_text("{")
    assert fusionbench(*command(tmp_path / "MSRS")).returncode == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"generator": ""}', "\ufeff{}", "[" * 100_000, '{"seed": 1e999}']
)
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    assert fusionbench(*command(tmp_path / "MSRS")).returncode == 0
    (tmp_path / "MSRS" / ORIGIN).write_text(text)
    done = fusionbench("data", "check", f"msrs={tmp_path / 'MSRS'}")
    assert done.returncode == 2
    assert "damaged; the tree is generated, make it again: fusionbench data synth" in done.stderr


def test_a_list_of_ones_own_is_partial_where_images_are_missing(tmp_path: Path) -> None:
    assert fusionbench(*command(tmp_path / "MSRS")).returncode == 0
    ids = open_dataset("msrs", tmp_path).ids("test")
    (tmp_path / "mine.txt").write_text("\n".join([*ids[:3], "not_here_1", "not_here_2"]))
    done = fusionbench(
        *("eval", "--methods=average", "--metrics=en", "--datasets=msrs", "--data-root", tmp_path),
        *("--split", tmp_path / "mine.txt", "--out", tmp_path / "out"),
    )
    assert "3 of 5 pairs, partial" in done.stderr
    assert "3 of 5 pairs, partial" in done.stdout
    (tmp_path / "mine.txt").write_text("\n".join(ids[:3]))
    done = fusionbench(
        *("eval", "--methods=average", "--metrics=en", "--datasets=msrs", "--data-root", tmp_path),
        *("--split", tmp_path / "mine.txt", "--out", tmp_path / "out"),
    )
    assert "partial" not in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--size", "99999x99999"),
        ("--size", "5000x40"),
        ("--size", "9" * 5000 + "x40"),
        ("--size", "²³x40"),
        ("--seed", "9" * 30),
        ("--seed", str(2**64)),
        ("--seed", "9" * 5000),
        ("--seed", "-1"),
        ("--test", "9" * 30),
        ("--test", "100000"),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_numbers_out_of_range(tmp_path: Path, words: tuple[str, str]) -> None:
    done = fusionbench("data", "synth", "--like", "msrs", "--out", tmp_path / "new", *words)
    assert done.returncode == 2
    assert "internal error" not in done.stderr
    assert not (tmp_path / "new").exists()
