"""A run decodes each source pair once while there is room for it, and its bytes do not depend on that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fusionbench.data import Dataset
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.evaluation.runner import run
from fusionbench.evaluation.source_pairs import SourcePairs
from fusionbench.results.store import Store
from tests.conftest import make_tree

ONE = 48 * 64 * 4  # bytes of a pair


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_tree(folder, 3)
    return folder


def evaluated(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> tuple[Counter[str], dict[str, bytes], dict[tuple[str, str, str], float]]:
    """How often each pair was decoded with room for some; the pictures; the scores."""
    read: Counter[str] = Counter()
    whole = Dataset.pair

    def counted(self: Dataset, split: str, ident: str) -> object:
        read[ident] += 1
        return whole(self, split, ident)

    asked = Request(methods=("average", "maximum"), datasets=("msrs",), metrics=("en", "vif"), data_root=root, jobs=2)
    with monkeypatch.context() as patch, Store(out) as store:
        patch.setattr(Dataset, "pair", counted)
        patch.setattr(SourcePairs.__init__, "__defaults__", (pairs * ONE,))
        plan = make_plan(asked)
        outcome = run(plan, store)
        assert (outcome.fused, outcome.scored, outcome.failures) == (6, 12, {})
        scores = dict(store.scores({m.id: m.code for m in plan.sources[0].metrics}))
    pictures = {p.relative_to(out).as_posix(): p.read_bytes() for p in (out / "fused").rglob("*.png")}
    return read, pictures, scores


def test_pairs_are_decoded_once_and_nothing_else_changes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, *kept = evaluated(root, tmp_path / "kept", monkeypatch, 3)
    each, *anew = evaluated(root, tmp_path / "anew", monkeypatch, 0)
    some, *part = evaluated(root, tmp_path / "part", monkeypatch, 1)
    assert sorted(once.values()) == [1, 1, 1]
    assert sorted(each.values()) == [3, 3, 3]  # two entries, and scoring
    assert sorted(some.values()) == [1, 3, 3]
    assert kept == anew == part


def test_room_is_given_back(root: Path) -> None:
    (source,) = make_plan(Request(methods=("average",), datasets=("msrs",), data_root=root)).sources
    pairs = SourcePairs(ONE)
    first = pairs.get(source, source.ids[0])
    assert pairs.room == 0
    assert pairs.get(source, source.ids[0]) is first
    assert pairs.last(source, source.ids[1]) is not pairs.last(source, source.ids[1])
    assert pairs.last(source, source.ids[0]) is first
    assert pairs.room == ONE
