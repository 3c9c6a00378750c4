"""Results of other devices, versions and processors: kept apart, or kept and marked, and computed again when asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fusionbench
from fusionbench.api import Result
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation import task_training
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.picture_folders import from_folder
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.runner import run
from fusionbench.evaluation.task_training import Trained, restore, train, trained_by
from fusionbench.report.tables import build
from fusionbench.results import provenance
from fusionbench.results.merge import merge
from fusionbench.results.provenance import made_by, made_here
from fusionbench.results.records import Made, Run
from fusionbench.results.schema import VERSION, FusedRow
from fusionbench.results.store import Store
from fusionbench.runtime.device import computing
from fusionbench.training.request import TrainRequest
from tests.faults.stores import a_run, store_of_version_3

# ---------------------------------------------------------------- stores of version 3

A = Made(libraries={"torch": "2.0"}, processor="Processor A")
CARD = a_run(device="cuda:0", gpu="Card")


@pytest.mark.parametrize(
    ("runs", "made"),
    [
        ([a_run()], A),
        ([a_run(), a_run(), a_run(torch="2.1", fused=0)], A),  # the last one computed nothing
        ([CARD], Made(libraries={"torch": "2.0"}, processor="Card")),
        ([a_run(), a_run(torch="2.1")], Made()),
        ([a_run(), a_run(cpu="Processor B")], Made()),
        ([a_run(), CARD], Made()),
        ([], Made()),
        ([a_run(), "{}"], Made()),
        (["no JSON"], Made()),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_what_older_rows_were_made_by(tmp_path: Path, runs: list[Run | str], made: Made, create: bool) -> None:
    """Known where every run was one machine's; pictures and scores stay what they are."""
    path = store_of_version_3(tmp_path, *runs)
    before = path.read_bytes()
    with Store(tmp_path, create=create) as store:
        assert store.makers() == {made.id: made}
        assert store.rows(FusedRow) == [("g", "d", "test", "a", "p", "i", "fused/gff-1/d-test/a.png", made.id)]
        assert store.score_rows() == [("i", "p", "en@bits", "c", 1.0, made.id)]
        assert store.scores({"en@bits": "c"}) == {("i", "p", "en@bits"): 1.0}
        assert store.entries("released")["g"].device == "cpu"
        assert store.entries("released")["g"].precision == "float32"
        ((_, result),) = store.tasks("d", "test")
        with_tasks = Made(libraries={**made.libraries, "mmdet": "3.3"}, processor=made.processor)
        assert result.made == (with_tasks if made != Made() else Made())
    if not create:
        assert path.read_bytes() == before
        return
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_merging_carries_who_made_what(tmp_path: Path) -> None:
    for number in (0, 1):
        store_of_version_3(tmp_path / str(number), a_run(torch=f"2.{number}"))
        with closing(sqlite3.connect(tmp_path / str(number) / "results.db")) as db, db:
            db.execute(
                "UPDATE fused SET id=?, image=?, path=?", (f"a{number}", f"i{number}", f"fused/g/d/{number}.png")
            )
            db.execute("UPDATE scores SET image=?", (f"i{number}",))
    with Store(tmp_path / "m") as store:
        merge(store, [tmp_path / "0", tmp_path / "1"])
        makers = store.makers()
        assert {row.image: str(makers[row.made]) for row in store.score_rows()} == {
            "i0": "torch 2.0 on Processor A",
            "i1": "torch 2.1 on Processor A",
        }


# ---------------------------------------------------------------- devices


def test_keys_of_devices(tmp_path: Path) -> None:
    """One of a processor is what it was before keys told the device; others differ by kind and arithmetic."""
    (entry,), _ = entries("gff")
    on_cpu, on_card = entry.on("cpu"), entry.on("cuda:1")
    assert on_cpu.key == entry.key
    assert on_card.key == entry.on("cuda").key
    assert (on_card.device, on_card.precision) == ("cuda", "float32")  # whatever torch is set to
    coarse = replace(on_card, precision="tf32")
    assert len({entry.key, on_card.key, coarse.key, entry.on("mps").key}) == 4
    assert len({entry.folder, on_card.folder, coarse.folder}) == 3
    images = from_folder(f"Mine={tmp_path}")
    assert images.on("cuda").key == images.key  # finished pictures


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def coarse_torch() -> Iterator[None]:
    """TF32 is on everywhere."""
    before = switches()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("coarse_torch")
def test_arithmetic_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 means float32 where pictures are made, and torch is left as it was."""
    (entry,), _ = entries("average")
    assert entry.on("cuda").precision == "float32"
    method, seen = entry.build("cpu"), []
    real = method.fuse
    monkeypatch.setattr(method, "fuse", lambda *a, **k: (seen.append(switches()), real(*a, **k))[1])
    image = np.zeros((3, 8, 8), np.uint8)
    fuse_pair(method, entry.output_rule(), image[:1], image)
    assert seen == [(False, False)]
    assert switches() == (True, True)


@pytest.mark.usefixtures("coarse_torch")
def test_one_thread_does_not_put_tf32_back_for_another() -> None:
    first, second = computing(), computing()
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert not torch.backends.cudnn.allow_tf32
    second.__exit__()
    assert torch.backends.cudnn.allow_tf32
    with computing(tf32=True):
        assert switches() == (True, True)


def plan_of(tree: Path, device: str) -> Plan:
    """A plan whose entries are of a device; what computes it is the processor."""
    request = Request(methods=("average",), datasets=("msrs",), metrics=("en",), data_root=tree)
    plan = make_plan(request)
    return replace(plan, entries=tuple(entry.on(device) for entry in plan.entries))


def test_pictures_of_a_card_never_pass_for_those_of_a_processor(tree: Path, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        first, second = plan_of(tree, "cuda"), plan_of(tree, "cpu")
        assert run(first, store).fused == 4
        (source,) = first.sources
        notes = build(store, source.board(), ["en@bits"], ids=source.ids).notes
        assert "average: pictures made on cuda in float32." in notes
        assert run(second, store).fused == 4
        assert run(first, store).cached == 4  # both are kept
        assert run(second, store).cached == 4
        assert len({row.path for row in store.rows(FusedRow)}) == 8
        table = build(store, source.board(), ["en@bits"], ids=source.ids)  # the latest
        assert not any("made on" in note for note in table.notes)
        assert {entry.device for entry in store.entries("released").values()} == {"cpu"}


# ---------------------------------------------------------------- versions and processors


def evaluate(tree: Path, out: Path, *metrics: str, fresh: bool = False) -> Result:
    return fusionbench.evaluate(["average"], ["msrs"], metrics, data_root=tree, out=out, fresh_versions=fresh)


def marks(result: Result) -> list[str]:
    return [note for note in result.tables[0].notes if "made with" in note]


def numbers(result: Result) -> tuple[int, int, int]:
    return result.outcome.fused, result.outcome.cached, result.outcome.scored


@pytest.mark.parametrize("what", ["torch", "processor"])
def test_kept_marked_and_computed_again(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    versions, processor = provenance.libraries(), provenance.cpu()
    with monkeypatch.context() as past:
        if what == "torch":
            past.setattr(provenance, "libraries", lambda: {**versions, "torch": "1.0"})
        else:
            past.setattr(provenance, "cpu", lambda: "Another processor")
        old = evaluate(tree, tmp_path, "en")
        then = str(made_here("cpu"))
    assert marks(old) == []
    now = f"torch {versions['torch']} on {processor}"
    assert then != now
    kept = evaluate(tree, tmp_path, "en", "sf")
    assert numbers(kept) == (0, 4, 4)  # SF only
    assert marks(kept) == [
        f"average: made with {then} (the latest run: {now}); `fusionbench eval --fresh-versions` computes them again."
    ]
    fresh = evaluate(tree, tmp_path, "en", "sf", fresh=True)
    assert numbers(fresh) == (4, 0, 4)  # exactly the pictures and EN
    assert marks(fresh) == []
    assert fresh.tables[0].rows[0].mean("en@bits") == old.tables[0].rows[0].mean("en@bits")
    assert numbers(evaluate(tree, tmp_path, "en", "sf", fresh=True)) == (0, 4, 0)


def test_other_libraries_make_no_mark(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fusion metric does not use may change: mmdet, or a package that is gone."""
    versions = provenance.libraries()
    with monkeypatch.context() as past:
        past.setattr(provenance, "libraries", lambda: {**versions, "mmdet": "0.1"})
        evaluate(tree, tmp_path, "en")
    assert marks(evaluate(tree, tmp_path, "en")) == []
    assert numbers(evaluate(tree, tmp_path, "en", fresh=True)) == (0, 4, 0)


def test_scores_of_another_maker_over_pictures_of_today(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(tree, tmp_path, "sf")
    with monkeypatch.context() as past:
        past.setattr(provenance, "cpu", lambda: "Another processor")
        evaluate(tree, tmp_path, "en")
    assert len(marks(evaluate(tree, tmp_path, "en"))) == 1
    assert marks(evaluate(tree, tmp_path, "sf")) == []
    assert numbers(evaluate(tree, tmp_path, "en", fresh=True)) == (0, 4, 4)


def test_what_older_results_do_not_tell_is_computed_again(tree: Path, tmp_path: Path) -> None:
    evaluate(tree, tmp_path, "en")
    with closing(sqlite3.connect(tmp_path / "results.db")) as db, db:
        db.execute("INSERT INTO makers VALUES(0,'{}')")
        db.execute("UPDATE fused SET made=0")
    (mark,) = marks(evaluate(tree, tmp_path, "en"))
    assert "made with versions that are not recorded" in mark
    assert numbers(evaluate(tree, tmp_path, "en", fresh=True)) == (4, 0, 0)


@pytest.mark.parametrize("number", [0, 7])
def test_a_maker_under_another_number_is_damage(tree: Path, tmp_path: Path, number: int) -> None:
    other = tmp_path / "other"
    evaluate(tree, other, "en")
    with closing(sqlite3.connect(other / "results.db")) as db, db:
        db.execute(f"UPDATE makers SET id={number}")
    with Store(tmp_path / "m") as store, pytest.raises(FusionbenchError, match="contradict each other"):
        merge(store, [other])


def test_a_run_says_what_made_it() -> None:
    assert made_by(a_run(), tasks=True).libraries == {"torch": "2.0", "mmdet": "3.3"}
    assert made_by(CARD).processor == "Card"
    assert Made().id == 0
    assert 0 < A.id < 1 << 48


# ---------------------------------------------------------------- networks that are trained again


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A finished network of other code."""
    folder = tmp_path / "tasks" / "net"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"finished")
    (folder / "trained.json").write_text('{"code": "earlier"}')
    return folder


def training(monkeypatch: pytest.MonkeyPatch, ends: BaseException | None, folder: Path) -> list[bool]:
    """Let a training run write something and end so; what was there when each began."""
    begun = []

    def run(*_: object) -> None:
        begun.append((folder / "checkpoint").exists())
        (folder / "checkpoint").write_bytes(b"half")
        if ends:
            raise ends
        (folder / "weights.safetensors").write_bytes(b"new")

    monkeypatch.setattr(task_training, "run", run)
    return begun


TODAY = Trained(code="today", made=A)


def request_in(folder: Path) -> TrainRequest:
    return TrainRequest(name="ctdnet-tiny", datasets=("msrs",), folder=folder)


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), FusionbenchError("disk full"), OSError(28, "full")])
def test_a_network_is_not_lost_where_training_it_again_fails(
    network: Path, monkeypatch: pytest.MonkeyPatch, ends: BaseException
) -> None:
    training(monkeypatch, ends, network)
    with pytest.raises((KeyboardInterrupt, FusionbenchError)):
        train(request_in(network), {}, TODAY, again=True)
    assert (network / "weights.safetensors").read_bytes() == b"finished"
    assert trained_by(network).code == "earlier"
    assert [p.name for p in network.parent.iterdir()] == ["net"]


def test_a_network_that_is_trained_again(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = training(monkeypatch, None, network)
    train(request_in(network), {}, TODAY, again=False)
    assert begun == []
    train(request_in(network), {}, TODAY, again=True)
    assert (network / "weights.safetensors").read_bytes() == b"new"
    assert trained_by(network) == TODAY
    assert [p.name for p in network.parent.iterdir()] == ["net"]


def test_a_killed_run_leaves_the_network(network: Path) -> None:
    """Killed while it was trained again: the next run has the finished one."""
    earlier = network.with_name(".net.earlier")
    network.rename(earlier)
    network.mkdir()
    (network / "checkpoint").write_bytes(b"half")
    restore(network)
    assert sorted(p.name for p in network.iterdir()) == ["trained.json", "weights.safetensors"]
    assert not earlier.exists()


@pytest.mark.parametrize(("code", "kept"), [("today", True), ("earlier", False), ("", False)])
def test_an_unfinished_run_goes_on_under_the_same_code_only(
    network: Path, monkeypatch: pytest.MonkeyPatch, code: str, kept: bool
) -> None:
    (network / "weights.safetensors").unlink()
    (network / "checkpoint").write_bytes(b"half")
    (network / "trained.json").write_text(f'{{"code": "{code}"}}')
    begun = training(monkeypatch, None, network)
    train(request_in(network), {}, TODAY, again=False)
    assert begun == [kept]
    assert trained_by(network) == TODAY
