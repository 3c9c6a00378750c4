"""Tables for papers: what LaTeX is written, that it compiles in the columns of IEEE and CVPR, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import metric
from fusionbench.report.formats import markdown
from fusionbench.report.latex import breakable
from fusionbench.report.numbers import places
from fusionbench.report.paper import Style, bibliography_of, paper_latex
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn
from fusionbench.results.records import EntryInfo
from tests.harness.test_names import fusionbench, refused
from tests.harness.test_names import scored as scored
from tests.harness.test_store import board, entry

METRICS = ("en@bits", "sf@mean", "scd@sum", "vif@tdfusion", "qabf@released", "ssim@tdfusion", "mi@bits", "qcv@liu2012")
MEANS = (6.6, 11.25, 1.67, 0.71, 0.69, 0.95, 4.19, 1196.1)
PAGES = {"ieee": (516, 12), "cvpr": (496.85, 22.5)}  # points: text and gap; columns of 252 and 237


def info(method: str, title: str, inside: str = "", **facts: object) -> EntryInfo:
    return entry(id=f"{method}[{inside}]" if inside else method, method=method, title=title, **facts)


OURS = info("images", "Pictures", "Ours", options={"name": "Ours"})
ENTRIES = (info("visible", "Visible", source_only=True), info("gff", "GFF"), info("average", "Average"), OURS)


def make(entries: Sequence[EntryInfo] = ENTRIES, metrics: Sequence[str] = METRICS, dataset: str = "MSRS") -> Table:
    """A table in which the n-th entry is a little worse than the one before; three images."""
    rows = []
    for number, e in enumerate(entries):
        means = (
            mean * (1 + (0.01 if m.startswith("qcv") else -0.01) * number)
            for m, mean in zip(METRICS, MEANS, strict=True)
        )
        values = {m: mean + np.array([-0.1, 0, 0.1]) for m, mean in zip(METRICS, means, strict=True)}
        rows.append(Row(e, {m: values[m] for m in metrics}))
    own = board(dataset=dataset.lower(), title=dataset, expected=3, protocol=f"{dataset.lower()}-fusion@v1")
    return Table(own, ("1", "2", "3"), tuple(map(metric, metrics)), tuple(rows))


def names(text: str) -> list[str]:
    """First cells of the rows."""
    found = [line.split(" & ")[0] for line in text.splitlines() if line.endswith(r"\\") and " & " in line]
    return [name for name in found if name and name != "Method"]


def compiled(texts: Sequence[str], folder: Path, pdflatex: str, page: str) -> str:
    """The log of a document that takes tables in."""
    for number, text in enumerate(texts):
        (folder / f"t{number}.tex").write_text(text, encoding="utf-8")
    width, gap = PAGES[page]
    taken = "".join(rf"\input{{t{number}}}\clearpage" for number in range(len(texts)))
    (folder / "paper.tex").write_text(
        rf"\documentclass[10pt,twocolumn]{{article}}\usepackage{{booktabs,graphicx,xcolor}}"
        rf"\usepackage[textwidth={width}pt,columnsep={gap}pt]{{geometry}}"
        rf"\begin{{document}}{taken}\end{{document}}"
    )
    words = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:]
    return done.stdout


def test_names_are_plain_and_variants_stand_in_one_footnote() -> None:
    text = paper_latex([make()])
    assert names(text) == ["Visible", "GFF", "Average", "Ours"]
    assert "documentclass" not in text
    head = next(line for line in text.splitlines() if line.startswith("Method"))
    assert "@" not in head
    assert r"VIF\,$\uparrow$" in head
    assert r"Qcv\,$\downarrow$" in head
    notes = [line for line in text.splitlines() if "VIF@tdfusion" in line and not line.startswith("%")]
    assert len(notes) == 1
    assert "protocol msrs-fusion@v1" in notes[0]


def test_weights_are_named_only_where_two_rows_would_be_called_alike() -> None:
    one, two = (info("refusion", "ReFusion", name) for name in ("ivif", "mine"))
    assert names(paper_latex([make([one])])) == ["ReFusion"]
    assert names(paper_latex([make([one, two])])) == ["ReFusion [ivif]", "ReFusion [mine]"]
    narrow = info("gff", "GFF", "r1=3")
    assert names(paper_latex([make([narrow])])) == ["GFF [r1=3]"]
    shown = info("images", "Pictures", "GFF", options={"name": "GFF"})
    assert sorted(names(paper_latex([make([info("gff", "GFF"), shown])]))) == ["gff", "images[GFF]"]


def test_order_last_and_years() -> None:
    text = paper_latex([make()], Style(order=("average",), last=("ours",), years=True))
    assert names(text) == ["Visible", "Average", "GFF (2013)", "Ours"]
    lines = text.splitlines()
    assert lines[next(n for n, line in enumerate(lines) if line.startswith("Ours")) - 1] == r"\midrule"
    assert names(paper_latex([make()], Style(order=("name",)))) == ["Visible", "Average", "GFF", "Ours"]
    entries = [info("dwt", "DWT"), info("gff", "GFF"), info("average", "Average")]
    assert names(paper_latex([make(entries[::-1])], Style(order=("year",)))) == ["DWT", "GFF", "Average"]
    assert names(paper_latex([make(entries)], Style(order=("Qcv",)))) == ["DWT", "GFF", "Average"]
    for style in (Style(order=("nobody",)), Style(last=("nobody",))):
        with pytest.raises(FusionbenchError, match="no entry 'nobody'"):
            paper_latex([make()], style)


def test_what_is_renamed() -> None:
    rename = {"Ours": "A_B & C", "gff": r"GFF$^\ast$", "qabf": "$Q^{AB/F}$", "MSRS": "Road_scenes"}
    text = paper_latex([make()], Style(rename=rename, caption=r"By \emph{us}.", label="tab:a_{b}"))
    assert names(text) == ["Visible", r"GFF$^\ast$", "Average", r"A\_B \& C"]
    assert r"$Q^{AB/F}$\,$\uparrow$" in text
    assert r"\caption{By \emph{us}.}" in text
    assert r"\label{tab:a_b}" in text
    assert r"Road\_scenes (3 pairs)" in paper_latex([make()], Style(rename=rename))
    with pytest.raises(FusionbenchError, match=r"--rename Qabff=.*did you mean"):
        paper_latex([make()], Style(rename={"Qabff": "x"}))


def test_values_that_are_printed_alike_share_a_place() -> None:
    means = {"a": 1.00049, "b": 1.0, "c": 0.9, "d": 0.9001, "e": float("nan"), "f": 0.8}
    assert places(means, 3, True) == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert places({"a": 2.04, "b": 2.0, "c": 3.0}, 1, False) == {"a": 1, "b": 1, "c": 2}
    rows = [Row(info(name, name), {"en@bits": np.array([value])}) for name, value in (("x", 6.00004), ("y", 6.0))]
    table = Table(board(expected=1), ("1",), (metric("en@bits"),), tuple(rows))
    assert paper_latex([table]).count(r"\textbf{6.000}") == 2
    assert markdown(table).count("**6.000**") == 2
    assert paper_latex([table], Style(digits=5)).count(r"\textbf") == 1


def test_marks_and_intervals() -> None:
    table = make(metrics=METRICS[:2])
    red = paper_latex([table], Style(marks="colour", ci=True))
    assert r"\textcolor{red}{" in red
    assert r"\textcolor{blue}{" in red
    assert r"\textbf" not in red
    assert "xcolor" in red.splitlines()[0]
    assert re.search(r"6\.534\}\$_\{\[6\.434,\\,6\.634\]\}\$", red)
    plain = paper_latex([table], Style(marks="none", rank=False))
    assert r"\textbf" not in plain
    assert "Rank" not in plain


def test_scores_of_tasks_are_columns_with_their_interval() -> None:
    from dataclasses import replace

    column = TaskColumn(
        "segmentation/n/frozen/r/miou", "mIoU@tdfusion", {"gff": (0.5, 0.52), "average": (0.4,)}, "By n."
    )
    text = paper_latex([replace(make(metrics=METRICS[:1]), tasks=(column,))])
    assert r"mIoU\,$\uparrow$" in text
    assert r"\textbf{0.510}$_{\pm 0.127}$" in text
    assert "mIoU: By n" in text


@pytest.mark.parametrize("page", PAGES)
def test_tables_fit_the_columns_of_papers(page: str, tmp_path: Path, pdflatex: str) -> None:
    datasets = ("MSRS", "TNO", "VIFB")
    styles = (Style(), Style(rank=False, span="page"), Style(ci=True, marks="colour", years=True, last=("Ours",)))
    several = [[make(dataset=d) for d in datasets[:n]] for n in (1, 2, 3)]
    texts = [paper_latex(t, style) for t in ([make(metrics=METRICS[:4])], *several) for style in styles]
    assert "Overfull" not in compiled(texts, tmp_path, pdflatex, page)


def test_the_width_is_that_of_the_table(tmp_path: Path) -> None:
    assert r"\begin{table}[t]" in paper_latex([make(metrics=METRICS[:4])])
    wide = paper_latex([make()])
    assert r"\begin{table*}[t]" in wide
    assert "resizebox" not in wide
    assert r"\begin{table}[t]" in paper_latex([make()], Style(span="column"))
    several = paper_latex([make(metrics=METRICS[:4], dataset=d) for d in ("MSRS", "TNO")])
    assert several.count(r"\begin{table*}") == 1
    assert r"\multicolumn{5}{c}{TNO}" in several
    stacked = paper_latex([make(dataset=d) for d in ("MSRS", "TNO", "VIFB")])
    assert stacked.count(r"\textit{") == 3
    assert stacked.count("Method &") == 1


def test_a_row_that_a_dataset_lacks_has_dashes() -> None:
    text = paper_latex([make(metrics=METRICS[:2]), make(ENTRIES[:3], METRICS[:2], "TNO")])
    ours = next(line for line in text.splitlines() if line.startswith("Ours"))
    assert ours.endswith(r"-- & -- & -- \\")


def test_any_name_compiles(tmp_path: Path, pdflatex: str) -> None:
    strange = ("a_b%c&d#e$f{g}h~i^j\\k", "ünï", "融合", "\x1b[31mred", "x" * 80)
    entries = [info("images", "Pictures", str(n), options={"name": name}) for n, name in enumerate(strange)]
    text = paper_latex([make(entries, METRICS[:3])], Style(caption="100 % & more", label="a b"))
    assert "XeLaTeX" in text
    assert "\x1b" not in text
    compiled([text], tmp_path, pdflatex, "ieee")


@pytest.mark.parametrize("name", ["融合 Ours", "Слияние", "Ðorđe Þ", "한글", "Ours"])
def test_a_document_prints_any_name(name: str, tmp_path: Path, xelatex: str, pdflatex: str) -> None:
    entries = [info("images", "Pictures", "0", options={"name": name}), info("gff", "GFF")]
    text = paper_latex([make(entries, METRICS[:3])], Style(standalone=True))
    (tmp_path / "t.tex").write_text(text)
    for program in (xelatex, pdflatex):
        words = [program, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-1500:]
        log = (tmp_path / "t.log").read_text(errors="replace")
        # a machine without such a font prints no letter, and the log says what to do
        assert ("Missing character" in log) is ("no font here has all letters" in log)
        assert "Overfull" not in log or program == pdflatex  # which prints long numbers for the letters
    assert text.startswith(f"% !TEX program = {'xelatex' if not name.isascii() else 'pdflatex'}")


def test_files_of_the_command(scored: Path, tmp_path: Path, pdflatex: str) -> None:
    path = tmp_path / "results.tex"
    words = ("leaderboard", "--out", scored / "r", "--methods=Mine,gff,average")
    done = fusionbench(*words, "--cite", "--last=mine", "--standalone", "-o", path)
    assert done.returncode == 0, done.stderr
    text, bib = path.read_text(), (tmp_path / "results.bib").read_text()
    assert names(text)[-1] == "Mine"
    (key,) = set(re.findall(r"\\cite\{(.*?)\}", text))
    assert bib.count(f"{{{key},") == 1
    assert json.loads((tmp_path / "results.provenance.json").read_text())["table"]
    for _ in range(2):
        done_tex = subprocess.run([pdflatex, "-interaction=nonstopmode", path.name], cwd=tmp_path, capture_output=True)
        assert done_tex.returncode == 0, done_tex.stdout[-1500:]
    (tmp_path / "results.bib").write_text("@book{mine,}")
    assert "not written by fusionbench" in refused(*words, "--cite", "-o", path)
    assert (tmp_path / "results.bib").read_text() == "@book{mine,}"
    assert "--format latex" in refused(*words, "--last=mine", "-o", tmp_path / "t.md")
    assert "is not NAME=TEXT" in refused(*words, "--rename=mine", "-o", path)


def test_every_method_with_an_entry_for_bibtex_has_a_key() -> None:
    from fusionbench.plugins.cards import cards

    every = [info(name, card.title) for name, card in cards("method").items() if card.facts.bibtex]
    bib = bibliography_of([make(every, METRICS[:1])])
    keys = re.findall(r"^@\w+\{(\S+),", bib, re.MULTILINE)
    assert len(keys) == len(set(keys))
    text = paper_latex([make(every, METRICS[:1])], Style(cite=True))
    assert set(re.findall(r"\\cite\{(.*?)\}", text)) == set(keys)


def test_pictures_called_after_a_method_cite_it() -> None:
    theirs = [info("images", "Pictures", name, options={"name": name}) for name in ("SeAFusion", "U2Fusion", "Ours")]
    text = paper_latex([make((*ENTRIES[:2], *theirs))], Style(cite=True, years=True))
    assert re.search(r"SeAFusion \(2022\)~\\cite\{\w+\}", text)
    assert re.search(r"Ours & ", text)
    assert re.search(r"U2Fusion & ", text)  # no card of that name
    assert bibliography_of([make(theirs)]).count("@") == 1


def test_intervals_are_said_to_be_intervals() -> None:
    assert "bootstrap intervals" in paper_latex([make()], Style(ci=True))
    assert "bootstrap intervals" not in paper_latex([make()])


def test_rows_of_one_dataset_alone_do_not_stand_below_the_other() -> None:
    few = METRICS[:6]  # no room for both beside each other
    tables = [make(ENTRIES[:3], few), make((ENTRIES[0], ENTRIES[3]), few, dataset="TNO")]
    text = paper_latex(tables, Style(span="column"))
    first, second = text.split(r"\textit{TNO}")
    assert "GFF & " in first
    assert "Ours" not in first.split(r"\midrule", 1)[1]
    assert "Ours & " in second
    assert "GFF" not in second.split(r"\bottomrule")[0]
    undefined = make(ENTRIES[:3], metrics=("scd@sum",))
    for row in undefined.rows:
        row.values["scd@sum"][:] = np.nan
    assert names(paper_latex([undefined], Style(rank=False))) == ["Visible", "GFF", "Average"]


def test_a_recipe_may_be_broken_where_it_is_longer_than_a_column() -> None:
    long = "+".join(["finetune", "from=yolox-nano@b5f2d9b7", "folds=6", "640x640", "every"])
    assert breakable(f"recipe {long}, a+b") == "recipe " + long.replace("+", r"+\allowbreak{}") + ", a+b"
