"""`train --profile`: a table and a trace of some steps, and the same numbers as without."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fusionbench.training.profile import TABLE, TRACE
from tests.conftest import fusionbench
from tests.training.toys import run


def calls(out: Path, name: str) -> int:
    """How often something was done, as the table says."""
    (row,) = re.findall(rf"^ *{name}  .*?(\d+) *$", (out / "profile" / TABLE).read_text(), re.M)
    return int(row)


@pytest.mark.parametrize(("steps", "last", "watched"), [(3, None, 3), (3, 4, 2), (100, None, 7)])
def test_watched_steps(steps: int, last: int | None, watched: int, tmp_path: Path) -> None:
    said: list[str] = []
    run("toy", tmp_path / "watched", profile=steps, max_steps=last, note=said.append)
    run("toy", tmp_path / "alone", max_steps=last)
    assert (tmp_path / "watched/log.jsonl").read_bytes() == (tmp_path / "alone/log.jsonl").read_bytes()
    assert calls(tmp_path / "watched", "step") == calls(tmp_path / "watched", "wait for the batch") == watched
    assert calls(tmp_path / "watched", "aten::convolution_backward") >= watched
    events = json.loads((tmp_path / "watched/profile" / TRACE).read_text())["traceEvents"]
    assert len([e for e in events if e.get("name") == "step" and e.get("ph") == "X"]) == watched
    assert len([line for line in said if "where the time went" in line]) == 1
    assert not (tmp_path / "alone/profile").exists()


def test_too_few_steps(tmp_path: Path) -> None:
    said: list[str] = []
    run("toy", tmp_path, profile=3, max_steps=1, note=said.append)
    assert "nothing was profiled: the 2 steps before it were not done" in said
    assert not (tmp_path / "profile").exists()


def test_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "profile").touch()
    said: list[str] = []
    assert run("toy", tmp_path, profile=2, note=said.append).finished
    (line,) = [line for line in said if "cannot be written" in line]
    assert line.startswith(f"{tmp_path / 'profile'}: the profile cannot be written (")


def test_on_the_command_line(tree: Path, tmp_path: Path) -> None:
    words = ("train", "ydtr", "--datasets", "msrs", "--data-root", tree, "--size", "tiny", "--out", tmp_path / "run")
    changes = ("--cfg-options", "split=test", "patch=16", "batch=1", "epochs=1", "tensorboard=false")
    done = fusionbench(*words, "--profile", "1", *changes, FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'run/profile' / TABLE}: where the time went" in done.stderr
    assert calls(tmp_path / "run", "step") == 1
    refused = fusionbench(*words, "--profile", "0")
    assert refused.returncode == 2
    assert "--profile" in refused.stderr
