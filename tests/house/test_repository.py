"""Files that GitHub, pre-commit and readers use: they parse, agree with pyproject.toml, and name what is there."""

from __future__ import annotations

import importlib
import re
import runpy
import subprocess
from typing import Any

import pytest
import yaml

from benchmarks.structure import Checkout
from tests.conftest import REPO

FORMS = [path for path in sorted((REPO / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
WORKFLOWS = sorted((REPO / ".github/workflows").glob("*.yml"))


def read(path: Any) -> dict[Any, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms(path: Any) -> None:
    form = read(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    for item in form["body"]:
        assert item["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert "value" in item["attributes"] if item["type"] == "markdown" else "label" in item["attributes"]
    names = [item["id"] for item in form["body"] if item["type"] != "markdown"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows(path: Any) -> None:
    workflow = read(path)
    assert {"name", True, "permissions", "jobs"} <= workflow.keys()  # YAML reads the key `on` as true
    for job in workflow["jobs"].values():
        assert set([job["needs"]] if "needs" in job else []) <= workflow["jobs"].keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if target := re.fullmatch(r"make (.+)", step.get("run", "")):
                check = subprocess.run(["make", "-n", *target[1].split()], cwd=REPO, capture_output=True, text=True)
                assert check.returncode == 0, check.stderr


def test_every_python_of_the_package_is_tested() -> None:
    matrix = read(REPO / ".github/workflows/check.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert matrix == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (REPO / "pyproject.toml").read_text())
    assert f'requires-python = ">={matrix[0]}"' in (REPO / "pyproject.toml").read_text()


def test_hooks_are_the_tools_of_make_test() -> None:
    config = read(REPO / ".pre-commit-config.yaml")
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert [hook["id"] for repo in config["repos"] for hook in repo["hooks"]] == [
        "ruff",
        "ruff-format",
        "mypy",
        "layers",
    ]


def test_upgrade_notes_name_modules_that_are_there_now_and_were_not_before() -> None:
    modules = Checkout(REPO).modules
    rows = re.findall(r"^\| `(fusionbench[\w.]+)` \| (.+) \|$", (REPO / "docs/upgrading.md").read_text(), re.M)
    assert len(rows) > 30
    for old, new in rows:
        assert old not in modules
        for name in re.findall(r"`([\w.]+)`", new):
            assert {name, f"fusionbench.{name}"} & modules.keys(), name


def test_upgrade_notes_name_paths_that_stayed() -> None:
    text = (REPO / "docs/upgrading.md").read_text().split("| old | new |")[0]
    for name in re.findall(r"`(fusionbench\.[\w.]+)`", text):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_changelog_begins_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", (REPO / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"
    (version,) = re.findall(r'^version = "(.+)"$', (REPO / "pyproject.toml").read_text(), re.M)
    assert version in headings[1]


def test_every_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """methods/ and metrics/ lie beside the package; setup.py finds what is in them."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    monkeypatch.chdir(REPO)
    runpy.run_path("setup.py")
    there = [name for name, module in Checkout(REPO).modules.items() if module.path.name == "__init__.py"]
    assert sorted(given["packages"]) == sorted([*there, "fusionbench.leaderboards"])
