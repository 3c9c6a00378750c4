"""The built wheel holds what the checkout holds, and is enough by itself (installed by `make build/wheel/ready`)."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPO, fusionbench

pytestmark = pytest.mark.slow
SOURCES = {"fusionbench": "fusionbench", "methods": "fusionbench/methods", "metrics": "fusionbench/metrics"}


def run(wheel: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed program, started from a folder where no checkout can be imported."""
    return subprocess.run(
        [wheel.parent / "venv/bin/fusionbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        timeout=300,
    )


def test_holds_every_file(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in SOURCES.items():
        listed = subprocess.run(["git", "ls-files", "."], cwd=REPO / folder, capture_output=True, text=True, check=True)
        missing = {f"{package}/{name}" for name in listed.stdout.split("\n") if name} - held
        assert not missing
    assert "fusionbench/py.typed" in held


def test_lists_the_same_plugins(wheel: Path, tmp_path: Path) -> None:
    done = run(wheel, "list", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(fusionbench("list", "--json").stdout)


def test_stands_alone(wheel: Path, tmp_path: Path) -> None:
    code = "from importlib.util import find_spec\nimport fusionbench\n"
    code += "print(fusionbench.__file__, find_spec('mmengine'), find_spec('cv2'))"
    python = wheel.parent / "venv/bin/python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith(str(wheel.parent))
    assert done.stdout.split()[1:] == ["None", "None"]


def test_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    made = run(wheel, "data", "synth", "--like", "msrs", "--test", 2, "--out", "data/MSRS", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    scored = run(wheel, "eval", "--all", "--datasets", "msrs", "--data-root", "data", "--out", "results", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert "| average |" in scored.stdout
