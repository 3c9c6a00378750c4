"""`kill -9` at random moments of `eval`, then a rerun: the same bytes as an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import make_tree
from tests.harness.test_eval import tables

KILLS = 20


def command(tree: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "fusionbench", "eval", "--methods=average,laplacian,gff,visible", "--datasets=msrs"),
        *("--metrics=en,sf,vif,qabf", "--data-root", str(tree), "--out", str(out)),
    ]


def steps(out: Path) -> int:
    """How much is done: fused pictures and scores in the store."""
    try:
        with sqlite3.connect(f"file:{out / 'results.db'}?mode=ro", uri=True, timeout=1) as db:
            return sum(db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("fused", "scores"))
    except sqlite3.Error:
        return 0


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    make_tree(tmp_path / "data", 40, (120, 160))
    subprocess.run(command(tmp_path / "data", tmp_path / "calm"), check=True, capture_output=True)
    rng = random.Random(0)
    for _ in range(KILLS):
        goal = steps(tmp_path / "torn") + rng.randint(0, 12)
        process = subprocess.Popen(
            command(tmp_path / "data", tmp_path / "torn"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while steps(tmp_path / "torn") < goal and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        assert process.poll() is None, "it finished before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert steps(tmp_path / "torn") < steps(tmp_path / "calm")
    subprocess.run(command(tmp_path / "data", tmp_path / "torn"), check=True, capture_output=True)
    assert tables(tmp_path / "torn") == tables(tmp_path / "calm")
