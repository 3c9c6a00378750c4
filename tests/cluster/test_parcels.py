"""Pairs that go with their units: a worker without data, or with other files, has the same results as one with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fusionbench.cluster import parcels
from fusionbench.cluster.engines import Ended
from fusionbench.cluster.gathering import Gathering
from fusionbench.cluster.units import Pairs, Unit, place
from fusionbench.data.synth import synth
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.report.formats import markdown
from fusionbench.report.tables import build
from fusionbench.results.store import Store
from tests.cluster.stub import Stub
from tests.conftest import fusionbench, make_tree

Change = Callable[[Pairs], Pairs]


@dataclass
class Sending(Stub):
    """Units as a worker gets them; `way` changes them on the way."""

    laid: Path | None = None
    way: Change = lambda unit: unit
    sizes: list[int] = field(default_factory=list)

    def run(self, units: Sequence[Unit], folder: Path) -> Iterator[Ended]:
        ready = []
        for number, unit in enumerate(units):
            assert isinstance(unit, Pairs)
            sent = unit.sent(self.laid and self.laid / str(number))
            content = sent.parcel.content if sent.parcel else b""
            self.sizes.append(len(content) if isinstance(content, bytes) else content.stat().st_size)
            ready.append(self.way(sent))
        yield from super().run(ready, folder)


def gathered(spec: str, root: Path, out: Path, engine: Stub, workers: Path, **more: object) -> tuple[str, list[str]]:
    """The table, and the reasons of what failed."""
    request = replace(Request(methods=("average", "gff"), datasets=(spec,), metrics=("en",), data_root=root), **more)
    plan = make_plan(request)
    with Store(out) as store:
        own = Gathering(
            request=request,
            plan=plan,
            store=store,
            place=place(workers),
            command="eval",
            threads=1,
            note=print,
            send=True,
        )
        outcome, _ = own.run(engine, [])
        source = plan.sources[0]
        keys = [entry.key for entry in plan.entries]
        failed = sorted(set(outcome.failures.values()))
        shown = "" if failed else markdown(build(store, source.board(), ["en@bits"], keys, ids=source.ids))
    return shown, failed


@pytest.fixture(scope="module")
def one(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    words = ("--methods=average,gff", "--metrics=en", "--datasets=msrs", "--data-root", root)
    return fusionbench("eval", *words, "--out", tmp_path_factory.mktemp("one")).stdout


@pytest.mark.parametrize("laid", [False, True])
def test_a_worker_without_data(root: Path, one: str, tmp_path: Path, laid: bool) -> None:
    """Only the pairs of a unit are sent, in it or in a file of this user alone."""
    (tmp_path / "jobs").mkdir()
    engine = Sending(laid=tmp_path / "jobs" if laid else None)
    shown, failed = gathered("msrs", root, tmp_path / "r", engine, tmp_path / "none")
    assert (shown.strip(), failed) == (one.strip(), [])
    whole = sum(file.stat().st_size for file in root.rglob("*.png"))
    assert len(engine.sizes) == 3
    assert max(engine.sizes) < whole / 2
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (tmp_path / "jobs").iterdir())


def test_a_worker_with_other_files(root: Path, one: str, tmp_path: Path) -> None:
    make_tree(tmp_path / "other", 18, (32, 44))
    shown, failed = gathered("msrs", root, tmp_path / "r", Sending(), tmp_path / "other")
    assert (shown.strip(), failed) == (one.strip(), [])


def test_a_worker_with_the_same_files_opens_none_that_were_sent(root: Path, one: str, tmp_path: Path) -> None:
    def spoilt(unit: Pairs) -> Pairs:
        assert unit.parcel
        return replace(unit, parcel=replace(unit.parcel, content=b"x"))

    shown, failed = gathered("msrs", root, tmp_path / "r", Sending(way=spoilt), root)
    assert (shown.strip(), failed) == (one.strip(), [])


def test_other_bytes_on_the_way(root: Path, tmp_path: Path) -> None:
    def other(unit: Pairs) -> Pairs:
        assert unit.parcel
        assert isinstance(unit.parcel.content, bytes)
        hashes = dict.fromkeys(unit.parcel.hashes, "0" * 64)
        return replace(unit, parcel=replace(unit.parcel, hashes=hashes))

    _, failed = gathered("msrs", root, tmp_path / "r", Sending(way=other), tmp_path / "none")
    assert failed
    assert all("6 of 6 pairs arrived as other files, e.g. " in line for line in failed)


def test_damaged_on_the_way(root: Path, tmp_path: Path) -> None:
    def cut(unit: Pairs) -> Pairs:
        assert unit.parcel
        assert isinstance(unit.parcel.content, bytes)
        return replace(unit, parcel=replace(unit.parcel, content=unit.parcel.content[:100]))

    _, failed = gathered("msrs", root, tmp_path / "r", Sending(way=cut), tmp_path / "none")
    assert failed
    assert all("cannot be unpacked" in line for line in failed)


def test_a_generated_tree_and_ones_own_list_and_a_folder(tmp_path: Path) -> None:
    """What names a dataset's table goes with its pairs."""
    synth("msrs", tmp_path / "data/MSRS", 0, 9, (32, 40), seed=0)
    ids = [path.stem for path in sorted((tmp_path / "data/MSRS/test/ir").iterdir())]
    (tmp_path / "mine.txt").write_text("\n".join(ids[2:]))
    own = tmp_path / "pairs of mine"
    for role, name in (("ir", "ir"), ("vi", "vis")):
        (own / name).mkdir(parents=True)
        for path in (tmp_path / "data/MSRS/test" / role).iterdir():
            (own / name / path.name).write_bytes(path.read_bytes())
    for number, (spec, more) in enumerate(
        [("msrs", {}), ("msrs", {"split": str(tmp_path / "mine.txt")}), ("msrs+shift4", {}), (f"folder={own}", {})]
    ):
        here, failed = gathered(spec, tmp_path / "data", tmp_path / f"a{number}", Stub(), tmp_path / "data", **more)
        assert failed == []
        away = Sending()
        there, failed = gathered(spec, tmp_path / "data", tmp_path / f"b{number}", away, tmp_path / "none", **more)
        assert (there, failed) == (here, [])
        assert min(away.sizes) > 0


def test_a_parcel_is_bounded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionbench.cluster.gathering.ENOUGH", 8000)
    engine = Sending()
    gathered("msrs", root, tmp_path / "r", engine, tmp_path / "none")
    assert len(engine.sizes) > 3
    monkeypatch.setattr(parcels, "LARGEST", 100)
    source = make_plan(Request(methods=("average",), datasets=("msrs",), data_root=root)).sources[0]
    with pytest.raises(Exception, match=r"data cannot be sent: .* over the limit of 100"):
        parcels.parcel_of(source, source.ids, {}, None).filled()
