"""The documentation site: it builds strictly without network, and asks for nothing from elsewhere when it is read."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.conftest import REPO


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
