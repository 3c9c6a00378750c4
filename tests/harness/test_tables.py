"""Tables and what is printed of them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import metric
from fusionbench.plugins.cards import cards
from fusionbench.report.board_scores import out_of_range
from fusionbench.report.formats import as_csv, as_json, markdown
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table, build
from fusionbench.results.records import Origin
from fusionbench.results.store import Fused, Score, Store
from tests.harness.test_store import board, entry

BOARD = board(dataset="msrs", title="MSRS", expected=4, protocol="msrs-fusion@v1")


def row(name: str, en: list[float], qcv: list[float], source_only: bool = False) -> Row:
    return Row(entry(id=name, source_only=source_only), {"en@bits": np.array(en), "qcv@liu2012": np.array(qcv)})


@pytest.fixture
def table() -> Table:
    rows = (
        row("visible", [9, 9, 9], [0, 0, 0], True),
        row("b_50%", [3, 3, 3], [10, 10, 10]),
        row("a", [2, 2, 2], [30, 30, 30]),
        row("c", [3, 3, 3], [20, np.nan, 20]),
    )
    return Table(
        BOARD, ("1", "2", "3"), (metric("en@bits"), metric("qcv@liu2012")), rows, ("Qcv of c is undefined on 1.",)
    )


def test_ranks_follow_the_direction_and_share_ties(table: Table) -> None:
    assert table.ranks() == {"en@bits": {"b_50%": 1.5, "a": 3.0, "c": 1.5}, "qcv@liu2012": {"b_50%": 1, "a": 3, "c": 2}}
    assert table.average_ranks() == {"b_50%": 1.25, "a": 3.0, "c": 1.75}


def test_sources_are_shown_and_not_ranked(table: Table) -> None:
    assert "visible" not in table.average_ranks()
    line = next(x for x in markdown(table).splitlines() if x.startswith("| visible"))
    assert "**" not in line
    assert line.endswith("– |")


def test_a_row_that_nobody_could_compare_is_not_ranked(table: Table) -> None:
    lone = Row(entry(id="lone", unverified="no output at hand"), row("lone", [9, 9, 9], [0, 0, 0]).values)
    both = replace(table, rows=(*table.rows, lone))
    assert both.ranks() == table.ranks()
    assert both.average_ranks() == table.average_ranks()
    assert both.caption.endswith("not ranked: lone.")
    published = both.published().rows[-1]
    assert (published.unverified, published.ranked, published.average_rank) == ("no output at hand", False, None)
    line = next(x for x in markdown(both).splitlines() if x.startswith("| lone"))
    assert "**" not in line
    assert "unverified" not in as_json(table)


def test_a_partial_table_says_so(table: Table) -> None:
    assert table.stem == "msrs-fusion@v1.partial-3-of-4"
    assert "3 of 4 pairs, partial" in table.caption


def test_markdown_marks_best_and_second(table: Table) -> None:
    text = markdown(table)
    assert "| b_50% | **3.000** | **10.0** | 1.25 |" in text
    assert "<u>20.0</u>" in text
    assert "EN@bits ↑" in text
    assert "Qcv@liu2012 ↓" in text
    assert "- Qcv of c is undefined on 1." in text


def test_the_interval_holds_the_mean(table: Table) -> None:
    rng = np.random.default_rng(1)
    one = row("x", list(rng.normal(5, 1, 200)), [1.0] * 200)
    low, high = one.interval("en@bits")
    assert low < one.mean("en@bits") < high
    assert 0.2 < high - low < 0.35  # 2 * 1.96 / sqrt(200) = 0.277
    assert one.interval("en@bits") == (low, high)


def test_one_image_has_no_interval(table: Table) -> None:
    one = replace(table, ids=("1",), rows=(row("a", [2.5], [30.0]), row("b", [2.0], [20.0])))
    assert np.isnan(one.rows[0].interval("en@bits")).all()
    assert "[" not in markdown(one, ci=True)
    assert "null" not in as_csv(one, ci=True)
    assert "nan" not in as_csv(one, ci=True)
    scores = json.loads(as_json(one, ci=True))["rows"][0]["scores"]["en@bits"]
    assert scores["mean"] == 2.5
    assert scores.get("ci95") is None


def test_csv_and_json_keep_all_digits() -> None:
    third = row("x", [1 / 3] * 3, [np.nan] * 3)
    table = Table(BOARD, ("1", "2", "3"), (metric("en@bits"), metric("qcv@liu2012")), (third,))
    assert as_csv(table).splitlines()[1].startswith("x,0.3333333333333333,,")
    scores = json.loads(as_json(table))["rows"][0]["scores"]
    assert scores["en@bits"]["mean"] == 1 / 3
    assert scores["qcv@liu2012"] == {"mean": None, "rank": None, "n": 0}


def test_committed_latex_compiles(tmp_path: Path, pdflatex: str) -> None:
    """All in one document, as a paper takes them in; a table of 45 rows and more stands on a page of its own."""
    from tests.conftest import REPO

    texts = sorted((REPO / "leaderboards").rglob("*.tex"))
    assert texts
    for number, path in enumerate(texts):  # TeX takes no @ and + in the names of files
        (tmp_path / f"t{number}.tex").write_bytes(path.read_bytes())
    taken = "".join(rf"\input{{t{number}}}\clearpage" for number in range(len(texts)))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass[10pt,twocolumn]{article}\usepackage{booktabs,graphicx}"
        r"\usepackage[textwidth=516pt,textheight=700pt,columnsep=12pt]{geometry}"
        rf"\begin{{document}}{taken}\end{{document}}"
    )
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-1500:]
    assert "Overfull" not in done.stdout


def test_committed_tables_name_their_origin() -> None:
    from tests.conftest import REPO

    tables = [p for p in (REPO / "leaderboards").rglob("*.json") if ".provenance" not in p.name]
    assert tables
    for path in tables:
        facts = json.loads(path.with_name(path.stem + ".provenance.json").read_text())
        shown = json.loads(path.read_text())
        assert len(facts["pairs"]) == shown["images"]
        assert facts["runs"], path.name
        for run in facts["runs"]:
            assert run["commit"], path.name
            assert {"command", "libraries", "hardware", "started", "wall_seconds"} <= run.keys()
        assert all(len(e["code"]) == 64 for e in facts["entries"])
        assert {r["id"] for r in shown["rows"]} == {e["id"] for e in facts["entries"]}
        assert str(REPO.parent) not in json.dumps(facts)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0], ""),
        ([8.0 + 1e-12, 0.0 - 1e-12], ""),  # rounding
        (
            [8.5, 9.0, 1.0],
            "x 2 (e.g. 9)",
        ),
        (
            [-1.0, np.nan],
            "x 1 (e.g. -1)",
        ),
    ],
)
def test_values_outside_the_range_are_noted_below_the_table(tmp_path: Path, values: list[float], said: str) -> None:
    m = metric("en@bits")
    ids = [str(n) for n in range(len(values))]
    with Store(tmp_path) as store:
        store.put_entry("k", entry(id="x"))
        own = board(metrics=(m.id,), own_metrics=(m.id,))
        store.put_board(own, [(i, f"p{i}") for i in ids], ids)
        for i, value in zip(ids, values, strict=True):
            store.put_fused("k", "d", "test", i, Fused(f"p{i}", f"i{i}", "fused/x/a.png"))
            store.put_scores([Score(f"i{i}", f"p{i}", m.id, m.code, value)])
        notes = [note for note in build(store, own).notes if "range" in note]
    text = f"EN@bits: values outside the range on its card, 0 to 8: {said}; card or code is wrong."
    assert notes == ([text] if said else [])


@pytest.mark.parametrize("name", cards("metric"))
def test_every_range_can_be_looked_at(name: str) -> None:
    """Bounds may be infinite, one or both."""
    m = metric(name)
    low, high = m.card.facts.range_of(m.variant)
    inside = np.clip(0.5, low, high)
    assert out_of_range(m, [Row(entry(), {m.id: np.array([inside, np.nan])})]) == []
    for outside in (low - 1, high + 1):
        if np.isfinite(outside):
            assert len(out_of_range(m, [Row(entry(), {m.id: np.array([outside])})])) == 1


def test_a_generated_tree_is_found_under_the_name_of_its_layout(tmp_path: Path) -> None:
    origin = Origin(generator="scenes", seed=0, like="pier")
    with Store(tmp_path) as store:
        for label, made in (("scenes-pier", origin), ("scenes-harbour", origin), ("tno", Origin())):
            store.put_board(board(dataset=label, origin=made), [], [])
        assert [b.dataset for b in store.boards("pier")] == ["scenes-pier"]
        assert [b.dataset for b in store.boards("scenes-pier")] == ["scenes-pier"]
        assert [b.dataset for b in store.boards("tno")] == ["tno"]
        with pytest.raises(FusionbenchError, match="no results for ier; there are: "):
            store.boards("ier")
        store.put_board(board(dataset="pier"), [], [])  # now the real one
        assert [b.dataset for b in store.boards("pier")] == ["pier"]
