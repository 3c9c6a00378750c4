"""The documentation site: it builds strictly without network, and asks for nothing from elsewhere when it is read."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pytest

from fusionbench.cli import VERBS, cli
from fusionbench.plugins.cards import KINDS, cards
from tests.conftest import REPO

pytestmark = pytest.mark.slow  # the site takes half a minute to build


def requests(browser: Any) -> list[str]:
    """Every address that was asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def wait(browser: Any, selector: str, words: str) -> str:
    """The text of the first such element, once it has these words."""
    for _ in range(100):
        found = browser.find_elements("css selector", selector)
        if found and words in found[0].text:
            return str(found[0].text)
        time.sleep(0.1)
    raise AssertionError(f"{selector} never said {words!r}")


def test_every_page_of_docs_is_in_it_and_in_the_navigation(site: Path) -> None:
    menu = (site / "menu.txt").read_text().splitlines()
    for page in (REPO / "docs").rglob("*.md"):
        name = page.relative_to(REPO / "docs").with_suffix(".html")
        assert (site / name).exists()
        assert str(name) in menu


def test_every_link_leads_somewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#?:]+)["#?]', page.read_text()):
            if not link.startswith("/"):  # 404.html, which no file:// shows
                assert (page.parent / unquote(unescape(link))).exists(), f"{page.name}: {link}"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not re.search(r'(?:src|<link[^>]+href)="?(?:https?:)?//|@import|url\((?:https?:)?//', page.read_text())


def test_search_works_in_pages_opened_as_files(site: Path, browser: Any) -> None:
    browser.set_window_size(1280, 900)
    browser.get((site / "findings.html").as_uri())
    field = browser.find_element("css selector", "input[name=query]")
    field.click()
    wait(browser, ".md-search-result__meta", "Type")
    field.send_keys("saliency")
    assert "matching documents" in wait(browser, ".md-search-result__meta", "matching")
    assert browser.get_log("browser") == []
    assert {url.partition(":")[0] for url in requests(browser)} <= {"file", "data"}


def words(page: Path) -> str:
    """The text of a page, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.read_text())).split())


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_a_page_and_stands_in_a_list(site: Path, kind: str) -> None:
    lists = "".join(page.read_text() for page in site.glob("*.html"))
    for name, card in cards(kind).items():
        text = words(site / kind / f"{name}.html")
        assert card.title in text
        assert f'href="{kind}/{name}.html"' in lists


def test_a_metric_has_its_variants_its_formula_and_who_prints_it(site: Path) -> None:
    for name, card in cards("metric").items():
        page = site / "metric" / f"{name}.html"
        text = words(page)
        assert "larger is better" in text if card.facts.direction == "up" else "smaller is better" in text
        assert "<math" in page.read_text()
        for variant, facts in card.facts.variants.items():
            assert f"{name}@{variant}" in text
            assert all(program in text for program in facts.used_by)


def test_a_method_has_its_weights_and_what_to_cite(site: Path) -> None:
    for name, card in cards("method").items():
        page = site / "method" / f"{name}.html"
        text = words(page)
        for weights in card.facts.weights:
            assert {f"{name}[{weights.name}]", *(p.sha256 for p in weights.parts)} <= set(text.replace(",", "").split())
        if card.facts.bibtex:
            assert "".join(card.facts.bibtex.split()) in "".join(text.split())
        runs = not card.facts.precomputed and (
            not card.facts.requires_weights or any(w.packaged for w in card.facts.weights)
        )
        assert (site / "method/pictures" / f"{name}.jpg").exists() == runs
        assert ("<img" in page.read_text()) == runs


def test_every_option_of_every_command_is_there(site: Path) -> None:
    context = click.Context(cli)
    for verb in VERBS:
        text = words(site / "command" / f"{verb}.html")
        waiting = [cli.get_command(context, verb)]
        while waiting:
            command = waiting.pop()
            if isinstance(command, click.Group):
                waiting += command.commands.values()
            for parameter in command.params if command else ():
                if isinstance(parameter, click.Option) and not parameter.hidden:
                    assert parameter.opts[-1] in text, (verb, parameter.opts)


def test_what_is_public_has_a_page(site: Path) -> None:
    assert "Fuse and score" in words(site / "api/fusionbench.html")
    assert "A subclass must have fuse" in words(site / "api/fusionbench.method.html")
    assert "per_image" in words(site / "api/fusionbench.metrics.html")
