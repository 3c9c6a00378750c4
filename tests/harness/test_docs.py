"""Documents are run as they stand."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest
from PIL import Image

from fusionbench import environment
from fusionbench.cli import VERBS, cli
from fusionbench.plugins.records import FACTS
from fusionbench.plugins.registry import resolve
from fusionbench.scenes import CLASSES, PRESETS, THINGS
from fusionbench.tasks.recipe import TaskSettings
from fusionbench.training.settings import Settings
from tests.conftest import REPO, fusionbench, make_tree

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.M | re.S)


GUIDE = (REPO / "docs/plugins.md").read_text()
SHORT = {"weighted", "contrast", "harbour"}  # each card with its code


def test_the_plugin_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is written, then every command is run, as they stand there."""
    monkeypatch.chdir(tmp_path)
    harbour(tmp_path)
    lines: Counter[str] = Counter()
    commands: list[list[str]] = []
    for kind, title, body in BLOCK.findall(GUIDE):
        if title:
            path = tmp_path / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
            lines[path.parent.name if path.stem in ("card", "__init__", "recipe") else path.stem] += body.count("\n")
        elif kind == "sh":
            commands += map(shlex.split, body.strip().splitlines())
    assert set(lines) == {*SHORT, "mynet", "quay", "parts"}
    assert all(lines[name] < 30 for name in SHORT), lines
    printed = ""
    for program, *arguments in commands:
        assert program == "fusionbench"
        done = fusionbench(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        printed += done.stdout
    plugins = {name for name in lines if f" {name} (" in printed}
    assert plugins == set(lines), "each is validated"
    for text in (
        "| weighted[share=0.3] |",
        "Contrast@michelson ↑",
        "Harbour, split test: 2 pairs",
        "| mynet[msrs-tiny] |",
        "mynet[again]  here ",
        "mynet[paper]  not here ",
        "training of mynet: stop and resume",
        "quay in data/Quay",
        "mIoU@tdfusion parts-net frozen ↑",
    ):
        assert text in printed
    assert "  skip  " not in printed.replace("  skip  labels: write, read, same: the layout has none", "")


def harbour(root: Path) -> None:
    """The reader's own pairs."""
    make_tree(root / "own", 2)
    for index, path in enumerate(sorted((root / "own/MSRS/test/vi").iterdir())):
        image = Image.open(path)
        for role, picture in (("colour", image), ("thermal", image.convert("L"))):
            file = root / f"data/harbour/test/{role}/{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)


def test_the_guide_names_every_key_of_a_card() -> None:
    words = set(re.findall(r"\w+", GUIDE.partition("## Every key of a card")[2].partition("## ")[0]))
    kinds: list[type[msgspec.Struct]] = [*FACTS.values()]
    while kinds:
        for key in msgspec.structs.fields(kinds.pop()):
            assert key.name in words
            kinds += [part for part in parts(key.type) if isinstance(part, type) and issubclass(part, msgspec.Struct)]


def parts(kind: object) -> list[object]:
    """A type and those inside its brackets."""
    return [kind, *(inner for part in get_args(kind) for inner in parts(part))]


def test_the_guide_names_what_generated_scenes_have() -> None:
    words = set(re.findall(r"\w+", GUIDE))
    assert {*CLASSES, *PRESETS} <= words
    assert set(CLASSES[CLASSES.index("person") :]) - {"pole", "curve"} == set(THINGS)


def test_plugins_import_what_is_public() -> None:
    table = (REPO / "docs/architecture.md").read_text().partition("## What is public")[2].partition("## ")[0]
    public = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(.*?)`", row)}
    for name in public:
        importlib.import_module(name.removesuffix(".*"))
    imported = set(re.findall(r"^from (fusionbench\S*) import", GUIDE, re.M))
    assert {"fusionbench.method", "fusionbench.training.recipe", "fusionbench.tasks.network"} <= imported <= public


def test_every_setting_is_named() -> None:
    words = set(re.findall(r"\w+", (REPO / "docs/tasks.md").read_text().partition("## Settings")[2]))
    assert {setting.name for record in (Settings, TaskSettings) for setting in fields(record)} <= words


@pytest.mark.parametrize("name", ["README.md", "docs/metrics.md"])
def test_python_in_documents(name: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_DATA", str(tree))
    environment.apply()
    failed, ran = doctest.testfile(str(REPO / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert ran >= 3
    assert failed == 0


def test_local_links_lead_somewhere() -> None:
    for path in [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("leaderboards/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readme_shows_the_committed_table() -> None:
    for stem in re.findall(r"<!-- (\S+): begins -->", (REPO / "README.md").read_text()):
        assert (REPO / f"leaderboards/{stem}.md").read_text().strip() in (REPO / "README.md").read_text()


def options(command: click.Command, name: str) -> Iterator[tuple[str, click.Option]]:
    """Every option of a command and of those below it."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            if below := command.get_command(context, verb):
                yield from options(below, f"{name} {verb}")
    yield from ((name, option) for option in command.params if isinstance(option, click.Option))


def test_every_option_stands_on_a_page() -> None:
    pages = [*(REPO / "docs").glob("*.md"), REPO / "README.md", REPO / "CONTRIBUTING.md"]
    text = "\n".join(page.read_text() for page in pages)
    known = {word.rstrip("=`,.;:)") for word in re.findall(r"(?<![\w-])--?[a-z][\w-]*", text)} | {"--help", "--version"}
    missing = [
        f"{verb} {option.opts[-1]}" for verb, option in options(cli, "fusionbench") if not known & set(option.opts)
    ]
    assert missing == []


def test_every_verb_stands_on_a_page() -> None:
    text = "\n".join(page.read_text() for page in [*(REPO / "docs").glob("*.md"), REPO / "README.md"])
    assert [verb for verb in VERBS if f"fusionbench {verb}" not in text] == []


def test_where_a_config_is_a_program_it_is_said() -> None:
    """Help and pages: what names a Python file that will be run."""
    assert "is Python that is run" in " ".join(fusionbench("train", "--help").stdout.split())
    tasks = " ".join((REPO / "docs/tasks.md").read_text().split())
    assert "that file is Python that is run: never give one that you have not read" in tasks
    assert "A `.py` file is Python that is run: never give one that you have not read" in tasks
    for name in ("segmentation", "detection"):
        assert "is Python that is run" in " ".join((resolve("task", name).make.__doc__ or "").split())
