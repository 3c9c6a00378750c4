"""Folders to begin a plugin with: they run and pass the contract, and what is to be filled in is marked."""

from __future__ import annotations

import keyword
import os
import re
import tempfile
from pathlib import Path
from string import Template

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards
from fusionbench.plugins.records import Kind
from fusionbench.runtime.reasons import reason

TEMPLATES = Path(__file__).parent / "scaffolds"  # KIND.FILE.txt
KINDS: dict[str, Kind] = {
    "method": "method",
    "metric": "metric",
    "dataset": "dataset",
    "task": "task",
    "recipe": "method",
}
MARK = "FILL IN"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def begin(what: str, name: str, folder: Path) -> list[Path]:
    """Write the files of a new plugin below ``folder / name``.

    Args:
        what: one of `KINDS`; ``recipe`` is a learned method with its recipe.
        name: of the plugin, a Python name in lower case.
        folder: of plugins, as ``--plugins`` takes it.

    Returns:
        The files.

    Raises:
        FusionbenchError: a name that cannot be one, or is taken; a folder that is there or cannot be written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise FusionbenchError(
            f"{name!r} is no name of a plugin: lower case letters, digits and _, a letter first, e.g. my_net"
        )
    if name in cards(KINDS[what]):
        raise FusionbenchError(
            f"there is a {KINDS[what]} {name} already ({cards(KINDS[what])[name].path}); choose another name"
        )
    target = folder / name
    if os.path.lexists(target):
        raise FusionbenchError(f"{target} is there already; choose another name, or another folder with -o")
    words = {"name": name, "title": name.replace("_", " ").title().replace(" ", ""), "class_name": _class(name)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            part = Path(scratch) / name
            part.mkdir()
            for template in sorted(TEMPLATES.glob(f"{what}.*.txt")):
                text = Template(template.read_text(encoding="utf-8")).substitute(words)
                (part / template.name.removeprefix(f"{what}.").removesuffix(".txt")).write_text(text, encoding="utf-8")
            part.rename(target)
    except OSError as error:
        raise FusionbenchError(f"{target}: {reason(target, error)}") from None
    return sorted(target.iterdir())


def marked(files: list[Path]) -> list[tuple[Path, int, str]]:
    """The places to fill in: file, line, and what stands there."""
    return [
        (path, number, line.strip())
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MARK in line
    ]


def _class(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
