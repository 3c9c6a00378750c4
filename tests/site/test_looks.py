"""The page in a browser: contrast, themes, addresses, hostile names, every committed table."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from fusionbench.results.records import Origin, WeightsInfo
from tests.conftest import fusionbench
from tests.harness.test_store import entry
from tests.site.driver import CONTRAST, PHONE, UNNAMED, WIDE, Page
from tests.site.made import fill


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page"
    done = fusionbench("site", "--out", out, fill(out.parent / "mine"), "--pictures", "2")
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_contrast_and_names(browser: Any, folder: Path, size: tuple[int, int], dark: bool) -> None:
    page = Page(browser, folder, size, dark=dark)
    for view in ("table", "images", "plots", "about"):
        page.tab(view)
        page.until(f"return document.querySelector('#view-{view}').textContent.length > 20")
        assert page.js(CONTRAST) == []
        assert page.js(UNNAMED) == []
        page.fits()
    page.tab("table")
    page.click("tr[data-entry='gff'] td:nth-child(4) button")
    page.until("return document.querySelector('#drawer-body').dataset.ready === 'yes'")
    assert page.js(CONTRAST) == []
    page.js("document.querySelector('#drawer .close').click()")
    page.calm()


def test_the_theme_is_the_reader_s(browser: Any, folder: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    page = Page(browser, folder, WIDE)
    light = page.js(ground)
    page.click("#theme"), page.click("#theme")
    dark = page.js(ground)
    assert dark != light
    assert Page(browser, folder, WIDE).js(ground) == dark, "remembered"
    Page(browser, folder, WIDE).click("#theme")
    assert Page(browser, folder, WIDE, dark=True).js(ground) == dark, "the system's"
    assert Page(browser, folder, WIDE).js(ground) == light


def test_the_address_restores_what_was_chosen(browser: Any, folder: Path) -> None:
    page = Page(browser, folder, WIDE)
    page.pick("profile", "cddfuse")
    page.until("return document.querySelector(\"[id='sort-vif@cddfuse']\")")
    page.click("[id='sort-vif@cddfuse']")
    rows, fragment = page.rows(), page.browser.current_url.partition("#")[2]
    again = Page(browser, folder, WIDE, f"#{fragment}")
    assert again.rows() == rows
    for odd in ("#table=nowhere&sort=-__proto__", "#view=<b>&task=x", "#%E0%A4%A"):
        Page(browser, folder, WIDE, odd).calm()


EVIL = "</script><script>window.hacked=1</script>"
MARKUP = '"><img src=x onerror="window.hacked=1">'


def test_names_that_are_markup_stay_text(browser: Any, tmp_path: Path) -> None:
    weights = WeightsInfo(name=MARKUP, sha256="'\\'", trained_on=f"MSRS {EVIL}\u2028{MARKUP}", listed=False)
    hostile = [
        entry(
            id=EVIL, method="__proto__", title=MARKUP, weights=weights, options={"__proto__": EVIL, "constructor": 1}
        ),
        entry(id=MARKUP, method="constructor", title=EVIL, unverified=MARKUP, device=EVIL),
        entry(id="=1+1", method="toString", title="\u202e\u2028'\\"),
        entry(id="hasOwnProperty", method="gff", title="${1}`"),
    ]
    facts = {"title": f"T{EVIL}", "split_source": MARKUP, "origin": Origin(generator="scenes", seed=1, like=EVIL)}
    folder = fill(tmp_path / f"{'a<b>&'}", hostile, [EVIL.replace("/", ""), "'\"`\\", "__proto__"], **facts)
    out = tmp_path / "page"
    done = fusionbench("site", "--out", out, folder, "--title", EVIL, "--pictures", "2")
    assert done.returncode == 0, done.stderr
    page = Page(browser, out, WIDE)
    assert set(page.rows()) == {info.id for info in hostile}
    assert page.js("return document.title").startswith("</script>")
    for number in range(len(hostile)):
        page.js("document.querySelectorAll('#board .link')[arguments[0]].click()", number)
        page.until("return document.querySelector('#drawer-body').dataset.ready === 'yes'")
        page.js("document.querySelector('#drawer').close()")
    for view in ("images", "plots", "about"):
        page.tab(view)
        page.until(f"return document.querySelector('#view-{view}').textContent.length > 20")
    page.tab("table")
    lines = list(csv.reader(io.StringIO(page.js("return FB.exports.csv()"))))
    assert "'=1+1" in [line[0] for line in lines]
    ElementTree.fromstring(page.js("return FB.exports.picture()"))
    assert page.js("return window.hacked") is None
    assert page.js("return ({}).polluted") is None
    assert page.js("return document.querySelectorAll('script:not([src]), img[src=x]').length") == 0
    page.calm()


@pytest.mark.slow
def test_every_committed_table_opens(browser: Any, tmp_path: Path) -> None:
    assert fusionbench("site", "--out", tmp_path / "page").returncode == 0
    for size in (WIDE, PHONE):
        page = Page(browser, tmp_path / "page", size)
        for number in range(page.js("return FB.index.tables.length")):
            page.js(
                "window.opened = null; FB.choosers.open(arguments[0]).then(() => { window.opened = arguments[0]; })",
                number,
            )
            page.until(f"return window.opened === {number}")
            assert page.rows() == page.js("return FB.model.table().rows.map((r) => r.id)")
            page.js("FB.state.printed = true; FB.table.draw()")
            for view in ("images", "plots", "about", "table"):
                page.tab(view)
            page.fits()
        assert page.js("return document.querySelectorAll('tr.print').length") >= 0
        page.calm()
