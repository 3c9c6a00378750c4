"""benchmarks/scenes_weights.py: what is near a released row, what a picture is like, and the verdict on rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fusionbench
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
import scenes_weights

sys.path.pop(0)


def test_near_is_a_tenth_below_or_above_or_better() -> None:
    assert [scenes_weights.near(value, 2.0, "up") for value in (1.79, 1.81, 9.0, float("nan"))] == [0, 1, 1, 0]
    assert [scenes_weights.near(value, 2.0, "down") for value in (2.21, 2.19, 0.1, float("nan"))] == [0, 1, 1, 0]
    row, released = {"en": 1.0, "scd": float("nan")}, {"en": 1.05, "scd": 1.0}
    assert scenes_weights.alike(row, released, {"en": "up", "scd": "up"}) == ["en"]


def test_correlation_with_the_larger_source() -> None:
    ir, vis = np.random.default_rng(0).integers(0, 256, (2, 9, 11), dtype=np.uint8)
    larger = np.maximum(ir, vis)
    assert scenes_weights.correlation(larger // 2, ir, vis) == pytest.approx(1, abs=1e-3)
    assert scenes_weights.correlation(255 - larger, ir, vis) == pytest.approx(-1)
    assert scenes_weights.correlation(ir, ir, vis) == pytest.approx(np.corrcoef(ir.ravel(), larger.ravel())[0, 1])
    assert scenes_weights.correlation(np.full_like(ir, 7), ir, vis) == 0


@pytest.mark.parametrize("row", ["maximum", "of the table"])
def test_rows_of_a_store(row: str, tree: Path, tmp_path: Path) -> None:
    fusionbench.evaluate(["maximum", "infrared", "average"], ["msrs"], data_root=tree, out=tmp_path / "r", jobs=1)
    table = tmp_path / "table.json"
    means = fusionbench.results(tmp_path / "r").scores().groupby(["entry", "metric"])["value"].mean()
    better = {m: {"mean": 2 * v if m != "qcv@liu2012" else v / 2} for m, v in means["maximum"].items()}
    table.write_text(json.dumps({"rows": [{"id": "of the table", "scores": better}]}))
    words = (tmp_path / "r", "--data-root", tree, "--beside", table, "--row", row)
    script = REPO / "benchmarks/scenes_weights.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    heads, rows = lines[0], {line[0]: line for line in lines[1:]}
    assert set(rows) == {row, "maximum", "average"}  # a source alone is no row
    found = dict(zip(heads, rows["average"], strict=True))
    assert float(found["en@bits"].strip("()")) == pytest.approx(means["average", "en@bits"], abs=1e-3)
    assert found["passes"] == "no"
    if row != "maximum":
        found = dict(zip(heads, rows["maximum"], strict=True))
        assert found["within 10 %"] == "0 of 8"
        assert float(found["lowest correlation"].split()[0]) > 0.98  # but for colours that are no colours
