"""The contracts of .importlinter hold for the installed package, and break where somebody breaks them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

PLANTED = "\n\ndef planted():\n    from {module} import {name}\n\n    return {name}\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources where they are imported from, as the wheel has them."""
    root = tmp_path_factory.mktemp("installed")
    shutil.copy(REPO / ".importlinter", root)
    sources = shutil.ignore_patterns("*.safetensors", "__pycache__")
    shutil.copytree(REPO / "fusionbench", root / "fusionbench", ignore=sources)
    for folder in ("methods", "metrics", "leaderboards"):
        shutil.copytree(REPO / folder, root / "fusionbench" / folder, ignore=sources)
    return root


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    done.stdout = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # older versions colour what no terminal reads
    return done


def test_the_contracts_hold(installed: Path) -> None:
    done = lint(installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "module", "name", "contract"),
    [
        ("metrics/en.py", "fusionbench.plugins.cards", "card", "A metric stands alone"),
        ("metrics/en.py", "fusionbench.images", "read_image", "A metric stands alone"),
        ("methods/average.py", "fusionbench.results.store", "Store", "A method knows nothing of how it is scored"),
        ("pixels/colour.py", "fusionbench.environment", "apply", "Only the command line and the Python interface"),
        ("data/layout.py", "fusionbench.training", "loop", "Data flows one way"),
    ],
)
def test_an_import_inside_a_function_counts(installed: Path, file: str, module: str, name: str, contract: str) -> None:
    path = installed / "fusionbench" / file
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text + PLANTED.format(module=module, name=name), encoding="utf-8")
        done = lint(installed)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), done.stdout


def test_metrics_may_import_no_other_room() -> None:
    """Every module at the top and every room stands in the contract: a new one has to be added."""
    contracts = configparser.ConfigParser()
    contracts.read(REPO / ".importlinter", encoding="utf-8")
    named = set(contracts["importlinter:contract:metrics"]["forbidden_modules"].split())
    top = {path.stem for path in (REPO / "fusionbench").glob("*.py")} - {"__init__", "__main__"}
    rooms = {path.parent.name for path in (REPO / "fusionbench").glob("*/__init__.py")} | {"methods", "leaderboards"}
    assert named == {f"fusionbench.{name}" for name in top | rooms}
