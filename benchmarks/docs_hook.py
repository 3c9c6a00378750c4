"""What mkdocs asks while it builds the site (``make docs``): pages made from cards, docstrings and commands.

Nothing here names a plugin: pages come from the registry, so a new card has its page with the next build. None of them
is committed. Where nav in mkdocs.yml says ``metric/*``, every made page below that folder follows; pages of docs/ that
nav leaves out stand below its last heading.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from _docs import api_pages, command_pages, metric_pages, plugin_pages, repository
from mkdocs.structure.files import File, Files

MENU = "menu.txt"  # every page of the navigation, for tests


@lru_cache(maxsize=1)
def made() -> dict[str, tuple[str, str | bytes]]:
    """Path in the site to title and text of every generated page, or "" and the bytes of every picture."""
    every = chain(metric_pages.pages(), plugin_pages.pages(), command_pages.pages(), api_pages.pages())
    return {uri: (title, text) for uri, title, text in every}


# `<!-- metrics -->` in a page of docs/ becomes that table.
INDEXES = {
    "api": api_pages.index,
    "commands": command_pages.index,
    "datasets": plugin_pages.datasets_index,
    "methods": plugin_pages.methods_index,
    "metrics": metric_pages.index,
    "tasks": plugin_pages.tasks_index,
    "weights": plugin_pages.weights_index,
}


def expanded(nav: list[Any], pages: dict[str, str]) -> list[Any]:
    """The navigation with ``FOLDER/*`` replaced by the pages there, each under its title."""
    lines: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*"):
            lines += [{title: uri} for uri, title in pages.items() if uri.startswith(item[:-1])]
        elif isinstance(item, dict):
            lines += [{k: expanded(v, pages) if isinstance(v, list) else v for k, v in item.items()}]
        else:
            lines.append(item)
    return lines


def leaves(nav: Any) -> list[str]:
    """Every page that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [leaf for part in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(part)]


def on_config(config: Any) -> Any:
    """Complete the navigation."""
    named = set(leaves(config.nav))
    config.nav = expanded(config.nav, {uri: title for uri, (title, _) in made().items() if title and uri not in named})
    docs = Path(config.docs_dir)
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    (last,) = config.nav[-1].values()
    last += [page for page in pages if page not in set(leaves(config.nav))]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what is made, and what pages link to in the repository."""
    texts = {f.src_uri: f.content_string for f in files.documentation_pages()}
    for uri, (_, content) in made().items():
        files.append(File.generated(config, uri, content=content))
        if isinstance(content, str):
            texts[uri] = content
    while texts:
        uri, text = texts.popitem()
        for path in repository.linked(uri, text):
            there = repository.place(path)
            if files.get_file_from_path(there) is None:
                content = repository.content(path)
                files.append(File.generated(config, there, content=content))
                if isinstance(content, str):
                    texts[there] = content
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files of the repository lead to where those are in the site."""
    if page.file.src_uri.startswith(repository.FOLDER):
        page.meta.setdefault("search", {"boost": 0.3})  # tables and sources come after what explains them
    for name, index in INDEXES.items():
        if (mark := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(mark, index())
    return repository.relink(page.file.src_uri, markdown)


def on_nav(nav: Any, config: Any, files: Files) -> Any:
    """Write down what the navigation shows."""
    files.append(File.generated(config, MENU, content="".join(f"{page.url}\n" for page in nav.pages)))
    return nav


def on_page_content(html: str, **_: Any) -> str:
    """Roles of docstrings (``:meth:`` and the like), which Markdown does not know."""
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html)
