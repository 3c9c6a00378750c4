"""Columns of tasks in committed tables are what the results beside them say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fusionbench.report.claims import contradictions, read_claims
from fusionbench.report.task_check import TaskCheck
from fusionbench.report.task_claims import task_contradictions
from fusionbench.results.provenance import cpu
from fusionbench.results.records import Made
from tests.conftest import REPO
from tests.harness.test_store import task_result

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


@pytest.mark.parametrize(
    ("made", "processors", "lines", "noted"),
    [
        ("Other", (), ["its hash of pictures and labels a, here b"], True),
        ("", ("Other",), ["its hash of pictures and labels a, here b"], True),
        ("Other", (), ["its hash of pictures and labels a, here b", "its images 3, here 4"], False),
        ("Other", (), ["its images 3, here 4"], False),
        (cpu(), ("Other",), ["its hash of pictures and labels a, here b"], False),
        ("", (), ["its hash of pictures and labels a, here b"], False),
    ],
)
def test_pictures_of_another_processor(made: str, processors: tuple[str, ...], lines: list[str], noted: bool) -> None:
    """Its last bits are others, and a pixel here and there; nothing else of a result may be."""
    check = TaskCheck(processors=processors)
    check.take("gff", lines, task_result(made=Made(processor=made)), "cpu")
    told, empty = (check.notes, check.differences) if noted else (check.differences, check.notes)
    assert told == [f"gff: {line}" for line in lines]
    assert empty == []
