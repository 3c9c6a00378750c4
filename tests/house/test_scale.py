"""The simulation of a large leaderboard, small: it compares what it shows with what it invented, and says so if not."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPO
from tests.faults.stores import change_scores


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    return importlib.import_module("scale")


def test_every_part(scale: ModuleType, tmp_path: Path) -> None:
    size = scale.Size(methods=5, datasets=2, pictures=3, shards=2, folder=tmp_path)
    names = [name for name in scale.PARTS if name != "site"]
    found = {name: {"passed": 1.0, "worked": 1.0, **scale.PARTS[name](size)} for name in names}
    assert found["read"]["pictures"] == 3 * 2 * 3
    with closing(sqlite3.connect(size.merged / "results.db")) as db:
        assert db.execute("SELECT count(*) FROM fused").fetchone() == (30,)
        assert db.execute("SELECT count(*) FROM makers").fetchone() == (2,)
    assert found["merge"]["bytes"] == (size.merged / "results.db").stat().st_size
    lines = scale.report(size, {**found, "site": {}})
    assert lines[0].startswith("30 scored pictures: 5 methods x 2 datasets x 3, 8 metrics, 2 shards of 15;")
    assert sum(line.startswith("| ") for line in lines) == 6
    assert sum("Extrapolated, not measured" in line for line in lines) == 1


def test_a_wrong_number_ends_it(scale: ModuleType, tmp_path: Path) -> None:
    size = scale.Size(methods=2, datasets=1, pictures=2, shards=1, folder=tmp_path)
    scale.PARTS["write"](size)
    scale.PARTS["merge"](size)
    change_scores(size.merged, lambda v: v + 1e-6, "en@bits")
    with pytest.raises(SystemExit, match="found False, expected True"):
        scale.PARTS["tables"](size)


@pytest.mark.slow
def test_the_program(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    page.write_text("# At scale\n")
    words = ("--methods=4", "--datasets=2", "--pictures=3", "--shards=2", f"--page={page}")
    done = subprocess.run([sys.executable, REPO / "benchmarks/scale.py", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "24 scored pictures" in page.read_text()


def test_costs_are_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    costs = importlib.import_module("scale_costs")
    text = "\n".join(costs.report(40, 15_000, 3))
    assert text.startswith("40 methods, 15,000 pairs: 600,000 scored pictures")
    assert costs.steps("msrs", "train", 120, 8) == 120 * 136
    half = "\n".join(costs.report(20, 15_000, 3))
    assert "**2,700**" in text
    assert "**1,350**" in half
