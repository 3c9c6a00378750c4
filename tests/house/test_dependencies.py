"""The core needs what pyproject.toml requires, and no more: nothing of the extras is loaded without being asked for."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from benchmarks.structure import Checkout, statements
from tests.conftest import REPO

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Wanted by a function of another package, not imported by ours.
BEHIND = {"pyarrow": "to_parquet"}
# Put first on PYTHONPATH, so every process of a run has it.
REFUSE = """
import importlib.abc, sys
REFUSED = set({names!r})

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"refused here: {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def project() -> dict[str, Any]:
    return dict(tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def names(requirements: Iterable[str]) -> set[str]:
    """The distributions that apply here."""
    parsed = map(Requirement, requirements)
    return {canonical(r.name) for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})}


def closure(distributions: set[str]) -> set[str]:
    """These and whatever they require."""
    seen: set[str] = set()
    while distributions:
        name = distributions.pop()
        seen.add(name)
        try:
            distributions |= names(importlib.metadata.requires(name) or []) - seen
        except importlib.metadata.PackageNotFoundError:
            continue
    return seen


@functools.cache
def modules() -> dict[str, set[str]]:
    """Each importable module at the top, with the distributions that bring it (Python 3.10 cannot tell all of them)."""
    found: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        listed = (distribution.read_text("top_level.txt") or "").split()
        files = [] if listed else distribution.files or []
        listed += {file.parts[0].partition(".")[0] for file in files if file.suffix in (".py", ".so")}
        for module in listed:
            found.setdefault(module, set()).add(canonical(distribution.metadata["Name"]))
    return found


def imported() -> set[str]:
    """The foreign modules that the package imports anywhere."""
    found = set()
    for module in Checkout(REPO).modules.values():
        for node, _, _ in statements(module.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"fusionbench"}


def test_every_required_package_is_used() -> None:
    of = modules()
    used = {distribution for module in imported() for distribution in of.get(module, {module})}
    text = "\n".join(module.text for module in Checkout(REPO).modules.values())
    used |= {package for package, name in BEHIND.items() if name in text}
    # A requirement of older Pythons only is looked for by its name.
    required = {canonical(Requirement(requirement).name) for requirement in project()["dependencies"]}
    assert required <= used


def test_every_import_is_of_a_declared_package() -> None:
    of = modules()
    extras = project()["optional-dependencies"]
    declared = closure(names([*project()["dependencies"], *extras["tasks"], *extras["video"], *extras["onnx"]]))
    declared |= closure(names([*extras["ray"], *extras["slurm"]]))
    declared |= {"tomli", "tomllib"}  # one for the other, by the version of Python
    assert not {module for module in imported() if not of.get(module, {module}) & declared}


def test_the_demo_needs_the_core_alone(tmp_path: Path) -> None:
    core = closure(names(project()["dependencies"])) | {canonical(project()["name"]), "coverage"}
    refused = sorted(module for module, owners in modules().items() if not owners & core)
    assert {"mmengine", "mmcv", "mmdet", "mmseg", "pycocotools", "cv2", "skimage", "tensorboard", "yaml"} <= set(
        refused
    )
    (tmp_path / "sitecustomize.py").write_text(REFUSE.format(names=refused))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}

    def run(*arguments: object, program: tuple[str, ...] = ("-m", "fusionbench")) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=300,
        )

    assert "refused here: mmengine" in run(program=("-c", "import mmengine")).stderr
    made = run("data", "synth", "--like", "msrs", "--test", 2, "--size", "64x80", "--out", "data/MSRS")
    assert made.returncode == 0, made.stderr
    scored = run("eval", "--all", "--datasets", "msrs", "--data-root", "data", "--out", "results")
    assert scored.returncode == 0, scored.stderr
    assert "| average |" in scored.stdout


@pytest.mark.parametrize("command", [["--help"], ["list", "--json"], ["show", "vif"], ["doctor"]])
def test_commands_that_compute_nothing_load_no_extra(command: list[str]) -> None:
    code = "import sys\nfrom fusionbench.cli import main\ntry:\n    main()\nfinally:\n    "
    code += "print('LOADED', *sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=120)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert loaded, done.stderr
    assert not loaded & {"mmengine", "mmcv", "mmdet", "mmseg", "pycocotools", "cv2", "skimage", "tensorboard"}
