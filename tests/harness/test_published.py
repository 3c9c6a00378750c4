"""What papers print beside what was measured."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.cards import cards
from fusionbench.report.beside import MARKS, beside
from fusionbench.report.formats import as_csv, as_json, latex, markdown
from fusionbench.report.headings import dataset_of, names, score_of
from fusionbench.report.paper import Style, paper_latex
from fusionbench.report.printed import MOST_BYTES, MOST_ROWS, PrintedValue, printed_values
from fusionbench.report.published import PublishedTable
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table, build
from fusionbench.report.task_tables import TaskColumn
from fusionbench.results.records import Origin
from fusionbench.results.store import Fused, Score, Store
from tests.conftest import REPO, fusionbench
from tests.harness.test_store import board, entry

HEAD = "method,dataset,metric,value,source\n"
BOARD = board(dataset="msrs", title="MSRS", expected=3, protocol="msrs-fusion@v1")
TASK = "segmentation/segformer-b0/retrained/full/miou@tdfusion"


def printed(**facts: object) -> PrintedValue:
    """A value in print of a paper that says everything, with these facts changed."""
    usual = {"method": "GFF", "dataset": "MSRS", "metric": "VIF", "text": "0.969", "value": 0.969, "source": "A paper"}
    return PrintedValue(**{**usual, "variant": "tdfusion", "split": "test", "images": 3, **facts})


@pytest.fixture
def table() -> Table:
    columns = (metric("en@bits"), metric("vif@tdfusion"))
    rows = tuple(
        Row(entry(id=name, method=name, title=name.upper()), {"en@bits": np.full(3, en), "vif@tdfusion": np.full(3, v)})
        for name, en, v in (("gff", 6.0, 0.4), ("average", 5.0, 0.3))
    )
    task = TaskColumn(TASK, "mIoU", {"gff": (0.7,), "average": (0.6,)}, "note", split="test", images=3)
    return Table(BOARD, ("1", "2", "3"), columns, rows, tasks=(task,))


def test_the_committed_values() -> None:
    values = printed_values()
    assert len(values) == 537
    assert not [v for v in values if any(word in v.protocol_note for word in ("shifted", "AMBIGUOUS", "SUSPECT"))]
    assert {v.second_hand for v in values} == {True, False}
    row = {v.metric: v for v in values if v.method == "SeAFusion" and v.dataset == "MSRS"}
    assert {m: v.value for m, v in row.items()} == {
        **{"EN": 6.652, "SD": 41.843, "SF": 11.106, "MI": 2.794},
        **{"SCD": 1.685, "VIF": 0.969, "Qabf": 0.675, "SSIM": 0.993},
    }
    assert {v.variant for v in row.values()} == {"cddfuse"}
    assert "0.68" in row["Qabf"].protocol_note
    assert "0.99" in row["SSIM"].protocol_note
    assert {dataset_of(v.dataset) for v in values if v.dataset} == {"msrs", "m3fd", "fmb", "llvip", "vt5000"}


@pytest.mark.real
def test_the_committed_values_are_those_of_the_reference_material(shared: Path) -> None:
    script = [sys.executable, "benchmarks/published.py", "--reference", str(shared / "reference/published.csv")]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "98 shifted, 1 of ambiguous origin, 2 likely misprints" in done.stdout


def test_names_in_print_lead_somewhere() -> None:
    for score in names().scores.values():
        task, _, name = score.partition("/")
        assert task in cards("task"), name
    assert set(names().methods.values()) <= set(cards("method"))
    for heading in ("VIF", "$Q^{AB/F}$", "QAB/F", "q_cv", "MS_SSIM"):
        assert (found := score_of(heading)) is not None
        assert found.metric is not None
    for heading in ("mIoU", "AP50", "mAP@0.5", "mAP50-95", "mF"):
        assert (found := score_of(heading)) is not None
        assert found.task is not None
    assert score_of("params_M") is None


def test_printed_values_change_no_rank_and_no_mark(table: Table) -> None:
    best = [printed(text="9.9", value=9.9), printed(metric="EN", text="99", value=99.0, method="average", variant="")]
    with_them = markdown(table, printed=beside(table, best))
    without = markdown(table)
    assert [line for line in with_them.splitlines() if line and line in without.splitlines()] == [
        line for line in without.splitlines() if line
    ]
    assert "| printed [1] |  | 9.9 |  |  |" in with_them
    assert "**9.9**" not in with_them


@pytest.mark.parametrize(
    ("facts", "marks"),
    [
        ({}, ()),
        ({"variant": "cddfuse"}, ("v",)),
        ({"variant": "cddfuse|tdfusion"}, ()),
        ({"variant": "of their own"}, ("v",)),
        ({"variant": ""}, ("v?",)),
        ({"split": "val"}, ("s",)),
        ({"images": 361}, ("s",)),
        ({"images": None}, ()),
        ({"images": None, "split": ""}, ("s?",)),
        ({"input": "256x256"}, ("i",)),
    ],
)
def test_marks_of_a_metric(table: Table, facts: dict[str, object], marks: tuple[str, ...]) -> None:
    assert cell_marks(table, printed(**facts)) == marks


@pytest.mark.parametrize(
    ("facts", "marks"),
    [
        ({"network": "SegFormer-B0", "training": "retrained", "input": "480x640"}, ("i",)),
        ({"network": "SegFormer", "training": "frozen"}, ("n?", "t", "i?")),
        ({"network": "SegFormer-B2"}, ("n", "t?", "i?")),
        ({"variant": "skip-bg", "training": "retrained", "network": "segformer_b0"}, ("v", "i?")),
    ],
)
def test_marks_of_a_task(table: Table, facts: dict[str, object], marks: tuple[str, ...]) -> None:
    assert cell_marks(table, printed(metric="mIoU", text="75.09", value=75.09, unit="percent", **facts)) == marks


def cell_marks(table: Table, value: PrintedValue) -> tuple[str, ...]:
    (line,) = beside(table, [value]).lines["gff"]
    (cells,) = line.cells.values()
    return cells[0].marks


def test_a_partial_table_is_another_number_of_images(table: Table) -> None:
    part = replace(table, board=board(dataset="msrs", title="MSRS", expected=361))
    assert cell_marks(part, printed(images=None)) == ("s",)


def test_a_value_stands_below_the_column_that_is_most_like_it(table: Table) -> None:
    columns = (metric("vif@tdfusion"), metric("vif@cddfuse"))
    row = Row(entry(id="gff"), {m.id: np.ones(3) for m in columns})
    both = replace(table, metrics=columns, rows=(row,), tasks=())
    (line,) = beside(both, [printed(variant="cddfuse")]).lines["gff"]
    assert list(line.cells) == ["vif@cddfuse"]
    (line,) = beside(both, [printed(variant="")]).lines["gff"]
    assert list(line.cells) == ["vif@tdfusion", "vif@cddfuse"]


def test_several_entries_of_a_method_say_that_it_may_be_another(table: Table) -> None:
    rows = tuple(replace(r, info=entry(id=f"gff[{n}]")) for n, r in enumerate(table.rows))
    found = beside(replace(table, rows=rows, tasks=()), [printed()])
    assert {cell.marks for own in found.lines.values() for c in own[0].cells.values() for cell in c} == {("w?",)}


def test_pictures_of_ones_own_are_found_by_their_label(table: Table) -> None:
    mine = replace(table.rows[0], info=entry(id="images[Ours]", method="images", options={"name": "Ours"}))
    assert "images[Ours]" in beside(replace(table, rows=(mine,), tasks=()), [printed(method="ours")]).lines


def test_generated_scenes_and_other_datasets_have_nothing_in_print(table: Table) -> None:
    scenes = board(dataset="msrs", title="Scenes", origin=Origin(generator="scenes", seed=0))
    found = beside(replace(table, board=scenes), [printed()])
    assert not found.lines
    (note,) = found.notes
    assert note.startswith("Scenes: generated scenes, of which no paper prints anything; values of real images")
    mine = replace(table, board=board(dataset="folder", title="Folder"))
    found = beside(mine, [printed()])
    assert not found.lines
    assert found.notes == ("No printed values of Folder under these columns.",)


def test_every_format_has_them(table: Table) -> None:
    value = printed(metric="mIoU", text="75.09", value=75.09, unit="percent", network="SegFormer", second_hand=True)
    stranger = printed(method="Nobody's", metric="EN")
    found = beside(table, [value, stranger])
    text = markdown(table, printed=found)
    assert "75.09 % (n?, t?, i?)" in text
    assert "- [1] A paper; second hand" in text
    assert "In print for MSRS, without a row here: Nobody's." in text
    assert r"75.09 \%" in latex(table, printed=found)
    line = next(csv.DictReader(io.StringIO(as_csv(table, printed=found))))
    assert line[f"{TASK} printed"] == "[1] 75.09 % (n?, t?, i?)"
    (cell,) = json.loads(as_json(table, printed=found))["printed"]["values"]
    assert cell["difference"] == pytest.approx(0.7 - 0.7509)
    assert set(json.loads(as_json(table, printed=found))["printed"]["marks"]) == set(MARKS)


def test_a_share_above_one_is_percent_though_nobody_says_so(table: Table) -> None:
    found = beside(
        table, [printed(metric="mIoU", text="75.09", value=75.09), printed(metric="EN", text="6", value=6.0)]
    )
    scaled = {c.value.metric: c.scaled for lines in found.lines.values() for c in lines[0].cells.values() for c in c}
    assert scaled == {"mIoU": pytest.approx(0.7509), "EN": 6.0}


def test_latex_with_them_compiles(table: Table, tmp_path: Path, pdflatex: str) -> None:
    found = beside(table, [printed(source="Ł_& 50 % {x}", variant="", protocol_note="a_b ^ ~")])
    (tmp_path / "t.tex").write_text(paper_latex([table], Style(standalone=True), found))
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'method'"),
        ("method,dataset,metric,value\n", "no column 'source'"),
        ("method,dataset,metric,value,source,sorce\n", "unknown column 'sorce'; did you mean source"),
        ("method,dataset,metric,value,source,source\n", "two columns 'source'"),
        (HEAD + "a,MSRS,EN,6.7\n", "line 2: 4 cells under 5 columns"),
        (HEAD + "a,MSRS,EN,6.7,s\n\na,MSRS,EN,nan,s\n", "line 4: 'nan' is no number"),
        (HEAD + "a,MSRS,EN,1e999,s\n", "line 2: '1e999' is no number"),
        (HEAD + "a,MSRS,EN,1_0,s\n", "line 2: '1_0' is no number"),
        (HEAD + "a,MSRS,EN,75 %,s\n", "line 2: '75 %' is no number"),
        (HEAD + ",MSRS,EN,6.7,s\n", "line 2: no method"),
        (HEAD + f"{'x' * 3000},MSRS,EN,6.7,s\n", "line 2: a cell of more than"),
        (HEAD + 'a,"MSRS,EN,6.7,s\n', "no CSV"),
        (HEAD.strip() + ",unit\na,MSRS,EN,6.7,s,dB\n", "line 2: unit 'dB'"),
        (HEAD.strip() + ",training\na,MSRS,EN,6.7,s,some\n", "line 2: training 'some'"),
        (HEAD.strip() + ",images\na,MSRS,EN,6.7,s,-3\n", "line 2: images '-3'"),
        (HEAD.strip() + ",input\na,MSRS,EN,6.7,s,big\n", "line 2: input 'big'"),
        (HEAD.strip() + ",second_hand\na,MSRS,EN,6.7,s,perhaps\n", "line 2: second_hand 'perhaps'"),
        (HEAD + "a,MSRS,EN,6.7,s\n" * (MOST_ROWS + 1), "more than 20000 rows"),
    ],
)
def test_a_file_that_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(FusionbenchError, match=r"mine\.csv") as error:
        printed_values(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "utf16.csv").write_text(HEAD, encoding="utf-16")
    (tmp_path / "huge.csv").write_bytes(b"x" * (MOST_BYTES + 1))
    (tmp_path / "folder.csv").mkdir()
    for name, said in (
        ("utf16", "not UTF-8"),
        ("huge", "over the limit"),
        ("folder", "folder.csv"),
        ("none", "not there"),
    ):
        with pytest.raises(FusionbenchError, match=said):
            printed_values(tmp_path / f"{name}.csv")


def test_a_spreadsheet_s_byte_order_mark_and_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + 'a,MSRS,EN,"6.70","A, and B"\n').replace("\n", "\r\n").encode())
    (value,) = printed_values(path)
    assert (value.text, value.value, value.source) == ("6.70", 6.7, "A, and B")


def test_the_command(tmp_path: Path) -> None:
    fill(tmp_path / "r")
    (tmp_path / "mine.csv").write_text(HEAD + "gff,MSRS,EN,6.543,My paper\n")
    done = fusionbench("leaderboard", "--out", tmp_path / "r", "--published", tmp_path / "mine.csv")
    assert done.returncode == 0, done.stderr
    assert "| printed [1] | 6.543 (v?, s?) |" in done.stdout
    done = fusionbench("leaderboard", "--out", tmp_path / "r", "--published")
    assert "In print for MSRS, without a row here: CDDFuse" in done.stdout
    done = fusionbench("leaderboard", "--out", tmp_path / "r", "--published", tmp_path / "no.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    path = tmp_path / "t.json"
    assert fusionbench("leaderboard", "--out", tmp_path / "r", "--published", "-o", path).returncode == 0
    from fusionbench.report.published import read

    assert read(path, PublishedTable).rows[0].id == "gff"


def fill(folder: Path) -> None:
    """A store with one entry, scored on three pairs."""
    en = metric("en@bits")
    with Store(folder) as store:
        store.put_entry("k", entry())
        board_ = board(dataset="msrs", title="MSRS", expected=3, metrics=("en@bits",), own_metrics=("en@bits",))
        store.put_board(board_, [(n, f"pair{n}") for n in "123"], "123")
        for n in "123":
            store.put_fused("k", "msrs", "test", n, Fused(f"pair{n}", f"image{n}", f"fused/x/{n}.png"))
        store.put_scores([Score(f"image{n}", f"pair{n}", en.id, en.code, 6.0 + int(n)) for n in "123"])
        assert build(store, board_).rows
