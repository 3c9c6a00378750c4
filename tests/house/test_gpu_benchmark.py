"""benchmarks/gpu.py runs where there is no GPU, too: tiny, for the sake of the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)


def test_parts_of_this_process() -> None:
    done = benchmark("--device", "cpu", "--tiny", "--only", "metrics,filters")
    assert done.returncode == 0, done.stderr
    for row in ("| the eight | ", "| fmi | ", "| products with a band"):
        assert row in done.stdout
    assert "not run" not in done.stdout


def test_what_cannot_run_is_listed() -> None:
    done = benchmark("--device", "cpu", "--tiny", "--only", "eval,recipes", "--seconds", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no time is left") == 2


@pytest.mark.parametrize(("words", "why"), [(("--only", "filter"), "choose of metrics"), (("--device", "cuda"), "GPU")])
def test_refused(words: tuple[str, ...], why: str) -> None:
    import torch

    if torch.cuda.is_available() and words[0] == "--device":
        pytest.skip("needs a machine without a GPU")
    done = benchmark(*words)
    assert done.returncode == 2
    assert why in done.stderr


@pytest.mark.slow
def test_every_part() -> None:
    done = benchmark("--device", "cpu", "--tiny")
    assert done.returncode == 0, done.stderr
    lacking = [line for line in done.stdout.splitlines() if "not run" in line and "--tiny" not in line]
    assert not [line for line in lacking if "pip install" not in line]  # an extra may be missing, nothing else
    assert "| tdfusion fmb | " in done.stdout
