"""The page in a browser, opened from its folder: clicked, sorted, dragged, wide and at a phone's width."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionbench.report.tables import build
from fusionbench.results.store import Store
from tests.conftest import REPO, fusionbench
from tests.site.driver import PHONE, WIDE, Page
from tests.site.made import EIGHT, IDS, fill


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("browsed") / "mine")


@pytest.fixture(scope="module")
def folder(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    log = out.parent / "run.jsonl"
    log.write_text("".join(json.dumps({"step": n, "loss": 1 / n}) + "\n" for n in range(1, 50)))
    words = ("--pictures", "2", "--training", log)
    done = fusionbench("site", "--out", out / "page", store, REPO / "leaderboards/msrs-fusion@v1.json", *words)
    assert done.returncode == 0, done.stderr
    return out / "page"


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[Page]:
    shown = Page(browser, folder, request.param)
    yield shown
    shown.calm()


def test_numbers_are_the_store_s(page: Page, store: Path) -> None:
    with Store(store, create=False) as opened:
        table = build(opened, opened.boards()[0], EIGHT)
    means = {row.id: [row.mean(m.id) for m in table.metrics] for row in table.rows}
    assert page.rows() == [row.id for row in table.rows]
    for number, m in enumerate(table.metrics):
        shown = page.column(number + 2)
        assert shown == [f"{means[name][number]:.{m.digits}f}" for name in page.rows()]
    page.click("tr[data-entry='gff'] td:nth-child(6) button")
    page.until("return document.querySelector('#drawer-body').dataset.ready === 'yes'")
    assert float(page.find("#drawer-exact").text) == means["gff"][EIGHT.index("vif@tdfusion")]
    text = page.js("return document.querySelector('#drawer').textContent")
    for said in ("fusionbench eval --all", "c0ffee", "A processor", "2026-11-27T12:00:00Z", "torch 2.9"):
        assert said in text
    for said in ("msrs-fusion@v1", "not confirmed by its authors", "VIF", "mine: 6 pictures"):
        assert said in text
    page.js("document.querySelector('#drawer .close').click()")
    assert page.js("return document.activeElement.classList.contains('number')"), "focus goes back"


def test_sorting_by_click_and_by_keys(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    own = page.rows()
    head = "[id='sort-vif@tdfusion']"
    page.click(head)
    assert (
        page.js("return document.querySelector(arguments[0]).closest('th').getAttribute('aria-sort')", head)
        == "descending"
    )
    falling = [float(v) for v in page.column(5)]
    assert falling == sorted(falling, reverse=True)
    assert page.js("return document.activeElement.id") == "sort-vif@tdfusion", "focus stays"
    page.find(head).send_keys(Keys.ENTER)
    assert [float(v) for v in page.column(5)] == falling[::-1]
    page.find(head).send_keys(Keys.ENTER)
    assert page.rows() == own
    page.find("[id='sort-qcv@liu2012']").send_keys(Keys.ENTER)
    rising = [float(v) for v in page.column(9)]
    assert rising == sorted(rising), "less is better: the least first"
    assert "sort=qcv" in page.browser.current_url


def test_arrow_keys_walk_over_the_numbers(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    first = page.find("#board .number[tabindex='0']")
    first.send_keys(Keys.ARROW_DOWN, Keys.NULL)
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.js("const d = document.activeElement.dataset; return [d.r, d.n]") == ["1", "1"]
    assert page.js("return document.querySelectorAll('#board .number[tabindex=\"0\"]').length") == 1
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.until("return document.querySelector('#drawer').open")
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until("return !document.querySelector('#drawer').open")


def test_filters_and_columns(page: Page) -> None:
    every = page.rows()
    if page.find("#filters").is_displayed():
        page.click("#filters")
    page.pick("family", "classical")
    assert set(page.rows()) == {"gff", "laplacian", "average", "adf"}
    page.pick("family", "")
    page.pick("learnt", "MSRS")
    assert page.rows() == ["seafusion[msrs]"]
    page.pick("learnt", "")
    page.js("const y = document.querySelector('#from'); y.value = 2013; y.dispatchEvent(new Event('change'))")
    assert {"gff", "seafusion[msrs]"} <= set(page.rows()) < set(every)
    assert "laplacian" not in page.rows()
    page.js("const y = document.querySelector('#from'); y.value = ''; y.dispatchEvent(new Event('change'))")
    page.find("#search").send_keys("lap")
    assert page.rows() == ["laplacian"]
    page.js("const s = document.querySelector('#search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    page.click("#unranked")
    assert not {"infrared", "visible", "adf"} & set(page.rows())
    page.click("#columns summary")
    heads = page.js("return document.querySelectorAll('#board thead th').length")
    page.click("#column-1")
    assert page.js("return document.querySelectorAll('#board thead th').length") == heads - 1


def test_further_columns_are_loaded_when_asked_for(page: Page, store: Path) -> None:
    assert page.js("return FB.get('columns-0') === undefined")
    page.click("#columns summary")
    page.click("#further")
    page.until("return FB.get('columns-0') !== undefined && !document.querySelector('#further')")
    wanted = next(name for name in page.js("return FB.index.tables[0].more") if name.startswith("vif@"))
    page.js(
        "[...document.querySelectorAll('#columns label')]"
        ".find((l) => l.textContent.includes(arguments[0])).control.click()",
        f"VIF @ {wanted.partition('@')[2]}",
    )
    with Store(store, create=False) as opened:
        table = build(opened, opened.boards()[0], [wanted])
    means = {row.id: f"{row.mean(wanted):.{table.metrics[0].digits}f}" for row in table.rows}
    last = page.js("return document.querySelectorAll('#board thead th').length") - 1
    assert dict(zip(page.rows(), page.column(last), strict=True)) == means


def test_evaluator_task_and_results(page: Page) -> None:
    page.pick("profile", "cddfuse")
    page.until("return document.querySelector(\"[id='sort-vif@cddfuse']\")")
    page.pick("profile", "default")
    page.until("return document.querySelector(\"[id='sort-vif@tdfusion']\")")
    page.pick("task", "segmentation")
    assert page.js("return document.querySelectorAll('#board thead th').length") == 2
    assert page.column(1)[page.rows().index("gff")] == "0.4800"
    page.pick("task", "")
    other = page.js("return String(FB.index.tables.findIndex((t) => t.kind === 'table'))")
    page.pick("results", other)
    page.until("return document.querySelector('.chips').textContent.includes('361')")
    assert page.column(5)[page.rows().index("gff")] == "0.478"
    page.click("#printed")
    assert page.js("return document.querySelectorAll('tr.print').length") == 0, "nothing is in print of these rows"


def test_intervals_ties_and_marks(page: Page) -> None:
    page.click("#intervals")
    assert page.js("return document.querySelectorAll('.interval').length") == 8 * 7
    assert page.js(
        "return [...document.querySelectorAll('td.rank small')].every((s) => /^place \\d/.test(s.textContent))"
    )
    best = page.js("return [...document.querySelectorAll('td.best')].map((td) => td.parentElement.dataset.entry)")
    assert best
    assert not {"infrared", "visible", "adf"} & set(best)
    assert "Nemenyi" in page.js("return document.querySelector('.notes').textContent")
    assert "no published pictures" in page.js("return document.querySelector(\"tr[data-entry='adf'] .badge\").title")


def test_image_by_image(page: Page, store: Path) -> None:
    page.tab("images")
    page.until("return document.querySelector('#differences')")
    page.pick("a", "average")
    page.pick("b", "gff")
    page.pick("metric", "qcv@liu2012")
    with Store(store, create=False) as opened:
        table = build(opened, opened.boards()[0], EIGHT)
    values = {row.id: row.values["qcv@liu2012"] for row in table.rows}
    gains = dict(zip(table.ids, values["gff"] - values["average"], strict=True))  # less is better
    shown = page.js(
        "return [...document.querySelectorAll('#differences tr[data-image]')]"
        ".map((r) => [r.dataset.image, r.querySelector('.gain').textContent])"
    )
    assert [name for name, _ in shown] == sorted(IDS, key=lambda name: gains[name])
    digits = table.metrics[EIGHT.index("qcv@liu2012")].digits
    assert [float(text) for _, text in shown] == [round(float(gains[name]), digits) for name, _ in shown]
    wins = sum(v > 0 for v in gains.values())
    assert f"average is better on {wins}, worse on {len(IDS) - wins}" in page.find("#tally").text


def test_the_slider_zoom_and_difference(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.tab("images")
    page.until("const i = document.querySelector('#stage img'); return i && i.complete && i.naturalWidth")
    page.pick("left", "gff")
    page.pick("right", "infrared")
    page.until("return [...document.querySelectorAll('#stage img')].every((i) => i.complete && i.naturalWidth === 32)")
    page.js("document.querySelector('#stage').scrollIntoView({block: 'center'})")
    before = page.js("return document.querySelector('.over').style.clipPath")
    handle = page.find("#handle")
    width = page.js("return document.querySelector('#stage').getBoundingClientRect().width")
    ActionChains(page.browser).click_and_hold(handle).move_by_offset(int(width / 4), 0).release().perform()
    at = float(page.js("return document.querySelector('#slider').value"))
    assert at == pytest.approx(75, abs=2)
    assert page.js("return document.querySelector('.over').style.clipPath") != before
    page.click("#zoom-in")
    page.click("#zoom-in")
    assert len(set(page.js("return [...document.querySelectorAll('.zoomed')].map((i) => i.style.transform)"))) == 1
    assert page.js("return FB.viewer.look.zoom") == pytest.approx(2.25)
    page.pick("mode", "beside")
    assert len(set(page.js("return [...document.querySelectorAll('.zoomed')].map((i) => i.style.transform)"))) == 1
    page.pick("mode", "difference")
    assert page.js("return getComputedStyle(document.querySelector('.minus')).mixBlendMode") == "difference"
    page.pick("right", "gff")
    assert brightest(page) < 3, "a picture differs from itself nowhere"
    page.pick("right", "visible")
    assert brightest(page) > 60


def brightest(page: Page) -> int:
    """Of the drawn stage, without its round corners."""
    page.until("return [...document.querySelectorAll('#stage img')].every((i) => i.complete && i.naturalWidth === 32)")
    image = Image.open(io.BytesIO(base64.b64decode(page.find("#stage").screenshot_as_base64))).convert("L")
    box = (image.width // 4, image.height // 4, image.width * 3 // 4, image.height * 3 // 4)
    return int(image.crop(box).getextrema()[1])


def test_plots(page: Page) -> None:
    page.tab("plots")
    page.until("return document.querySelectorAll('#view-plots section').length === 3")
    assert page.js("return document.querySelectorAll('#view-plots rect.box').length") == 7
    assert page.js("return [...document.querySelectorAll('#view-plots polyline')].map((p) => p.dataset.run)") == ["run"]
    dots = page.js(
        "return [...document.querySelectorAll('#view-plots circle')]"
        ".map((c) => [c.dataset.entry, c.getAttribute('fill')])"
    )
    assert [name for name, _ in dots] == ["seafusion[msrs]"]
    assert dots[0][1] == page.js("return FB.methods.get('seafusion').colour"), "one colour per method"


def saved(page: Page, folder: Path, kind: str) -> str:
    """What a click on a format leaves in a folder."""
    folder.mkdir(exist_ok=True)
    page.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    page.click("#save summary")
    page.click(f"#save-{kind}")
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page.browser, 20).until(lambda _: list(folder.glob(f"*.{kind}")))
    (file,) = folder.glob(f"*.{kind}")
    return file.read_text(encoding="utf-8")


def test_exports(page: Page, store: Path, tmp_path: Path) -> None:
    page.click("[id='sort-en@bits']")
    page.click("#unranked")
    lines = list(csv.reader(io.StringIO(saved(page, tmp_path / "csv", "csv"))))
    assert lines[0] == ["entry", "Rank mean over 8", *EIGHT]
    assert [line[0] for line in lines[1:]] == page.rows()
    with Store(store, create=False) as opened:
        table = build(opened, opened.boards()[0], EIGHT)
    for line in lines[1:]:
        row = next(r for r in table.rows if r.id == line[0])
        assert [float(v) for v in line[2:]] == [row.mean(m.id) for m in table.metrics]
    tex = saved(page, tmp_path / "tex", "tex")
    assert tex.count("\\\\\n") == len(page.rows()) + 1
    assert "\\textbf{" in tex
    assert "SEA" not in tex
    picture = ElementTree.fromstring(saved(page, tmp_path / "svg", "svg"))
    texts = [t.text for t in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [t for t in texts if t in page.rows()] == page.rows()


def test_latex_of_the_view_compiles(browser: Any, folder: Path, tmp_path: Path, pdflatex: str) -> None:
    page = Page(browser, folder, WIDE)
    body = page.js("return FB.exports.latex()")
    (tmp_path / "a.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    done = subprocess.run([pdflatex, "-interaction=nonstopmode", "a.tex"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:]
