"""docs/findings.md and docs/robustness.md say what the committed tables say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPO

PAGE = REPO / "docs/findings.md"


@pytest.mark.parametrize("script", ["findings", "robustness"])
def test_the_page_is_what_the_tables_say(script: str) -> None:
    command = [sys.executable, f"benchmarks/{script}.py"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_has_two_pages_at_most() -> None:
    words = [word for word in PAGE.read_text().split() if word.strip("|-:")]  # without the rules of tables
    assert len(words) < 1400  # 700 a page
