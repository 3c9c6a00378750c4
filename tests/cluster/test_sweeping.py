"""A sweep on a cluster: each run is what it would be here, and one that fails costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fusionbench.cli import sweep
from fusionbench.cluster.engines import Ended
from fusionbench.plugins.weights import installed, sha256
from tests.cluster.stub import Stub
from tests.harness.test_sweep import RUN, data, here, logs

__all__ = ["data", "here"]  # fixtures


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """In the place of a cluster."""
    engine = Stub()
    monkeypatch.setattr(sweep, "engine_of", lambda *words: engine)
    return engine


def hashes(folder: str, names: Sequence[str]) -> list[str]:
    return [sha256(Path(folder, name, "weights.safetensors")) for name in names]


def test_the_runs_of_one_machine(here: Any, stub: Stub) -> None:
    assert here(*RUN, "--seeds", 2, "--out", "one", "--as", "one").code == 0
    done = here(*RUN, "--seeds", 2, "--out", "many", "--as", "many", "--cluster", "local")
    assert done.code == 0, done.err
    assert "2 of 2 runs are finished" in done.err
    assert hashes("many", ["seed0", "seed1"]) == hashes("one", ["seed0", "seed1"])
    assert [line for line in done.out.splitlines() if "2 of 2" in line]
    assert {"many-seed0", "many-seed1"} <= {w.name for w in installed("ydtr")}
    assert sorted(path.name for path in Path("many").iterdir()) == ["seed0", "seed1", "sweep.md"]
    assert not list(Path("many").rglob("*.pt"))
    assert logs(Path("many")).keys() == logs(Path("one")).keys()
    again = here(*RUN, "--seeds", 2, "--out", "many", "--as", "many", "--cluster", "local", "--resume")
    assert again.code == 0, again.err
    assert len(stub.given) == 2


def test_one_that_fails_and_one_that_dies(here: Any, stub: Stub) -> None:
    stub.trouble = lambda number, unit: Ended(number, "signal 9", died=True) if "0.01" in unit.name else None
    done = here(*RUN, "--sweep", "lr=1e30,1e-2,1e-3", "--cluster", "local")
    assert done.code == 1, done.err
    assert "failed: lr1e_30-seed0: the loss is " in done.err
    assert "failed: lr0.01-seed0: signal 9" in done.err
    assert done.err.count("it is tried again") == 2
    assert "1 of 3 runs are finished" in done.err
    stub.trouble = lambda number, unit: None
    again = here(*RUN, "--sweep", "lr=1e30,1e-2,1e-3", "--cluster", "local", "--resume")
    assert "2 of 3 runs are finished" in again.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "--cluster: for the runs of a --sweep, or of --seeds"),
        (("--seeds=2", "--max-steps=3"), "--cluster: whole runs only, without --max-steps"),
        (("--seeds=2", "--slurm=partition=x"), "--slurm partition=x: is for --cluster slurm"),
    ],
)
def test_what_does_not_go_together(here: Any, words: Sequence[str], text: str) -> None:
    done = here(*RUN, *words, "--cluster", "local")
    assert done.code == 2
    assert text in done.err
    assert not Path("runs").exists()
