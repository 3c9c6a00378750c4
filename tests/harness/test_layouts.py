"""Tables as papers lay them out, filled with what was measured."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import metric
from fusionbench.report.filling import fits
from fusionbench.report.headings import score_of
from fusionbench.report.layouts import layout, layouts, read_layout
from fusionbench.report.printed import printed_values
from fusionbench.results.records import Origin, WeightsInfo
from fusionbench.results.store import Fused, Score, Store
from tests.conftest import fusionbench
from tests.harness.test_store import board, entry, task_result

MINE = """
title = "Mine"
source = "My paper"
[[columns]]
title = "MSRS VIF"
dataset = "msrs"
score = "vif@tdfusion"
[[columns]]
title = "MSRS mIoU"
dataset = "msrs"
score = "segmentation/miou@tdfusion"
network = "segformer-b0"
training = "frozen"
[[columns]]
title = "FMB Qcv"
dataset = "fmb"
score = "qcv@liu2012"
[[columns]]
title = "Parameters"
score = "cost/parameters"
[[rows]]
title = "GFF"
[[rows]]
title = "Laplacian"
entry = "laplacian"
printed = "LP"
[[rows]]
title = "Nobody's"
[[rows]]
title = "Ours"
entry = "images[Ours]"
how = "save the pictures"
"""
PRINTED = """method,dataset,metric,value,source,unit,variant
GFF,MSRS,VIF,0.5,My paper (2026),,cddfuse
GFF,MSRS,VIF,0.9,Another,,
LP,MSRS,mIoU,71.5,My paper (2026),percent,
GFF,,params_M,1.5,My paper (2026),,
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A plugin folder with one layout, and a file of printed values beside it."""
    (tmp_path / "plugins/layouts").mkdir(parents=True)
    (tmp_path / "plugins/layouts/mine.toml").write_text(MINE)
    (tmp_path / "printed.csv").write_text(PRINTED)
    return tmp_path


@pytest.fixture
def results(own: Path) -> Path:
    """Two entries on three pairs of MSRS with VIF; a frozen network of each."""
    vif, names = metric("vif@tdfusion"), {"a": "gff", "b": "laplacian"}
    with Store(own / "r") as store:
        here = board(dataset="msrs", title="MSRS", expected=361, metrics=(vif.id,), own_metrics=(vif.id,))
        store.put_board(here, [(n, f"p{n}") for n in "123"], "123")
        for number, (key, name) in enumerate(names.items()):
            store.put_entry(key, entry(id=name, method=name, title=name))
            for n in "123":
                store.put_fused(key, "msrs", "test", n, Fused(f"p{n}", f"{key}{n}", f"fused/{name}/{n}.png"))
            store.put_scores([Score(f"{key}{n}", f"p{n}", vif.id, vif.code, 0.25 + number / 4) for n in "123"])
            facts = {"task": "segmentation", "network": "segformer-b0", "images": 3}
            scores = {"all": {"miou@tdfusion": 0.5 + number / 10}}
            store.put_task(key, "msrs", "test", task_result(scores=scores, per_class={}, **facts))
    return own


def run(root: Path, *more: object) -> str:
    arguments = ("leaderboard", "--layout", "mine", "--out", root / "r", *more)
    done = fusionbench("--plugins", root / "plugins", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_layout_that_comes_with_the_package() -> None:
    assert set(layouts()) == {
        *("tdfusion-main", "tdfusion-ablation"),
        *("cldyn-fusion", "cldyn-tasks", "cldyn-ablation", "cldyn-detectors"),
    }
    assert len(layouts()["tdfusion-ablation"].rows) == 6
    values = printed_values()
    for name, made in layouts().items():
        printed = {row.printed or row.title for row in made.rows}
        own = [v for v in values if v.source.startswith(made.source) and v.method in printed]
        assert own, name
        assert any(score_of(v.metric) for v in own), name


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("tdfusion-main", ("75.09 %", "60.5 %", "86.27 %", "95.0 %", "71.35 %")),
        ("tdfusion-ablation", ("| 6.86 | 14.16 | 1.76 | 0.43 | 0.68 | 0.75 |", "| 6.6 | 13.73 | 1.58 |")),
        ("cldyn-fusion", ("472.62", "0.6519", "2.6219", "488.67")),
        ("cldyn-tasks", ("0.6304", "60.34 %", "0.8129", "0.46 M", "174.06 G", "0.8114")),
        ("cldyn-ablation", ("0.6272", "60.18 %", "0.8134", "0.6304")),
        ("cldyn-detectors", ("| 0.6076 | 0.561 |", "| 0.6304 | 0.581 |")),
    ],
)
def test_what_the_papers_print(tmp_path: Path, name: str, printed: tuple[str, ...]) -> None:
    """Without any result: every cell is empty and says why, on request with what is printed."""
    done = fusionbench("leaderboard", "--layout", name, "--published", "--out", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    for text in printed:
        assert text in done.stdout
    assert "(a) no results of" in done.stdout
    assert "**" not in done.stdout
    alone = fusionbench("leaderboard", "--layout", name, "--out", tmp_path / "none").stdout
    assert "printed" not in alone.casefold()
    assert all(cell.strip() for line in alone.splitlines() if line.startswith("|") for cell in line.split("|")[1:-1])


def test_it_is_filled_with_what_was_measured(results: Path) -> None:
    text = run(results, "--published", results / "printed.csv")
    assert "| GFF | <u>0.250</u> | <u>0.5000</u> | – (a) | – (b) |" in text
    assert "| printed | 0.5 (v, s) |  |  | 1.5 M |" in text
    assert "| Laplacian | **0.500** | **0.6000** | – (a) | – (c) |" in text
    assert "| printed |  | 71.5 % (v?, s, n?, t?, i?) |  |  |" in text
    assert "| Nobody's | – (d) | – (d) | – (a) | – (d) |" in text
    for said in (
        "(a) no results of fmb; fusionbench eval --datasets fmb.",
        "(b) not measured; fusionbench cost --methods gff.",
        "(d) no method called Nobody's here.",
        "(e) no entry images[Ours] on msrs; save the pictures.",
        "MSRS: p, split test, 3 of 361 pairs.",
        "laplacian: segformer-b0 frozen, recipe full, 1 seed",
    ):
        assert said in text
    assert "0.9" not in text, "another paper's value"


def test_a_printed_value_is_never_marked(results: Path) -> None:
    text = run(results, "--published", results / "printed.csv")
    assert "**" not in "".join(line for line in text.splitlines() if line.startswith("| printed"))
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| printed")]
    assert [line for line in run(results).splitlines() if line.startswith("| ")] == rows


def test_every_format(results: Path) -> None:
    text = run(results, "--format", "csv", "--published", results / "printed.csv")
    first = next(csv.DictReader(io.StringIO(text)))
    assert (first["MSRS VIF"], first["MSRS VIF printed"], first["FMB Qcv"]) == ("0.25", "0.5 (v, s)", "")
    assert "no results of fmb" in first["empty cells"]
    data = json.loads(run(results, "--format", "json", "--published", results / "printed.csv"))
    cell = data["rows"][0]["cells"][0]
    assert (cell["value"], cell["printed"]) == (0.25, [{"text": "0.5", "unit": "", "marks": ["v", "s"]}])
    assert data["rows"][2]["cells"][0]["value"] is None
    path = results / "t.md"
    assert run(results, "-o", path) == ""
    assert path.read_text() == run(results)


def test_latex_compiles(results: Path, pdflatex: str) -> None:
    (results / "t.tex").write_text(run(results, "--format", "latex", "--published", results / "printed.csv"))
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=results, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]


def test_several_entries_of_a_method(results: Path) -> None:
    with Store(results / "r") as store:
        store.put_entry("c", entry(id="gff[r1=3]", options={"r1": 3}))
        for n in "123":
            store.put_fused("c", "msrs", "test", n, Fused(f"p{n}", f"a{n}", f"fused/x/{n}.png"))
    assert "several entries on msrs: gff, gff[r1=3]; name one with --methods" in run(results)
    assert "| GFF | **0.250** |" in run(results, "--methods", "gff[r1=3]")


def test_generated_scenes_only_where_they_are_named(results: Path) -> None:
    vif = metric("vif@tdfusion")
    with Store(results / "s") as store:
        made = Origin(generator="scenes", seed=7, like="msrs")
        here = board(dataset="scenes-msrs", title="Scenes", expected=1, metrics=(vif.id,), origin=made)
        store.put_board(here, [("1", "p1")], "1")
        store.put_entry("a", entry())
        store.put_fused("a", "scenes-msrs", "test", "1", Fused("p1", "a1", "fused/x/1.png"))
        store.put_scores([Score("a1", "p1", vif.id, vif.code, 0.25)])
    text = run(results, "--out", results / "s")
    assert (
        "no results of msrs but on generated scenes, which stand here where --datasets names them (scenes-msrs); "
        "fusionbench eval --datasets msrs"
    ) in text
    assert "no results of fmb; fusionbench" in text
    text = run(results, "--out", results / "s", "--datasets", "scenes-msrs", "--published", results / "printed.csv")
    assert "| GFF | **0.250** |" in text
    assert "synthetic images: scenes, seed 7" in text
    assert "The columns of msrs are of generated scenes, of which no paper prints anything" in text
    assert "0.5" not in text, "of real images"
    assert "71.5" not in text
    assert "1.5 M" in text, "costs are of no dataset"
    assert "The columns of msrs are of generated scenes." in run(results, "--out", results / "s", "--datasets", "msrs")


def test_real_images_come_before_generated_scenes(results: Path) -> None:
    with Store(results / "r") as store:
        made = Origin(generator="scenes", seed=7, like="msrs")
        store.put_board(board(dataset="scenes-msrs", title="Scenes", metrics=("vif@tdfusion",), origin=made), [], "")
    assert "generated" not in run(results)
    text = run(results, "--datasets", "msrs,scenes-msrs")
    assert "several results of msrs: msrs split test output released, scenes-msrs split test" in text


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("mine", True),
        ("mine[full]", True),
        ("mine[FULL]", True),
        ("mine[task=detection]", True),
        ("mine[full,task=detection]", True),
        ("mine[other]", False),
        ("mine[task=none]", False),
        ("mine[depth=3]", False),
        ("min", False),
        ("", False),
    ],
)
def test_which_entry_a_row_means(spec: str, meant: bool) -> None:
    weights = WeightsInfo(name="full", sha256="0", trained_on="x", listed=False)
    assert fits(spec, entry(method="mine", options={"task": "detection"}, weights=weights)) is meant


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('title = "Mine"', "", "the layout lacks title"),
        ('title = "Mine"', 'title = "Mine"\ncolour = 1', "no key 'colour'"),
        ("vif@tdfusion", "vif@best", "vif has no variant 'best'"),
        ("segmentation/miou", "segmentatoin/miou", "no task 'segmentatoin'"),
        ("cost/parameters", "cost/euros", "costs are cost/parameters, cost/flops"),
        ('dataset = "fmb"', 'dataset = "fbm"', "dataset 'fbm' is none of"),
        ('"frozen"', '"cold"', "training 'cold' is neither"),
        (
            'entry = "laplacian"',
            'entries = { tno = "laplacian" }',
            "entries names 'tno', on which no column is measured",
        ),
        ("[[rows]]", "[[rows", "not a readable TOML layout"),
        ("[[rows]]", "[[row]]", "no key 'row'; did you mean rows"),
    ],
)
def test_a_file_that_is_no_layout(tmp_path: Path, before: str, after: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(before, after))
    with pytest.raises(PluginError, match=r"mine\.toml") as error:
        read_layout(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_names_and_options_that_do_not_go_together(own: Path) -> None:
    with pytest.raises(FusionbenchError, match="no layout 'tdfusion-mian'; did you mean tdfusion-main"):
        layout("tdfusion-mian")
    assert layout("TDFusion main")[0] == "tdfusion-main"
    done = fusionbench("leaderboard", "--layout", "tdfusion-main", "--metrics", "en", "--out", own / "r")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "it has its own columns" in done.stderr
    (own / "plugins/layouts/tdfusion-main.toml").write_text(MINE)
    done = fusionbench("--plugins", own / "plugins", "leaderboard", "--layout", "mine", "--out", own / "r")
    assert "the layout 'tdfusion-main' exists already; rename it" in done.stderr
