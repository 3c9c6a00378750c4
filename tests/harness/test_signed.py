"""Who made a result: in every row's record where somebody said so, and nowhere else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import fusionbench
from fusionbench.api import Result
from fusionbench.errors import FusionbenchError
from fusionbench.report.writing import provenance_of
from fusionbench.results import provenance
from fusionbench.results.merge import merge
from fusionbench.results.records import Made
from fusionbench.results.schema import FusedRow
from fusionbench.results.store import Store
from tests.conftest import fusionbench as invoke


def evaluate(tree: Path, out: Path, who: str = "", fresh_versions: bool = False, limit: int | None = None) -> Result:
    asked = ["average"], ["msrs"], ["en"]
    return fusionbench.evaluate(*asked, data_root=tree, out=out, who=who, fresh_versions=fresh_versions, limit=limit)


def signatures(folder: Path) -> set[str]:
    with Store(folder, create=False) as store:
        makers = store.makers()
        rows = [row.made for row in (*store.rows(FusedRow), *store.score_rows())]
    return {makers[number].signature for number in rows}


def test_nobody_signs_unless_asked(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user of the system gets into a store."""
    for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME"):
        monkeypatch.setenv(name, "quisling")
    result = evaluate(tree, tmp_path)
    assert signatures(tmp_path) == {""}
    assert not any("by " in note for note in result.tables[0].notes)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"quisling" not in everything


def test_a_maker_that_nobody_signed_keeps_its_number() -> None:
    """Stores of earlier versions have these numbers in their rows."""
    made = Made(libraries={"torch": "2.0"}, processor="Processor A")
    assert made.plain() == {"libraries": {"torch": "2.0"}, "processor": "Processor A"}
    assert made.id == 47817565905888


def test_every_row_says_who_when_and_where(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_WHO", " Ada Example ")
    result = evaluate(tree, tmp_path)
    day, machine = provenance.now()[:10], provenance.cpu()
    assert signatures(tmp_path) == {f"Ada Example, {day}, on {machine}"}
    assert f"average: by Ada Example, {day}, on {machine}." in result.tables[0].notes
    with Store(tmp_path, create=False) as store:
        assert [run.who for run in store.runs()] == ["Ada Example"]
        (signed,) = json.loads(provenance_of(result.tables[0], store))["signed"]["average"]
    assert (signed["who"], signed["processor"]) == ("Ada Example", machine)


def test_who_counts_for_no_number(tree: Path, tmp_path: Path) -> None:
    """The second person's run keeps the first one's work, without a mark, also where all is to be of today."""
    first = evaluate(tree, tmp_path, "Ada")
    for fresh in (False, True):
        second = evaluate(tree, tmp_path, "Bo", fresh_versions=fresh)
        assert (second.outcome.fused, second.outcome.scored) == (0, 0)
        assert not any("made with" in note for note in second.tables[0].notes)
    assert {text.partition(",")[0] for text in signatures(tmp_path)} == {"Ada"}
    assert second.tables[0].rows[0].mean("en@bits") == first.tables[0].rows[0].mean("en@bits")


def test_two_people_in_one_store(tree: Path, tmp_path: Path) -> None:
    evaluate(tree, tmp_path / "ada", "Ada", limit=2)
    evaluate(tree, tmp_path / "bo", "Bo")
    with Store(tmp_path / "both") as store:
        _, conflicts = merge(store, [tmp_path / "ada", tmp_path / "bo"])
        assert conflicts == []
    assert {text.partition(",")[0] for text in signatures(tmp_path / "both")} == {"Ada", "Bo"}
    (note,) = [n for n in evaluate(tree, tmp_path / "both").tables[0].notes if " by " in n]
    assert "Ada, " in note
    assert "; Bo, " in note


def test_the_option_and_the_export(tree: Path, tmp_path: Path) -> None:
    words = ("--methods", "average", "--datasets", "msrs", "--metrics", "en", "--data-root", str(tree))
    assert invoke("eval", *words, "--who", "Ada", "--out", str(tmp_path), FUSIONBENCH_WHO="Bo").returncode == 0
    assert {text.partition(",")[0] for text in signatures(tmp_path)} == {"Ada"}
    assert invoke("export", "--out", str(tmp_path), "-o", str(tmp_path / "a.csv")).returncode == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert {(row["who"], row["machine"]) for row in rows} == {("Ada", provenance.cpu())}
    assert {len(row["when"]) for row in rows} == {20}


@pytest.mark.parametrize("who", ["x" * 101, "Ada\nBo", "Ada\x1b[31m"])
def test_what_is_no_name(tree: Path, tmp_path: Path, who: str) -> None:
    with pytest.raises(FusionbenchError, match="a name is one line of at most 100 characters"):
        evaluate(tree, tmp_path / "out", who)
    assert not (tmp_path / "out").exists()


def test_a_stranger_may_not_sign_with_a_book(tree: Path, tmp_path: Path) -> None:
    evaluate(tree, tmp_path / "a", "Ada")
    made = Made(who="x" * 1000)
    with Store(tmp_path / "a") as store:
        store.put_maker(made)
    with Store(tmp_path / "b") as store, pytest.raises(FusionbenchError, match="is damaged"):
        merge(store, [tmp_path / "a"])
