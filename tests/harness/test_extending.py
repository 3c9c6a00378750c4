"""A table of a store beside the rows that a published one has: the same table as one run over all of them makes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.report.claims import contradictions, read_claims
from fusionbench.report.extending import extended, largest
from fusionbench.report.formats import markdown
from fusionbench.report.places import Places
from fusionbench.report.reproduce import Rerun, reproduce
from fusionbench.report.tables import Table, build
from fusionbench.report.task_claims import recorded_results
from fusionbench.report.task_intervals import by_class
from fusionbench.report.task_tables import pages
from fusionbench.report.writing import write_tables
from fusionbench.results.records import MATCHES
from fusionbench.results.store import Store
from tests.conftest import REPO, fusionbench, make_tree
from tests.harness.test_store import task_result

Change = Callable[[dict[str, Any], dict[str, Any]], None]
ONE, TWO = "average,laplacian,gff,visible", "maximum,average,laplacian"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root, and three stores over it: one published, another's own, and one of both."""
    root = tmp_path_factory.mktemp("made")
    make_tree(root / "data", 3)
    for name, methods in {"one": ONE, "two": TWO, "both": f"{ONE},maximum"}.items():
        done = fusionbench(
            *("eval", "--methods", methods, "--metrics=en,mi,qabf,ssim", "--datasets=msrs", "--data-root"),
            *(root / "data", "--out", root / name),
        )
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def published(made: Path, tmp_path: Path) -> Path:
    """The files of the published table, which a test may change."""
    for path in (made / "one/tables").iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    return next(path for path in tmp_path.glob("*.json") if "provenance" not in path.name)


def changed(result: Path, change: Change) -> Path:
    """The two files, with something else in them."""
    paths = result, result.with_name(result.name.replace(".json", ".provenance.json"))
    contents = [json.loads(path.read_text()) for path in paths]
    change(*contents)
    for path, content in zip(paths, contents, strict=True):
        path.write_text(json.dumps(content))
    return result


def together(made: Path, result: Path, store: str = "two", metrics: tuple[str, ...] = ()) -> Table:
    with Store(made / store, create=False) as opened:
        return extended(opened, opened.boards()[0], result, metrics)


def test_it_is_the_table_of_one_run_over_all(made: Path, published: Path) -> None:
    table = together(made, published)
    with Store(made / "both", create=False) as store:
        whole = build(store, store.boards()[0])
    assert table.stem == whole.stem
    lines, notes = markdown(table).split("\n\n- ")[0], table.notes
    assert lines.strip() == markdown(whole).split("\n\n- ")[0].strip()
    assert notes[-1].startswith("Computed for this table: ")
    assert "; the other 2 rows stand as published in msrs-fusion@v1.partial-3-of-361.selected (SHA" in notes[-1]
    assert table.published().rows == whole.published().rows


def test_what_it_writes_can_be_run_again_and_extended_again(made: Path, published: Path, tmp_path: Path) -> None:
    with Store(made / "two", create=False) as store:
        (first, *_) = [
            path
            for path in write_tables(tmp_path / "out", [together(made, published)], store)
            if path.suffix == ".json"
        ]
    assert contradictions(read_claims(first)) == []
    commands = [run["command"] for run in json.loads(first.with_suffix(".provenance.json").read_text())["runs"]]
    assert [any(f"--methods {m}" in c for c in commands) for m in (ONE, TWO)] == [True, True]
    again = reproduce(first, tmp_path / "again", Rerun(places=Places(data_root=made / "data"), jobs=1))
    assert (again.state, again.same, again.cells) == ("same", True, 5 * 4), again
    twice = together(made, first, "one")
    assert {row.id for row in twice.rows} == {"visible", "average", "laplacian", "gff", "maximum"}
    assert "; the other row stands as published in " in twice.notes[-1]


def test_columns_can_be_chosen(made: Path, published: Path) -> None:
    table = together(made, published, metrics=("mi@bits",))
    assert ([m.id for m in table.metrics], table.selected, len(table.rows)) == (["mi@bits"], True, 5)


def test_metrics_of_other_code_need_rows_of_both(made: Path, published: Path) -> None:
    def code(_: dict[str, Any], facts: dict[str, Any]) -> None:
        facts["metrics"]["en@bits"]["code"] = "0" * 64

    notes = together(made, changed(published, code)).notes
    assert any(note.startswith("EN@bits: computed by other code") and "laplacian" in note for note in notes)

    def alone(table: dict[str, Any], facts: dict[str, Any]) -> None:
        table["rows"] = [row for row in table["rows"] if row["id"] not in ("average", "visible")]
        facts["entries"] = [e for e in facts["entries"] if e["id"] in {row["id"] for row in table["rows"]}]

    with pytest.raises(FusionbenchError, match=r"score 2 of its entries here as well.*: gff$"):
        together(made, changed(published, alone))


def test_a_metric_that_has_become_another_is_refused(made: Path, published: Path) -> None:
    def another(table: dict[str, Any], facts: dict[str, Any]) -> None:
        facts["metrics"]["en@bits"]["code"] = "0" * 64
        for row in table["rows"]:
            row["scores"]["en@bits"]["mean"] += 0.01

    with pytest.raises(FusionbenchError, match="EN@bits was computed by other code there, and is another: of "):
        together(made, changed(published, another))


def test_a_row_of_both_is_the_stores_and_a_difference_is_said(made: Path, published: Path) -> None:
    def off(table: dict[str, Any], _: dict[str, Any]) -> None:
        row = next(row for row in table["rows"] if row["id"] == "average")
        row["scores"]["mi@bits"]["mean"] += 0.5

    honest, table = together(made, published), together(made, changed(published, off))
    assert honest.published().rows == table.published().rows
    assert any(note.startswith("average: as measured here;") and note.endswith("MI@bits.") for note in table.notes)
    assert not any("as measured here" in note for note in honest.notes)


def pairs(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["pairs"][min(facts["pairs"])] = "0" * 64


def fewer(table: dict[str, Any], facts: dict[str, Any]) -> None:
    del facts["pairs"][min(facts["pairs"])]
    table["images"] = facts["images"] = 2
    for row in table["rows"]:
        for cell in row["scores"].values():
            cell["n"] = 2


def more(table: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["pairs"]["zz"] = "0" * 64
    table["images"] = facts["images"] = 4


def split(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["board"]["split_sha256"] = "0" * 64


def rule(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["board"]["output"] = "clip-round"


def drawn(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["board"]["origin"] = {"generator": "scenes", "seed": 3}


def undefined(table: dict[str, Any], _: dict[str, Any]) -> None:
    next(row for row in table["rows"] if row["id"] == "gff")["scores"]["mi@bits"]["n"] = 2


def version(table: dict[str, Any], facts: dict[str, Any]) -> None:
    table["protocol"] = facts["board"]["protocol"] = "msrs-fusion@v2"


def strange(table: dict[str, Any], _: dict[str, Any]) -> None:
    next(row for row in table["rows"] if row["id"] == "gff")["scores"]["mi@bits"]["n"] = 0


def contradicting(table: dict[str, Any], _: dict[str, Any]) -> None:
    table["images"] = 7


def missing(table: dict[str, Any], facts: dict[str, Any]) -> None:
    del next(row for row in table["rows"] if row["id"] == "gff")["scores"]["mi@bits"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pairs, "1 pair has other bytes, e.g. "),
        (fewer, "1 pair is scored here alone"),
        (more, "1 pair is not scored here, e.g. zz, of 4 that it is of"),
        (split, "the list of the split is 000000000000 there"),
        (rule, "its output is clip-round, here it is released"),
        (drawn, "its pairs were generated otherwise"),
        (version, "its protocol is msrs-fusion@v2, here it is msrs-fusion@v1"),
        (strange, "contradict each other: gff, mi@bits: .* is no mean over 0 images"),
        (undefined, "MI@bits of gff has a value on 2 of 3 images.*leave the column out"),
        (contradicting, "contradict each other: the table's images: 7"),
        (missing, "contradict each other: gff: no value under mi@bits"),
    ],
)
def test_other_tables_are_refused(made: Path, published: Path, change: Change, reason: str) -> None:
    with pytest.raises(FusionbenchError, match=reason) as caught:
        together(made, changed(published, change))
    assert str(published) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_note_on_a_missing_row_goes_where_the_row_comes(made: Path, published: Path) -> None:
    def missing(table: dict[str, Any], _: dict[str, Any]) -> None:
        table["notes"] = ["No row for maximum: 3 images failed", "No row for fpde: 3 images failed"]

    assert [n for n in together(made, changed(published, missing)).notes if n.startswith("No row")] == [
        "No row for fpde: 3 images failed"
    ]


def test_columns_that_only_one_has_are_named(made: Path, published: Path) -> None:
    def without(table: dict[str, Any], facts: dict[str, Any]) -> None:
        table["metrics"] = [m for m in table["metrics"] if m["id"] != "mi@bits"]
        facts["board"]["metrics"].remove("mi@bits")
        del facts["metrics"]["mi@bits"]
        for row in table["rows"]:
            del row["scores"]["mi@bits"]

    notes = together(made, published, metrics=("en@bits",)).notes
    told = (
        "Columns of msrs-fusion@v1.partial-3-of-361.selected that are not here: MI@bits, Qabf@released, SSIM@tdfusion."
    )
    assert any(note.startswith("Columns of ") and note.endswith(told) for note in notes)
    notes = together(made, changed(published, without)).notes
    assert "Columns that msrs-fusion@v1.partial-3-of-361.selected has not: MI@bits." in notes


def test_notes_of_rows_that_were_replaced_go(made: Path, published: Path) -> None:
    """What is said of a published row is not said of the store's; of the others it is."""
    notes = ["average, gff: pictures made on cuda in float32.", "laplacian: by Ada.", "gff: by Bob."]
    notes += ["EN@bits of average, visible is undefined on every image: why.", "EN@bits of average is undefined: why."]

    def noted(table: dict[str, Any], _: dict[str, Any]) -> None:
        table["notes"] = notes

    assert together(made, changed(published, noted)).notes[:3] == (
        "gff: pictures made on cuda in float32.",
        "gff: by Bob.",
        "EN@bits of visible is undefined on every image: why.",
    )


def test_extending_a_table_by_itself_says_it_once(made: Path, published: Path, tmp_path: Path) -> None:
    with Store(made / "two", create=False) as store:
        for _ in range(3):
            write_tables(tmp_path / "out", [together(made, published)], store)
            published = of(tmp_path / "out/tables")
    table = json.loads(published.read_text())
    assert sum(note.startswith("Computed for this table: ") for note in table["notes"]) == 1
    runs = json.loads(published.with_suffix(".provenance.json").read_text())["runs"]
    assert len(runs) == 2


def test_rows_that_are_not_shown_are_witnesses_too(made: Path, published: Path) -> None:
    def code(_: dict[str, Any], facts: dict[str, Any]) -> None:
        facts["metrics"]["en@bits"]["code"] = "0" * 64

    with Store(made / "two", create=False) as store:
        table = extended(store, store.boards()[0], changed(published, code), entry_ids=["maximum"])
    assert {row.id for row in table.rows} == {"visible", "average", "laplacian", "gff", "maximum"}
    assert any("with the same digits for laplacian, average" in note for note in table.notes)


def test_a_column_that_is_not_there(made: Path, published: Path) -> None:
    with pytest.raises(FusionbenchError, match=r"no complete scores for msrs test with sf@mean"):
        together(made, published, metrics=("sf@mean",))


def with_tasks(made: Path, store: str, scores: dict[str, float], out: Path, **facts: str) -> Path:
    """A copy of a store in which a frozen network has scored entries' pictures; its tables are below it."""
    shutil.copytree(made / store, out)
    shutil.rmtree(out / "tables")
    with Store(out) as opened:
        board = opened.boards()[0]
        keys = {info.id: key for key, info in opened.entries(board.output).items()}
        for entry, score in scores.items():
            own = task_result(task="detection", network="yolox-nano", recipe="given-1+test", images=3, **facts)
            found = {"all": {"ap50@coco": score, "ap@coco": math.nan}}
            opened.put_task(keys[entry], board.dataset, board.split, msgspec.structs.replace(own, scores=found))
        write_tables(out, [build(opened, board)], opened)
    return out


def of(folder: Path) -> Path:
    """The one table of a folder."""
    return next(path for path in folder.glob("*.json") if "provenance" not in path.name)


NETWORK = "detection yolox-nano frozen: "
LEFT_OUT = f"{NETWORK}results of the store are left out: those of msrs-fusion@v1.partial-3-of-361.selected"


@pytest.mark.parametrize(
    ("here", "facts", "note"),
    [
        ({"maximum": 0.5}, {"weights": "a", "code": "c"}, ""),
        ({"maximum": 0.5}, {"weights": "b", "code": "c"}, f"{LEFT_OUT} are of another network."),
        ({"maximum": 0.5}, {"weights": "a", "code": "c", "test_split": "val"}, f"{LEFT_OUT} are of another test."),
        (
            {"maximum": 0.5},
            {"weights": "a", "code": "d"},
            f"{LEFT_OUT} were scored by other code; score 2 of its entries",
        ),
        (
            {"maximum": 0.5, "average": 0.25, "laplacian": 0.1252},
            {"weights": "a", "code": "d"},
            f"{LEFT_OUT} were scored by other code, and differ for laplacian.",
        ),
        (
            {"maximum": 0.5, "average": 0.25, "laplacian": 0.12501},
            {"weights": "a", "code": "d"},
            f"{NETWORK}scored by other code in msrs-fusion@v1.partial-3-of-361.selected, with the same scores to",
        ),
    ],
)
def test_columns_of_tasks_go_on(
    made: Path, tmp_path: Path, here: dict[str, float], facts: dict[str, str], note: str
) -> None:
    """One network in one test makes one column; where code is another, rows of both show that it gives the same."""
    there = {"gff": 0.375, "average": 0.25, "laplacian": 0.125}
    first = with_tasks(made, "one", there, tmp_path / "one", weights="a", code="c")
    second = with_tasks(made, "two", here, tmp_path / "two", **facts)
    with Store(second, create=False) as store:
        table = extended(store, store.boards()[0], of(first / "tables"))
        write_tables(tmp_path / "out", [table], store)
    left_out, column = "left out" in note, table.tasks[0]
    expected = {"gff": (0.375,)} | ({} if left_out else {entry: (score,) for entry, score in here.items()})
    assert column.values == expected
    assert table.results is not None
    assert {entry for entry, _ in table.results} == expected.keys()
    assert contradictions(read_claims(of(tmp_path / "out/tables"))) == []
    said = [line for line in table.notes if "left out" in line or "scored by other code" in line]
    assert [line[: len(note)] for line in said] == ([note] if note else [])


@pytest.mark.parametrize("name", ["m3fd-fusion@v1.partial-10-of-1050", "msrs-fusion@v1"])
def test_pages_of_tasks_are_made_from_published_files(name: str) -> None:
    """Scores by class are in no provenance; what was kept of each image gives those that the committed page has."""
    path = REPO / f"leaderboards/tasks/{name}.selected.json"
    claims = read_claims(path)
    results = [(entry, by_class(result)) for entry, result in recorded_results(claims.facts)]
    assert all(result.facts["all"][MATCHES] for _, result in results)
    made = pages(results, claims.facts.board, [row.id for row in claims.table.rows])["detection"]
    assert made == path.with_name(f"{name}.selected.detection.md").read_text()


def test_the_commands(made: Path, published: Path, tmp_path: Path) -> None:
    here = ("leaderboard", "--out", made / "two", "--extend")
    done = fusionbench(*here, published)
    assert done.returncode == 0, done.stderr
    assert "| gff |" in done.stdout
    done = fusionbench(*here, published, "-o", tmp_path / "all.json")
    assert done.returncode == 0, done.stderr
    assert contradictions(read_claims(tmp_path / "all.json")) == []
    rows = fusionbench(*here, published, "--methods=maximum", "--format=csv").stdout.splitlines()
    assert {row.partition(",")[0] for row in rows[1:]} == {"visible", "average", "gff", "laplacian", "maximum"}
    for option in ("--layout=tdfusion-main", "--check"):
        done = fusionbench(*here, "none.json", option)
        assert done.returncode == 2
        assert f"--extend with {option.partition('=')[0]}: take one of them" in done.stderr
    for option in ("--ties", "--join-seeds", "--ci"):
        done = fusionbench(*here, published, option)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--extend with {option}: published rows have no values of single images" in done.stderr
    done = fusionbench(*here)  # what came with the package is of other pictures
    assert done.returncode == 2
    assert "msrs-fusion@v1.provenance.json: its rows cannot stand beside those of" in done.stderr
    done = fusionbench(*here, "missing.json")
    assert done.returncode == 2
    assert "missing.provenance.json: not there" in done.stderr


def test_the_longest_table_of_the_package(made: Path) -> None:
    with Store(made / "two", create=False) as store:
        board = msgspec.structs.replace(store.boards()[0], protocol="msrs-fusion@v1")
    path = largest(board)
    assert path is not None
    assert (path.parent.name, path.name) == ("methods", "msrs-fusion@v1.provenance.json")
    assert largest(msgspec.structs.replace(board, split="train")) is None
