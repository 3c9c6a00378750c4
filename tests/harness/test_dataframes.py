"""``fusionbench.results``: frames that say what the store and the tables say; and the notebook, run as it stands."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import fusionbench as package
from fusionbench.errors import FusionbenchError
from fusionbench.report.dataframes import SHORT
from tests.conftest import REPO, make_tree
from tests.harness.test_names import fusionbench
from tests.harness.test_names import scored as scored


def test_frames_say_what_tables_say(scored: Path, tmp_path: Path) -> None:
    results = package.results(scored / "r")
    assert results.datasets() == ["msrs"]
    table = results.table()
    done = fusionbench("leaderboard", "--out", scored / "r", "-o", tmp_path / "t.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert list(table.index) == [row["id"] for row in rows]
    for row in rows:
        for metric, cell in row["scores"].items():
            assert table.loc[row["id"], metric] == cell["mean"]
        assert table.loc[row["id"], "average_rank"] == row["average_rank"]
    scores = results.scores(methods=["Mine"], metrics=["en"])
    assert list(scores.columns) == SHORT
    assert set(scores["entry"]) == {"images[Mine]"}
    assert scores["value"].mean() == pytest.approx(table.loc["images[Mine]", "en@bits"], rel=1e-12)
    assert {"fused_sha256", "metric_code"} <= set(results.scores(hashes=True).columns)
    assert len(results.scores()) == results.scores().groupby(["entry", "id", "metric"]).ngroups
    assert results.entries().loc["images[Mine]", "method"] == "images"
    assert results.tasks().empty
    assert results.costs().empty


def test_what_is_not_there(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="no results here"):
        package.results(tmp_path)
    with pytest.raises(FusionbenchError, match="no entry 'nobody'"):
        package.results(scored / "r").scores(methods=["nobody"])
    with pytest.raises(FusionbenchError, match="no results for tno"):
        package.results(scored / "r").table("tno")


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell in one namespace, as a notebook does; nothing of it is kept in the file."""
    make_tree(tmp_path / "demo/data", 3)
    monkeypatch.chdir(tmp_path)
    cells = json.loads((REPO / "docs/results.ipynb").read_text())["cells"]
    space: dict[str, object] = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            *body, last = ast.parse("".join(cell["source"])).body
            exec(compile(ast.Module([*body], []), "results.ipynb", "exec"), space)
            if isinstance(last, ast.Expr):
                shown.append(eval(compile(ast.Expression(last.value), "results.ipynb", "eval"), space))
    assert repr(shown[0]) == "fusionbench.results('demo/results'): msrs"
    assert shown[3].endswith(" of 3 images")
