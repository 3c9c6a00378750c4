"""The page's files: numbers of the store, the same bytes twice, nothing of a file that acts."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.report.checking import published
from fusionbench.report.colours import colour_of
from fusionbench.report.formats import cells_of
from fusionbench.report.ranking import blocks_of, ranking
from fusionbench.report.recorded import recorded
from fusionbench.report.site.confirmations import confirmations, of_row
from fusionbench.report.site.facts import address
from fusionbench.report.site.files import script
from fusionbench.report.site.payload import learnt
from fusionbench.report.tables import build
from fusionbench.results.store import Store
from tests.conftest import REPO, fusionbench
from tests.harness.test_review import refused
from tests.harness.test_store import entry
from tests.site.made import EIGHT, IDS, fill, usual

PUT = re.compile(r'^FB\.put\("([a-z]+(?:-\d+)?)",JSON\.parse\((\'.*\')\)\);$', re.M)


def data(page: Path) -> dict[str, Any]:
    """What a page's scripts hold."""
    found = {}
    for file in sorted((page / "data").glob("*.js")):
        text = file.read_text()
        assert text.isascii()
        assert not set("<>&") & set(text)
        for name, quoted in PUT.findall(text):
            found[name] = json.loads(ast.literal_eval(quoted))
        assert text.count("\n") == len(PUT.findall(text))
    return found


def page(out: Path, *words: object) -> dict[str, Any]:
    done = fusionbench("site", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "index.html")
    return data(out)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("site") / "mine")


def test_numbers_are_those_of_the_store(store: Path, tmp_path: Path) -> None:
    found = page(tmp_path / "page", store)
    heads = found["index"]["tables"]
    assert heads[0]["profile"] == "default"
    other = [head["profile"] for head in heads].index("cddfuse")
    with Store(store, create=False) as opened:
        board = opened.boards()[0]
        for number in (0, other):
            shown = found[f"table-{number}"]
            table = build(opened, board, shown["columns"])
            texts, ranks, average = {n: c for n, c, _ in cells_of(table, False)}, table.ranks(), table.average_ranks()
            assert [row["id"] for row in shown["rows"]] == [row.id for row in table.rows]
            for row, own in zip(shown["rows"], table.rows, strict=True):
                assert row["rank"] == average.get(own.id)
                for m, cell, (text, place) in zip(table.metrics, row["cells"], texts[own.id], strict=False):
                    assert cell[:3] == [own.mean(m.id), ranks[m.id].get(own.id), len(IDS)]
                    assert cell[3:5] == [text, place]
                    assert cell[5:] == list(own.interval(m.id))
            images = found[f"images-{number}"]
            for m, column in zip(table.metrics, images["values"], strict=True):
                assert np.array_equal(column, [row.values[m.id] for row in table.rows])
        ties = ranking(blocks_of([build(opened, board, EIGHT)], "images"))
    assert found["table-0"]["columns"] == list(EIGHT)
    assert found["table-0"]["ties"]["groups"] == [list(group) for group in ties.groups]
    places = {row["id"]: row["place"] for row in found["table-0"]["rows"] if row["place"]}
    assert places.keys() == set(ties.names)
    for name, place in places.items():
        told = [(n, ties.pairs[ties.names.index(name), i] < 0.05 and ties.p < 0.05) for i, n in enumerate(ties.names)]
        before = [n for n, apart in told if apart and ties.names.index(n) < ties.names.index(name)]
        assert place["first"] == 1 + len(before)
        assert place["first"] <= ties.names.index(name) + 1 <= place["last"]


def test_further_columns_lie_in_files_of_their_own(store: Path, tmp_path: Path) -> None:
    found = page(tmp_path / "page", store)
    first = dict(PUT.findall((tmp_path / "page/data/first.js").read_text()))
    assert set(first) == {"index", "table-0"}
    more = found["columns-0"]
    assert found["index"]["tables"][0]["more"] == more["columns"]
    assert any(name.startswith("sd@") for name in more["columns"])
    assert not set(more["columns"]) & set(EIGHT)
    with Store(store, create=False) as opened:
        table = build(opened, opened.boards()[0], more["columns"])
    for name, column in zip(more["columns"], more["cells"], strict=True):
        assert {cell[0]: cell[1] for cell in column} == {row.id: row.mean(name) for row in table.rows}


def test_tasks_provenance_and_who_made_a_row(store: Path, tmp_path: Path) -> None:
    found = page(tmp_path / "page", store)
    (head,) = found["table-0"]["tasks"]
    assert (head["task"], head["network"], head["training"]) == ("segmentation", "segformer-b0", "frozen")
    facts = found["provenance-0"]
    assert facts["runs"][0]["command"] == "fusionbench eval --all"
    assert facts["runs"][0]["commit"] == "c0ffee"
    assert facts["runs"][0]["hardware"]["cpu"] == "A processor"
    assert {len(m["code"]) for m in facts["metrics"].values()} == {64}
    row = next(r for r in found["table-0"]["rows"] if r["id"] == "seafusion[msrs]")
    assert row["learnt"] == ["MSRS"]
    assert row["makers"] == ["mine: 6 pictures, torch 2.9 on A processor"]
    assert row["confirmed"] == {"state": "none", "words": "not confirmed by its authors"}
    reasons = {r["id"]: r["reason"] for r in found["table-0"]["rows"]}
    assert "no published pictures" in reasons["adf"]
    assert reasons["gff"] == ""
    assert "never ranked" in reasons["infrared"]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("committed") / "page"
    page(out)
    return out


def test_every_committed_number_stands_on_the_page(committed: Path) -> None:
    found = data(committed)
    tables = dict(published())
    heads = {(h["stem"], h["dataset"], h["rows"], h["label"]): n for n, h in enumerate(found["index"]["tables"])}
    assert len(heads) == len(tables)
    compared = 0
    for number, (_, path) in enumerate(published()):
        file = json.loads(path.with_name(path.name.replace(".provenance.json", ".json")).read_text())
        shown = found[f"table-{number}"]
        more = found.get(f"columns-{number}", {"columns": [], "cells": []})
        further = {(n, c[0]): c[1:] for n, cells in zip(more["columns"], more["cells"], strict=True) for c in cells}
        assert {m["id"] for m in file["metrics"]} == {*shown["columns"], *more["columns"]}
        for row, own in zip(shown["rows"], file["rows"], strict=True):
            assert (row["id"], row["rank"]) == (own["id"], own["average_rank"])
            for name, cell in own["scores"].items():
                at = shown["columns"].index(name) if name in shown["columns"] else None
                mine = row["cells"][at] if at is not None else further[name, own["id"]]
                assert mine[:3] == [cell["mean"], cell["rank"], cell["n"]]
                compared += 1
            for head, cell in zip(shown["tasks"], row["tasks"], strict=True):
                assert cell[4] == own.get("tasks", {}).get(head["id"], [])
    assert compared > 4000


def test_a_task_without_results_is_no_choice(committed: Path) -> None:
    found = data(committed)
    number = next(n for n, h in enumerate(found["index"]["tables"]) if h["label"] == "tasks/msrs-fusion@v1")
    assert found["index"]["tables"][number]["tasks"] == ["detection"]
    empty = [t for t in found[f"table-{number}"]["tasks"] if t["task"] == "segmentation"]
    assert [(t["score"], t["network"]) for t in empty] == [("mIoU@tdfusion", "")]
    assert any("nothing to score segmentation with" in note for note in found[f"table-{number}"]["notes"])


def test_the_committed_page_is_small_and_asks_for_nothing_elsewhere(committed: Path) -> None:
    files = [path for path in committed.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert (committed / "data/first.js").stat().st_size < 600_000
    assert not (committed / "pictures").exists()
    for path in files:
        if path.parent.name == "assets" or path.name == "index.html":
            text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace("https?:", "")
            assert not re.search(
                r"https?:|//cdn|@import|fetch\(|XMLHttpRequest|innerHTML|insertAdjacentHTML|eval\(", text
            )
    licences = data(committed)["index"]["licences"]
    assert {"MSRS", "TNO", "FMB"} <= {x["name"] for x in licences if x["kind"] == "dataset"}
    assert all(x["text"] for x in licences)


def test_marks_of_committed_tables_are_those_of_their_markdown(committed: Path) -> None:
    found = data(committed)
    number = next(n for n, h in enumerate(found["index"]["tables"]) if h["label"] == "msrs-fusion@v1")
    lines = {
        cells[0]: cells[1:-1]
        for line in (REPO / "leaderboards/msrs-fusion@v1.md").read_text().splitlines()
        if line.startswith("|") and (cells := [c.strip() for c in line.strip("|").split("|")])
    }
    wraps = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}
    for row in found[f"table-{number}"]["rows"]:
        assert [wraps[cell[4]].format(cell[3]) for cell in row["cells"]] == lines[row["id"]]


def test_the_same_bytes_twice(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        page(tmp_path / name, store, REPO / "leaderboards/tno-fusion@v1.json", "--pictures", "2")
    a, b = (
        {p.relative_to(r): p.read_bytes() for p in r.rglob("*") if p.is_file()} for r in map(tmp_path.joinpath, "ab")
    )
    assert a == b
    assert sum(p.suffix == ".png" for p in a) == 2 * 6


def test_a_second_page_takes_the_place_of_the_first_and_of_nothing_else(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    page(out, store, "--pictures", "3", "--entries", "gff,average")
    (out / "data/mine.txt").write_text("mine")
    found = page(out, store)
    assert not list(out.glob("pictures/**/*.png"))
    assert (out / "data/mine.txt").read_text() == "mine"
    assert found["index"]["tables"][0]["pictures"] == -1
    (tmp_path / "other").mkdir()
    (tmp_path / "other/index.html").write_text("mine")
    assert "holds other files" in refused("site", "--out", tmp_path / "other", store)
    (tmp_path / "file").write_text("mine")
    assert "is a file; name a folder" in refused("site", "--out", tmp_path / "file", store)
    assert (tmp_path / "other/index.html").read_text() == "mine"


def test_a_list_of_files_leads_nowhere_else(store: Path, tmp_path: Path) -> None:
    """A page's list of its files may have been edited."""
    out = tmp_path / "page"
    page(out, store)
    (tmp_path / "precious.js").write_text("1")
    (out / "assets/away").symlink_to(tmp_path)
    (out / "data/files.txt").write_text(
        "../precious.js\n/etc/passwd\nassets/away/precious.js\ndata/../../precious.js\n"
    )
    page(out, store)
    assert (tmp_path / "precious.js").exists()


def test_pictures_that_are_not_what_was_scored_are_left_out(tmp_path: Path) -> None:
    folder = fill(tmp_path / "r")
    with Store(folder, create=False) as opened:
        pairs = opened.pairs("msrs", "test")
        path = folder / opened.fused("key gff", "msrs", "test", pairs)[IDS[0]].path
    path.write_bytes((folder / "fused/3/1.png").read_bytes())
    done = fusionbench("site", "--out", tmp_path / "p", folder, "--pictures", ",".join(IDS[:2]), "--entries", "gff")
    assert done.returncode == 0
    assert f"1 picture missing or changed, e.g. msrs {IDS[0]} of gff" in done.stderr
    shown = data(tmp_path / "p")["pictures-0"]
    assert shown["ids"] == list(IDS[:2])
    assert shown["entries"] == ["infrared", "visible", "gff"]
    assert len(shown["files"]) == 5


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--pictures", "00009X"), "no table has an image"),
        (("--pictures", "1", "--entries", "nobody"), "nobody"),
        (("--entries", "gff"), "--pictures"),
        (("--datasets", "tno"), "no results for tno"),
        (("--training", "nowhere"), "nowhere"),
        (("--confirmations", "nowhere.toml"), "nowhere.toml"),
        (("nowhere",), "nowhere"),
    ],
)
def test_what_is_not_there_is_one_line(store: Path, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    assert why in refused("site", "--out", tmp_path / "page", store, *words)
    assert not (tmp_path / "page").exists()


def test_tables_hold_no_pictures(tmp_path: Path) -> None:
    file = REPO / "leaderboards/tno-fusion@v1.json"
    assert "tables hold no pictures" in refused("site", "--out", tmp_path / "page", file, "--pictures", "1")


def test_several_stores_and_their_disagreements(tmp_path: Path) -> None:
    first = fill(tmp_path / "first", usual()[:5])
    second = fill(tmp_path / "second", [*usual()[:2], entry(id="gff", code="other"), *usual()[4:]], seed=1)
    before = {p: p.read_bytes() for folder in (first, second) for p in folder.rglob("*.db")}
    found = page(tmp_path / "page", first, second, "--pictures", "1")
    rows = {row["id"]: row for row in found["table-0"]["rows"]}
    assert rows.keys() == {info.id for info in usual()}
    assert [m.partition(":")[0] for m in rows["gff"]["makers"]] == ["first", "second"]
    assert [m.partition(":")[0] for m in rows["average"]["makers"]] == ["second"]
    lines = found["table-0"]["conflicts"]
    assert any("second" in line and "gff" in line for line in lines), lines
    assert found["index"]["conflicts"]
    assert str(tmp_path) not in json.dumps(found)
    with Store(first, create=False) as opened:
        alone = build(opened, opened.boards()[0], EIGHT, entry_ids=["gff"])
    column = EIGHT.index("vif@tdfusion")
    assert rows["gff"]["cells"][column][0] == alone.rows[0].mean("vif@tdfusion"), "the first named store's stays"
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "a\u2028b\u2029", "'\\'+alert(1)+'", "\ud800 <!--"]
)
def test_data_cannot_end_their_script(text: str) -> None:
    made = script("x", {text: [text], "__proto__": {"polluted": True}})
    assert made.isascii()
    assert made.count("\n") == 1
    assert not set("<>&") & set(made)
    ((_, quoted),) = PUT.findall(made)
    assert json.loads(ast.literal_eval(quoted)) == {text: [text], "__proto__": {"polluted": True}}


def test_only_web_addresses_are_links() -> None:
    assert address("https://example.org/a") == "https://example.org/a"
    for text in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//example.org",
        "file:///etc/passwd",
        "http://",
        "http://[x",
    ):
        assert address(text) == ""


def test_what_a_checkpoint_learned_from() -> None:
    assert learnt("MSRS (1083 training pairs)") == ["MSRS"]
    assert learnt("pairs, but not one of a known set") == []
    assert learnt("generated scenes (MSRS layout), seed 0") == ["generated scenes"]
    assert learnt("M3FD, FMB and VT5000") == ["FMB", "M3FD", "VT5000"]


def test_a_colour_is_of_the_name_alone() -> None:
    assert colour_of("gff") == colour_of("gff")
    assert len({colour_of(name) for name in ("gff", "average", "refusion", "tdfusion", "cldyn", "maximum")}) == 6
    assert all(re.fullmatch("#[0-9a-f]{6}", colour_of(name)) for name in ("", "é", "\ud800"))


def test_confirmations(tmp_path: Path) -> None:
    assert confirmations() == ()
    file = tmp_path / "c.toml"
    row = '[[rows]]\nentry = "{}"\nstate = "{}"\nsource = "https://example.org"\ndate = 2026-11-{}\n'
    file.write_text(
        row.format("gff", "confirmed", "01")
        + row.format("refusion", "disputed", "02")
        + row.format("refusion[ivif]", "withdrawn", "03")
        + 'dataset = "msrs"\n'
    )
    known = confirmations(file)
    assert of_row(known, "gff", "gff", "tno", "p")["state"] == "confirmed"
    assert of_row(known, "refusion[ivif]", "refusion", "msrs", "p")["state"] == "withdrawn"
    assert of_row(known, "refusion[ivif]", "refusion", "tno", "p")["state"] == "disputed"
    assert of_row(known, "average", "average", "tno", "p")["words"] == "not confirmed by its authors"
    for text, why in (
        (row.format("gff", "maybe", "01"), "maybe"),
        ("[[rows]]\nentry = 3\n", "entry"),
        ("rows = 1", "rows"),
        ("[[", "no TOML"),
    ):
        file.write_text(text)
        with pytest.raises(FusionbenchError, match=why):
            confirmations(file)


def test_a_table_whose_files_contradict_each_other_says_so(tmp_path: Path) -> None:
    for suffix in (".json", ".provenance.json"):
        text = (REPO / f"leaderboards/tno-fusion@v1{suffix}").read_text()
        (tmp_path / f"t{suffix}").write_text(
            text.replace('"split": "test"', '"split": "train"') if suffix == ".json" else text
        )
    found = page(tmp_path / "page", tmp_path / "t.json")
    assert any("split" in line for line in found["table-0"]["conflicts"])
    facts = json.loads((tmp_path / "t.provenance.json").read_text())
    facts["entries"] = facts["entries"][1:]
    (tmp_path / "t.provenance.json").write_text(json.dumps(facts))
    with pytest.raises(FusionbenchError, match="not in its provenance"):
        recorded(tmp_path / "t.json")


def test_a_column_of_a_metric_that_is_not_here_is_named(tmp_path: Path) -> None:
    for suffix in (".json", ".provenance.json"):
        text = (REPO / f"leaderboards/tno-fusion@v1{suffix}").read_text()
        (tmp_path / f"t{suffix}").write_text(text.replace("en@bits", "own_metric@mine"))
    found = page(tmp_path / "page", tmp_path / "t.json")
    assert len(found["table-0"]["columns"]) == 7
    assert any("is left out here" in note for note in found["table-0"]["notes"])


def test_training_curves_are_thinned_not_changed(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    log.write_text("".join(json.dumps({"step": n, "loss": n / 7}) + "\n" for n in range(1, 1001)))
    found = page(tmp_path / "page", store, "--training", log)
    (curve,) = found["training"][0]["curves"]
    assert (curve["title"], curve["of"]) == ("loss", 1000)
    assert len(curve["steps"]) <= 400
    assert curve["values"] == [step / 7 for step in curve["steps"]]


def test_very_many_curves(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    log.write_text(json.dumps({"step": 1, **{f"loss{n}": 1.0 for n in range(5000)}}) + "\n")
    done = fusionbench("site", store, "--training", log, "--out", tmp_path / "page")
    assert f"{log}: 5000 curves; the page shows the first 100" in done.stderr
    assert sum(file.stat().st_size for file in (tmp_path / "page").rglob("training.js")) < 1 << 16
