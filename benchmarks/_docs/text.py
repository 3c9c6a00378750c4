"""Small pieces of Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from . import REPO, formula


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing where there are no rows."""
    lines = ["| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines, ""]) if lines else ""


def plain(text: str) -> str:
    """Text of a card in which no letter means anything to Markdown; addresses become links."""
    marked = re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
    return re.sub(r"https?://[^\s,;)]+[^\s,;).]", lambda found: f"<{found[0].replace(chr(92), '')}>", marked)


def code(text: object) -> str:
    """A word in the type of programs."""
    return f"`{text}`"


def block(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```\n"


def source(path: Path, uri: str) -> str:
    """A link to a file of the repository, from a page of the site; its name alone where it is elsewhere."""
    if not path.is_relative_to(REPO):
        return code(path.name)
    name = path.relative_to(REPO).as_posix()
    up = "../" * (uri.count("/") + 1)
    return f"[{code(name)}]({up}{quote(name)})"


def spans(text: str) -> str:
    """Prose of a docstring: formulas between double backticks drawn, other code kept, roles read as names."""

    def drawn(found: re.Match[str]) -> str:
        inside = " ".join(found[1].split())
        made = formula.mathml(inside) or formula.clause(inside)
        return f'<span class="formula">{made}</span>' if "<math" in made else f"`{inside}`"

    text = re.sub(r":(?:func|class|meth|data|attr):`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``(.+?)``", drawn, text, flags=re.S)


def docstring(thing: object) -> tuple[str, dict[str, str]]:
    """Text of a docstring before its sections, and each section's by name."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    parts = re.split(r"^(Args|Returns|Raises|Example|Examples|Attributes):\n", text, flags=re.M)
    sections = dict(zip(parts[1::2], map(inspect.cleandoc, parts[2::2]), strict=True))
    return parts[0].strip(), sections


def arguments(section: str) -> str:
    """What stands below Args or Raises, as a list."""
    items = re.split(r"\n(?=\S)", section)
    pairs = [item.partition(": ") for item in items if item.strip()]
    return "\n".join(f"- `{name}`: {spans(' '.join(text.split()))}" for name, _, text in pairs) + "\n"
