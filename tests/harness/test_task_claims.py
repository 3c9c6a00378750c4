"""Columns of tasks in committed tables are what the results beside them say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fusionbench.report.claims import contradictions, read_claims
from fusionbench.report.task_claims import task_contradictions
from tests.conftest import REPO

BOARDS = sorted(
    p for p in (REPO / "leaderboards").rglob("*.json") if '"tasks":' in p.read_text() and "prov" not in p.name
)
FOLDS = REPO / "leaderboards/folds/msrs-fusion@v1.selected.json"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_committed_tables(path: Path) -> None:
    assert contradictions(read_claims(path)) == []


@pytest.mark.parametrize(
    ("before", "after", "agrees"),
    [(", 1 seed,", ", 1 seeds,", True), (", 1 seed,", ", 2 seeds,", False), ("361 pairs", "1 pairs", False)],
)
def test_one_was_written_in_the_plural_by_earlier_versions(before: str, after: str, agrees: bool) -> None:
    claims = read_claims(FOLDS)
    heads = tuple(
        msgspec.structs.replace(h, note=h.note.replace("1 seeds", "1 seed").replace(before, after))
        for h in claims.table.tasks
    )
    assert any(after in head.note for head in heads)
    lines = task_contradictions(claims.facts, msgspec.structs.replace(claims.table, tasks=heads))
    assert (lines == []) is agrees
