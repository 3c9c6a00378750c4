"""A page for each module that docs/architecture.md calls public; mkdocstrings fills it from the sources.

The sources are read as they are installed: ``methods/``, ``metrics/`` and ``leaderboards/`` lie below the package
there, so a folder of links makes them lie there for the reader too.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import fusionbench.metrics

from . import REPO
from .text import arguments, block, code, docstring, spans, table

SOURCES = REPO / "build/docs-sources"
ROOMS = ("leaderboards", "methods", "metrics")
METRICS = "fusionbench.metrics"
HELD_ELSEWHERE = ".*"  # a package whose parts are plugins: they have pages of their own


def public() -> dict[str, str]:
    """Module to what it is for, from the table."""
    text = (REPO / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text.partition("## What is public")[2].partition("## ")[0], re.M)
    return {name: what for names, what in rows for name in re.findall(r"`(.*?)`", names)}


def pages() -> Iterator[tuple[str, str, str]]:
    """Path in the site, title and text of each page."""
    lay_out(SOURCES)
    for name, what in sorted(public().items()):
        if not name.endswith(HELD_ELSEWHERE):
            body = helpers(what) if name == METRICS else f"::: {name}\n"
            yield f"api/{name}.md", name, f"# {name}\n\nFor: {what}\n\n{body}"


def helpers(what: str) -> str:
    """The names that the table has of metrics: a module that looks them up when asked is not read from its source."""
    parts = []
    for name in re.findall(r"`(\w+)`", what):
        thing = getattr(fusionbench.metrics, name)
        text, sections = docstring(thing)
        signature = re.sub(r"(?<=: |> )'([^']*)'", r"\1", f"{name}{inspect.signature(thing)}")
        parts += [f"## {name}", block("python", signature), spans(text)]
        parts += [f"### {head}\n\n{arguments(sections[head])}" for head in ("Args", "Raises") if head in sections]
        parts += [block("python", sections["Example"])] if "Example" in sections else []
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """All public modules."""
    rows = [
        (code(name) if name.endswith(HELD_ELSEWHERE) else f"[{code(name)}](api/{name}.md)", what)
        for name, what in sorted(public().items())
    ]
    return table(("import", "for"), rows)


def lay_out(folder: Path) -> None:
    """Links to the sources as they lie when installed."""
    package = folder / "fusionbench"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in (REPO / "fusionbench").iterdir()} | {name: REPO / name for name in ROOMS}
    for name, path in wanted.items():
        link = package / name
        if not link.is_symlink() or link.readlink() != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
