"""Every command in a document is run, or a comment above it says why not (see ``blocks.py``)."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from benchmarks._docs import metric_pages
from fusionbench import environment
from tests.conftest import REPO, fusionbench
from tests.docs.blocks import PAGES, Command, commands, commands_in

RUN_ELSEWHERE = {REPO / "docs/plugins.md"}  # tests/harness/test_docs.py::test_the_plugin_guide
EVERY = {page: commands(page) for page in PAGES if page not in RUN_ELSEWHERE}
RUNS = [page for page, found in EVERY.items() if any(not command.why for command in found)]


def test_every_command_is_run_or_says_why_not() -> None:
    left = [
        str(c) for found in EVERY.values() for c in found if not c.why and c.words[0] not in ("fusionbench", "export")
    ]
    assert not left, "only fusionbench is run here; say why the rest is not: " + "\n".join(left)


def test_tests_that_are_named_as_running_a_command_exist() -> None:
    for found in EVERY.values():
        for command in found:
            for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", command.why):
                assert f"def {name}(" in (REPO / path).read_text(), command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader's: small generated data in the official layouts, results of a run, pictures of theirs."""
    root = tmp_path_factory.mktemp("world")
    for name, folder in {"msrs": "MSRS", "vt5000": "VT5000"}.items():
        sizes = ("--train", 2, "--test", 2, "--size", "64x80", "--out", root / "data" / folder)
        done = fusionbench("data", "synth", "--like", name, *sizes)
        assert done.returncode == 0, done.stderr
    done = fusionbench("eval", "--methods", "average,maximum,laplacian,gff", "--datasets", "msrs",
                       "--data-root", root / "data", "--out", root / "results")  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.copytree(next((root / "results/fused").rglob("*.png")).parent, root / "out")
    for role, name in (("ir", "IR"), ("vi", "VIS")):
        shutil.copyfile(next((root / "data/MSRS/test" / role).iterdir()), root / name)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNS, ids=lambda page: str(page.relative_to(REPO)))
def test_the_commands_of(page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder, as a reader types them."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSIONBENCH_DATA", "data")
    environment.apply()
    for command in EVERY[page]:
        if not command.why:
            run(command, monkeypatch)


@pytest.mark.slow
def test_the_commands_of_pages_that_are_made(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric's page shows how to ask for it."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSIONBENCH_DATA", "data")
    environment.apply()
    for uri, _, text in metric_pages.pages():
        found = commands_in(text, REPO / uri)
        assert len(found) == 2
        for command in found:
            run(command, monkeypatch)


def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command."""
    if command.words[0] == "export":
        for setting in command.words[1:]:
            monkeypatch.setenv(*setting.split("=", 1))
        return
    if command.words[1:3] == ("data", "synth"):  # drawn where there is none
        shutil.rmtree(command.words[command.words.index("--out") + 1], ignore_errors=True)
    done = fusionbench(*command.words[1:], **{k: v for k, v in os.environ.items() if k.startswith("FUSIONBENCH_")})
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
