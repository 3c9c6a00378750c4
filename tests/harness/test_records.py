"""Stored records keep their JSON form: everything that is published is read and written again unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.results.records import Board, EntryInfo, Made, Origin, TaskResult
from fusionbench.runtime.decoding import decode
from tests.conftest import REPO

PUBLISHED = sorted((REPO / "leaderboards").rglob("*.provenance.json"))

ADDED = {  # what older files do not say
    **{"per_class": {}, "weights": "", "settings": "", "training_code": ""},
    **{"trained_with": Made().plain(), "made": Made().plain()},
}


def again(data: object, kind: type[Board | EntryInfo | TaskResult]) -> object:
    return json.loads(json.dumps(decode(kind, data, Path("x.json")).plain()))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_published_records(path: Path) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert again(facts["board"], Board) == {**facts["board"], "colour": "grey"}  # older files write "gray"
    for entry in facts["entries"]:
        assert again(entry, EntryInfo) == entry
    for results in facts.get("tasks", {}).values():
        for result in results:
            assert again(result, TaskResult) == {**ADDED, **result}


def test_real_images_have_an_empty_origin() -> None:
    assert Origin().plain() == {}


def test_a_damaged_record_is_one_line() -> None:
    board = json.loads(PUBLISHED[0].read_text(encoding="utf-8"))["board"]
    del board["split"]
    with pytest.raises(FusionbenchError, match=r"^results\.db: the record lacks split$"):
        decode(Board, board, Path("results.db"))
