"""Tables in a terminal, in a browser and in an office program; and how far a run has come."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fusionbench.cli.progress import Overall
from fusionbench.cli.spelling import folded
from fusionbench.report.formats import cells_of
from fusionbench.report.sheets import MAIN, as_html, as_xlsx
from fusionbench.report.terminal import as_seen, drawn
from tests.harness.test_names import fusionbench, refused
from tests.harness.test_names import scored as scored
from tests.harness.test_paper import info, make


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_fits_the_terminal_and_lacks_nothing(width: int) -> None:
    table = make()
    text = as_seen(drawn(table, width), width, colour=False)
    assert max(map(len, text.splitlines())) <= width
    cells = [cell for _, row, _ in cells_of(table, False) for cell, _ in row]
    assert all(text.split().count(cell) >= cells.count(cell) for cell in cells)
    assert sum(line.startswith("method ") for line in text.splitlines()) == 1 or width < 80
    assert all(m.card.title in text and m.variant in text for m in table.metrics)


class Terminal(io.StringIO):
    """Stands for stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_of_a_list_is_folded_on_a_narrow_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    head, text = "  name  2020* ", "bands of two-dimensional wavelets by area-based maximum with a majority vote"
    whole = head + text
    assert folded(head, text) == whole  # a pipe
    monkeypatch.setattr(sys, "stdout", Terminal())
    for width in (200, 80, 60, len(head) + 19):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = folded(head, text).splitlines()
        assert (len(lines) == 1) == (width == 200 or width < 60)  # beside 19 characters it would be a column of words
        assert " ".join(line.strip() for line in lines).split() == whole.split()
        assert lines[0].startswith(head)
        assert all(line.startswith(" " * len(head)) and len(line) <= width for line in lines[1:])


def test_best_and_second_are_marked() -> None:
    text = as_seen(drawn(make(), 200), 200, colour=True)
    assert "\x1b[1;32m6.534\x1b[0m" in text
    assert "\x1b[4m6.468\x1b[0m" in text


def test_names_are_neither_obeyed_nor_marked_up() -> None:
    entries = [info("images", "Pictures", name) for name in ("[bold]x[/bold]", "a\x1b[31mb", "<b>&")]
    table = make(entries)
    for colour in (False, True):
        text = as_seen(drawn(table, 200), 200, colour)
        assert "images[[bold]x[/bold]]" in text
        assert "\x1b[31m" not in text
    page = as_html(table)
    assert "images[&lt;b&gt;&amp;]" in page
    assert "\x1b" not in page


def test_a_terminal_gets_a_table_and_a_pipe_markdown(scored: Path) -> None:
    words = [sys.executable, "-m", "fusionbench", "leaderboard", "--out", str(scored / "r")]
    piped = fusionbench(*words[3:])
    assert "|---|" in piped.stdout
    drawn_ = fusionbench(*words[3:], "--format=table").stdout
    assert "|" not in drawn_
    main, other = pty.openpty()
    done = subprocess.run(
        words, stdout=other, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    )
    os.close(other)
    seen = os.read(main, 1 << 16).decode()
    os.close(main)
    assert done.returncode == 0, done.stderr
    assert "|---|" not in seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen).replace("\r\n", "\n")
    assert "images[Mine]" in plain
    assert "\x1b[1;32m" in seen


class Cells(HTMLParser):
    """The texts of a page's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self.cell: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = dict(attrs).get("class") or ""
            self.rows[-1].append(("", self.cell))

    def handle_endtag(self, tag: str) -> None:
        self.cell = None if tag in ("td", "th") else self.cell

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            text, kind = self.rows[-1][-1]
            self.rows[-1][-1] = (text + data, kind)


def test_html_says_what_the_table_says() -> None:
    table = make()
    head, *rows = Cells(as_html(table)).rows
    assert len(head) == len(table.metrics) + 2
    for found, (name, cells, rank) in zip(rows, cells_of(table, False), strict=True):
        assert [text for text, _ in found] == [name, *(text for text, _ in cells), rank]
        assert [kind for _, kind in found[1:-1]] == [("", "best", "second")[place] for _, place in cells]


def test_a_workbook_holds_whole_numbers(tmp_path: Path) -> None:
    table = make()
    table.rows[0].values["en@bits"][:] = np.nan
    (tmp_path / "t.xlsx").write_bytes(as_xlsx(table, ci=True))
    assert as_xlsx(table) == as_xlsx(table)
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        parts = {name: ElementTree.fromstring(archive.read(name)) for name in archive.namelist()}
    space = {"m": MAIN}
    cells = {c.get("r"): c for c in parts["xl/worksheets/sheet1.xml"].iterfind(".//m:c", space)}
    assert cells["A3"].findtext(".//m:t", namespaces=space) == "gff"
    assert "B2" not in cells  # undefined
    means = [float(cells[f"{column}3"].findtext("m:v", namespaces=space) or "nan") for column in "BCDEFGHI"]
    assert means == [table.rows[1].mean(m.id) for m in table.metrics]
    low = float(cells["K3"].findtext("m:v", namespaces=space) or "nan")
    assert low == table.rows[1].interval("en@bits")[0]
    kinds = parts["xl/styles.xml"].findall("m:cellXfs/m:xf", space)
    shown = kinds[int(cells["B3"].get("s") or "")]
    assert shown.get("fontId") == "1"  # the bold one: best
    codes = {f.get("numFmtId"): f.get("formatCode") for f in parts["xl/styles.xml"].iterfind(".//m:numFmt", space)}
    assert codes[shown.get("numFmtId")] == "0.000"


def test_suffixes_of_office_programs(scored: Path, tmp_path: Path) -> None:
    for name, begins in (("t.html", b"<!DOCTYPE html>"), ("t.xlsx", b"PK")):
        done = fusionbench("leaderboard", "--out", scored / "r", "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert "name a file with -o" in refused("leaderboard", "--out", scored / "r", "--format=xlsx")


def test_one_bar_for_all_phases() -> None:
    overall = Overall({"reading tno": 10, "fusing gff": 10, "fusing gff[r1=3]": 10, "scoring tno": 70})
    assert overall.reached("reading tno", 5, 10) == 5
    assert overall.reached("fusing gff on tno", 1, 2) == 15
    assert overall.reached("fusing gff[r1=3] on tno", 1, 10) == 21
    assert overall.reached("scoring tno", 7, 7) == 100
    assert overall.reached("fusing gff on tno", 1, 2) == 100  # never back
    assert overall.reached("training segformer", 1, 2) is None
