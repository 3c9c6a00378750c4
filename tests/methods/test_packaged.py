"""Weights that come with the package: whole, small, with their log, and ready to fuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from fusionbench import environment
from fusionbench.evaluation.entries import entries
from fusionbench.plugins.cards import cards

LARGEST = 2_100_000  # bytes; a clone should stay small
PACKAGED = [
    (card.name, w) for card in cards("method").values() for w in card.data.get("weights", ()) if "packaged" in w
]


def test_there_are_some() -> None:
    assert {name for name, _ in PACKAGED} >= {"refusion", "tdfusion", "cldyn"}


@pytest.mark.parametrize(("name", "facts"), PACKAGED, ids=[f"{n}[{w['name']}]" for n, w in PACKAGED])
def test_packaged(name: str, facts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cards("method")[name].path.parent / facts["packaged"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    assert path.stat().st_size < LARGEST
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert sum("step" in row for row in rows) > 10
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path))  # nothing else is installed
    environment.apply()
    found, skipped = entries(f"{name}[{facts['name']}]")
    assert found, skipped
    ir, vis = torch.rand(1, 1, 40, 48), torch.rand(1, 3, 40, 48)
    for entry in found:
        method = entry.build("cpu")
        with torch.no_grad():
            one, two = method.fuse(ir, vis), method.fuse(ir, vis)
        assert torch.equal(one, two), entry.id
        assert one.isfinite().all(), entry.id
        assert one.std() > 0.01, entry.id


def test_a_checkpoint_of_several_rows_fuses_by_its_plain_one() -> None:
    from fusionbench.errors import FusionbenchError
    from fusionbench.evaluation.entries import single

    assert single("cldyn", entries("cldyn[scenes]")[0]).id == "cldyn[scenes]"
    both = entries("tdfusion[scenes-fmb]")[0] + entries("tdfusion[scenes-m3fd]")[0]
    with pytest.raises(FusionbenchError, match="tdfusion has several weights here: choose one of"):
        single("tdfusion", both)
