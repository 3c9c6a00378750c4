"""Documents are run as they stand."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from fusionbench import environment
from tests.conftest import REPO, fusionbench, make_tree

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.M | re.S)


def test_the_plugin_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    make_tree(tmp_path / "data", 2)
    for role in ("thermal", "colour"):
        (tmp_path / "data/harbour/test" / role).mkdir(parents=True)
    for index, path in enumerate(sorted((tmp_path / "data/MSRS/test/vi").iterdir())):
        image = Image.open(path)
        image.save(tmp_path / f"data/harbour/test/colour/{index}.png")
        image.convert("L").save(tmp_path / f"data/harbour/test/thermal/{index}.png")

    text = (REPO / "docs/plugins.md").read_text()
    lines: dict[str, int] = {}
    commands: list[str] = []
    for kind, title, body in BLOCK.findall(text):
        if title:
            path = tmp_path / title
            path.parent.mkdir(exist_ok=True)
            path.write_text(body)
            lines[path.stem] = lines.get(path.stem, 0) + body.count("\n")
        elif kind == "sh":
            commands += body.strip().splitlines()
    assert set(lines) == {"weighted", "contrast", "harbour"}
    assert all(count < 30 for count in lines.values()), lines
    assert len(commands) == 7
    printed = ""
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "fusionbench"
        done = fusionbench(*arguments)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        printed += done.stdout
    assert "| weighted[share=0.3] |" in printed
    assert "Contrast@michelson ↑" in printed
    assert "Harbour, split test: 2 pairs" in printed


@pytest.mark.parametrize("name", ["README.md"])
def test_python_in_the_readme(name: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_DATA", str(tree))
    environment.apply()
    failed, ran = doctest.testfile(str(REPO / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert ran >= 3
    assert failed == 0


def test_local_links_lead_somewhere() -> None:
    for path in [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("leaderboards/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readme_shows_the_committed_table() -> None:
    for stem in re.findall(r"<!-- (\S+): begins -->", (REPO / "README.md").read_text()):
        assert (REPO / f"leaderboards/{stem}.md").read_text().strip() in (REPO / "README.md").read_text()
