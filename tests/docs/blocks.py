"""Blocks of commands in documents, and what stands above them of why some are not run.

Every line of a block that begins with a program is a command. It is run by ``test_commands.py``, in a folder with small
generated data, unless a comment above the block says why not:

    <!-- not run: it takes a day -->                          no line of the block
    <!-- not run (fusionbench train, make): hours of work -->  the lines that begin so

A reason may name the test that runs the same on small data (``tests/...::test_...``); that test has to exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPO

PROGRAMS = [
    ".venv/bin/fusionbench",
    ".venv/bin/python",
    "docker",
    "export",
    "fusionbench",
    "git",
    "make",
    "mkdocs",
    "pip",
    "python",
    "python3",
    "sbatch",
    "torchrun",
    "twine",
]
PAGES = [
    REPO / "README.md",
    REPO / "CONTRIBUTING.md",
    REPO / "leaderboards/README.md",
    *sorted(REPO.glob("docs/**/*.md")),
]
BLOCK = re.compile(r"(?P<above>(?:^ *<!--(?:(?!-->).)*-->\n+)*)"
                   r"(?:^ *```(?P<language>[^\n]*)\n(?P<fenced>.*?)^ *```$|(?P<indented>(?:^ {4}(?! |[-*])[^\n]*\n)+))",
                   re.M | re.S)  # fmt: skip
WHY = re.compile(r"<!-- not run(?: \((?P<starts>[^)]*)\))?: (?P<why>.+?)\s-->", re.S)


@dataclass(frozen=True)
class Command:
    """One command of a document.

    Attributes:
        page: the document.
        line: where it stands.
        words: as a shell would take them apart.
        why: why it is not run, "" where it is.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPO)}:{self.line}: {shlex.join(self.words)}"


def commands(page: Path) -> list[Command]:
    """Every command of a document, in order."""
    return commands_in(page.read_text(encoding="utf-8"), page)


def commands_in(text: str, page: Path) -> list[Command]:
    """Every command of a text, which is to stand in that document."""
    return [command for block in BLOCK.finditer(text) for command in _of(block, page, text)]


def _of(block: re.Match[str], page: Path, text: str) -> Iterator[Command]:
    group = "fenced" if block["fenced"] is not None else "indented"
    if group == "fenced" and block["language"] not in ("", "sh", "console", "bash"):
        return
    why = [
        (tuple(filter(None, " ".join((found["starts"] or "").split()).split(", "))), found["why"])
        for found in WHY.finditer(block["above"])
    ]
    number = text.count("\n", 0, block.start(group)) + 1
    before = ""
    for line in block[group].splitlines():
        number += 1
        whole = before + line.strip()
        before = whole.removesuffix("\\") if whole.endswith("\\") else ""
        if before or whole.split(" ", 1)[0] not in PROGRAMS:
            continue
        words = tuple(shlex.split(whole, comments=True))
        said = next((reason for starts, reason in why if not starts or whole.startswith(starts)), "")
        yield Command(page, number - 1, words, " ".join(said.split()))
