"""A run decodes and corrupts each source pair once while there is room for it; its bytes do not depend on that."""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fusionbench.data import Dataset
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.evaluation.runner import run
from fusionbench.evaluation.source_pairs import LIMIT, SourcePairs
from fusionbench.pixels.corruption import Corruption
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


def corrupted(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, pairs: int) -> tuple[Counter[str], object]:
    """How often each pair was corrupted, and what came of it."""
    made: Counter[str] = Counter()
    whole = Corruption.apply

    def counted(self: Corruption, ir: object, vis: object, ident: str) -> object:
        made[f"{self} {ident}"] += 1
        return whole(self, ir, vis, ident)  # type: ignore[arg-type]  # what it was given

    asked = Request(
        methods=("average", "maximum", "visible"),
        datasets=("msrs",),
        metrics=("en",),
        corrupt=("noise=5,15", "drop-ir=1"),
        data_root=root,
        jobs=2,
    )
    with monkeypatch.context() as patch, Store(out) as store:
        patch.setattr(Corruption, "apply", counted)
        patch.setattr(SourcePairs.__init__, "__defaults__", (pairs * ONE,))
        plan = make_plan(asked)
        outcome = run(plan, store)
        assert (outcome.fused, outcome.failures) == (36, {})
        scores = {s.label: dict(store.scores({m.id: m.code for m in s.metrics})) for s in plan.sources}
        names = {(p.dataset, p.id, p.image) for e in plan.entries for p in store.pictures(e.key)}
    return made, (scores, names, {p.name: p.read_bytes() for p in (out / "fused").rglob("*.png")})


def test_pairs_are_corrupted_once_for_all_entries(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [corrupted(root, tmp_path / str(room), monkeypatch, room) for room in (100, 3, 0)]
    assert sorted(every[0][0].values()) == [1] * 9
    assert sorted(every[1][0].values()) == [1] * 9  # one corruption after the other
    assert sorted(every[2][0].values()) == [3] * 9
    assert every[0][1] == every[1][1] == every[2][1]


def test_parts_are_as_large_as_there_is_room_for(root: Path) -> None:
    asked = Request(methods=("average",), datasets=("msrs",), corrupt=("noise", "fog=0.5"), data_root=root)
    sources = make_plan(asked).sources

    def parts(room: int) -> list[list[str]]:
        return [[s.label for s in part] for part in SourcePairs(room * ONE).parts(sources)]

    good, *noise, fog = (s.label for s in sources)
    assert parts(100) == [[good], [*noise, fog]]
    assert parts(8) == [[good], noise[:2], [noise[2], fog]]
    assert parts(1) == [[good], *([label] for label in (*noise, fog))]
    assert [[s.label for s in part] for part in SourcePairs().parts(sources[1:])] == [[*noise, fog]]
    assert [list(part) for part in SourcePairs(0).parts(sources[:1])] == [list(sources[:1])]


def test_what_is_kept_is_not_on_the_heap(tmp_path: Path) -> None:
    """Blocks that stay between those that come and go let a run over hundreds of pairs grow to many times its need."""
    make_tree(tmp_path, 12, size=(256, 320))
    asked = Request(methods=("average",), datasets=("msrs",), metrics=("en",), data_root=tmp_path)
    (source,) = make_plan(asked).sources
    pairs, bytes_kept = SourcePairs(), 12 * 256 * 320 * 4
    pairs.get(source, source.ids[0])  # what decoding keeps for itself
    before = in_use()
    kept = [pairs.get(source, ident) for ident in source.ids]
    assert in_use() - before < bytes_kept / 4
    assert pairs.room == LIMIT - bytes_kept
    for ident, (ir, vis) in zip(source.ids, kept, strict=True):
        read = source.dataset.pair(source.split, ident)
        assert np.array_equal(ir, read.ir)
        assert np.array_equal(vis, read.vis)
        assert (ir.flags.writeable, vis.flags.writeable) == (read.ir.flags.writeable, read.vis.flags.writeable)
        assert pairs.get(source, ident)[0] is ir


def in_use() -> int:
    """Bytes of the C library's heap that are given out."""
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    kind = type("Info", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in names.split()]})
    try:
        counted = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("no mallinfo2: another C library, or glibc before 2.33")
    counted.restype = kind
    info = counted()
    return int(info.uordblks + info.hblkhd)  # mappings of malloc's own, where large blocks are given those
