"""``fusionbench new``: every folder passes the contract as it is written, and nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.plugins.scaffold import KINDS, TEMPLATES, begin, marked
from tests.conftest import REPO
from tests.harness.test_names import fusionbench, refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_the_contract(kind: str, tmp_path: Path) -> None:
    done = fusionbench("new", kind, "my_2nd", "-o", tmp_path / "own")
    assert done.returncode == 0, done.stderr
    places = done.stdout.splitlines()
    assert len(places) >= 3
    assert all("FILL IN" in place and place.startswith(str(tmp_path / "own/my_2nd")) for place in places)
    lint = [sys.executable, "-m", "ruff", "check", "-q", "--config", REPO / "pyproject.toml", tmp_path / "own"]
    linted = subprocess.run(lint, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    checked = fusionbench("--plugins", tmp_path / "own", "validate", "my_2nd")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "  fail  " not in checked.stdout
    if kind in ("recipe", "task"):
        assert "ok    training" in checked.stdout, checked.stdout


def test_every_kind_has_templates_and_marks(tmp_path: Path) -> None:
    assert {path.name.partition(".")[0] for path in TEMPLATES.iterdir()} == set(KINDS)
    for kind in KINDS:
        files = begin(kind, f"x_{kind}", tmp_path)
        assert {"__init__.py", "card.toml"} <= {path.name for path in files}
        assert {path.name for path, _, _ in marked(files)} >= {"__init__.py", "card.toml"}
        assert not any("$" in path.read_text() for path in files)


@pytest.mark.parametrize("name", ["Net", "1net", "my-net", "class", "../x", "", "a/b", "ü", "x" * 60])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    assert "is no name of a plugin" in refused("new", "method", "-o", tmp_path / "own", "--", name)
    assert not (tmp_path / "own").exists()


def test_what_is_there_stays(tmp_path: Path) -> None:
    assert "there is a method gff already" in refused("new", "method", "gff", "-o", tmp_path)
    (tmp_path / "mine").mkdir()
    assert "is there already" in refused("new", "recipe", "mine", "-o", tmp_path)
    assert list((tmp_path / "mine").iterdir()) == []
    (tmp_path / "file").write_text("x")
    assert "file" in refused("new", "method", "other", "-o", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"
    assert "did you mean method" in refused("new", "methd", "other", "-o", tmp_path)


def test_a_mask_that_is_ignored_everywhere_is_no_nan(tmp_path: Path) -> None:
    checked = {}
    for name, guard in (("guarded", "if not (masks"), ("naked", "if False and not (masks")):
        (path,) = [p for p in begin("task", name, tmp_path) if p.name == "__init__.py"]
        path.write_text(path.read_text().replace("if not (masks", guard))
        checked[name] = fusionbench("--plugins", tmp_path, "validate", name)
    assert checked["guarded"].returncode == 0
    assert "ok    guarded-net: loss of masks that are ignored" in checked["guarded"].stdout
    assert checked["naked"].returncode == 1
    assert "loss of masks that are ignored everywhere is nan" in checked["naked"].stdout
