"""`merge --verify`: a stranger's scores are computed again before anything is merged."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import fusionbench
from tests.faults.stores import change_scores


@pytest.fixture
def other(tree: Path, tmp_path: Path) -> Path:
    done = fusionbench(
        *("eval", "--methods=average,maximum", "--metrics=en,vif", "--datasets=msrs", "--data-root", tree),
        *("--out", tmp_path / "other"),
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "other"


def merged(other: Path, tree: Path, *arguments: object) -> tuple[int, str]:
    done = fusionbench("merge", other, "--out", other.parent / "own", "--data-root", tree, *arguments)
    return done.returncode, done.stdout + done.stderr


def test_true_scores(other: Path, tree: Path) -> None:
    code, text = merged(other, tree, "--verify=2")
    assert code == 0, text
    assert "8 scores of" in text
    assert "0 of them are wrong" in text


@pytest.mark.parametrize("change", [lambda _: 0.5, lambda v: v + 1e-9, lambda _: math.nan])
def test_false_scores(other: Path, tree: Path, change: Callable[[float], float]) -> None:
    change_scores(other, change, "en@bits")
    code, text = merged(other, tree, "--verify=1")
    assert code == 1
    assert text.count("wrong: ") == 2
    assert not (other.parent / "own").exists()
    assert merged(other, tree)[0] == 0


def test_what_cannot_be_verified_is_named(other: Path, tree: Path, tmp_path: Path) -> None:
    code, text = merged(other, tmp_path / "nowhere", "--verify=1")
    assert code == 0
    assert "not verified: " in text
    assert "0 scores of" in text
