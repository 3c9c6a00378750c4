"""Files of the repository that pages of docs/ link to: they become part of the site, links lead there.

A page of ``docs/`` lies in the site where it lies there. Any other file is found below ``repository/``: Markdown as a
page, source text as a page that shows it, a folder as a page that lists it, the rest as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from . import REPO

FOLDER = "repository"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^(```.*?^```)", re.M | re.S)
SHOWN = {".py": "python", ".toml": "toml", ".cff": "yaml", ".ipynb": "json", ".lock": "text"}


def origin(uri: str) -> str:
    """The repository's path of a page of the site."""
    return uri[len(FOLDER) + 1 :] if uri.startswith(f"{FOLDER}/") else f"docs/{uri}"


def place(path: str) -> str:
    """Where a file or folder of the repository is in the site."""
    if path.startswith("docs/"):
        return path[len("docs/") :]
    there = f"{FOLDER}/{path}"
    if (REPO / path).is_dir():
        return f"{there}/{'README.md' if (REPO / path / 'README.md').exists() else 'index.md'}"
    suffix = posixpath.splitext(path)[1]
    return f"{there}.md" if suffix in SHOWN or path == "LICENSE" else there


def target(uri: str, link: str) -> str | None:
    """The repository's path that a link of a page means; None where it leads elsewhere or nowhere."""
    link = unquote(link.partition("#")[0])
    if not link or "://" in link or link.startswith(("/", "mailto:", "<")):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin(uri)), link))
    if path.startswith("..") or not (REPO / path).exists():
        return None
    return "" if path == "." else path


def linked(uri: str, text: str) -> Iterator[str]:
    """Repository's paths outside docs/ that a page links to."""
    for piece in FENCE.split(text)[::2]:
        for _, link, _ in LINK.findall(piece):
            path = target(uri, link)
            if path and not path.startswith("docs/"):
                yield path


def relink(uri: str, text: str) -> str:
    """The page with links that work in the site."""

    def mend(found: re.Match[str]) -> str:
        path = target(uri, found[2])
        if not path or (path.startswith("docs/") and not uri.startswith(FOLDER)):
            return found[0]
        mark = found[2].partition("#")[2]
        there = quote(posixpath.relpath(place(path), posixpath.dirname(uri) or "."), safe="/@+=.,")
        return f"{found[1]}{there}{'#' + mark if mark else ''}{found[3]}"

    pieces = FENCE.split(text)
    pieces[::2] = [LINK.sub(mend, piece) for piece in pieces[::2]]
    return "".join(pieces)


def content(path: str) -> str | bytes:
    """What stands in the site for a file or a folder of the repository."""
    file = REPO / path
    if file.is_dir():
        readme = file / "README.md"
        return readme.read_text(encoding="utf-8") if readme.exists() else listing(path)
    if place(path) != f"{FOLDER}/{path}":
        language = SHOWN.get(file.suffix, "text")
        return f"# {path}\n\n````{language}\n{file.read_text(encoding='utf-8')}\n````\n"
    return file.read_text(encoding="utf-8") if file.suffix == ".md" else file.read_bytes()


def listing(path: str) -> str:
    """A page with a link to each file of a folder."""
    files = sorted(p for p in (REPO / path).iterdir() if not p.name.startswith((".", "__")))
    lines = [f"- [{p.name}]({quote(p.name)}{'/' if p.is_dir() else ''})" for p in files]
    return "\n".join([f"# {path}/", "", *lines, ""])
