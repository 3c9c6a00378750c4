"""Units of an evaluation: the same bytes as one run, whatever workers do; each failure is a row with its reason."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench import environment
from fusionbench import evaluate as fusionbench_evaluate
from fusionbench.cli import spread_options
from fusionbench.cluster import trying
from fusionbench.cluster.engines import ClusterGone, Ended, attempt
from fusionbench.cluster.gathering import Gathering, keep_networks
from fusionbench.cluster.trying import do_all
from fusionbench.cluster.units import Pairs, place
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.outcome import Outcome
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.plugins.weights import sha256
from fusionbench.report.formats import markdown
from fusionbench.report.tables import build
from fusionbench.results.store import Store
from tests.cluster.stub import Stub
from tests.conftest import fusionbench, make_tree
from tests.harness.test_eval_tasks import BASE, OPTIONS

METHODS = ("average", "gff", "visible")
METRICS = ("en", "scd")


@pytest.fixture(scope="module")
def one(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of one run."""
    out = tmp_path_factory.mktemp("one")
    words = ("--methods=" + ",".join(METHODS), "--metrics=" + ",".join(METRICS), "--datasets=msrs", "--jobs=1")
    done = fusionbench("eval", *words, "--data-root", root, "--out", out)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Gathered:
    """What came of a run in units."""

    outcome: Outcome
    notes: list[str]
    table: str


def gathered(root: Path, out: Path, engine: Stub, methods: Sequence[str] = METHODS, **more: object) -> Gathered:
    request = replace(Request(methods=tuple(methods), datasets=("msrs",), metrics=METRICS, data_root=root), **more)
    plan, notes = make_plan(request), []
    with Store(out) as store:
        own = Gathering(
            request=request, plan=plan, store=store, place=place(root), command="eval", threads=1, note=notes.append
        )
        outcome, problems = own.run(engine, [])
        assert problems.failures == []
        source = plan.sources[0]
        columns = [metric.id for metric in source.metrics]
        table = markdown(build(store, source.board(), columns, [e.key for e in plan.entries], ids=source.ids))
    assert not list(out.glob(".units-*"))
    return Gathered(outcome, notes, table)


def test_the_same_bytes(root: Path, one: str, tmp_path: Path) -> None:
    engine = Stub()
    found = gathered(root, tmp_path, engine)
    assert found.table.strip() == one.strip()
    assert (found.outcome.fused, found.outcome.scored, found.notes) == (54, 108, [])
    assert len(engine.given) == 3
    assert found.outcome.undefined  # SCD of a source, as a run in one process tells
    assert len(list((tmp_path / "fused").rglob("*.png"))) == 54


def test_what_is_there_is_not_given_out(root: Path, one: str, tmp_path: Path) -> None:
    gathered(root, tmp_path, Stub(), methods=("average", "visible"))
    engine = Stub()
    found = gathered(root, tmp_path, engine)
    assert [unit.keys.values() for unit in engine.given if isinstance(unit, Pairs)]
    assert {name for unit in engine.given for name in unit.keys.values()} == {"gff"}
    assert found.table.strip() == one.strip()
    last = Stub()
    assert gathered(root, tmp_path, last).outcome.cached == 54
    assert last.given == []


def test_a_worker_that_dies_once(root: Path, one: str, tmp_path: Path) -> None:
    deaths: list[int] = []

    def trouble(number: int, unit: Pairs) -> Ended | None:
        if len(deaths) < 2:
            deaths.append(number)
            return Ended(number, "its worker died", died=True)
        return None

    found = gathered(root, tmp_path, Stub(trouble))
    assert found.table.strip() == one.strip()
    assert len(found.notes) == 2
    assert all(line.endswith("its worker died; it is tried again") for line in found.notes)
    assert not found.outcome.failures


def test_an_entry_that_kills_its_worker_takes_nothing_else_with_it(root: Path, tmp_path: Path) -> None:
    def trouble(number: int, unit: Pairs) -> Ended | None:
        return Ended(number, "signal 11", died=True) if "gff" in unit.keys.values() else None

    found = gathered(root, tmp_path, Stub(trouble))
    assert {(entry, why) for (entry, _, _), why in found.outcome.failures.items()} == {
        ("gff", "not done by a worker: signal 11")
    }
    assert len(found.outcome.failures) == 18
    assert "No row for gff: 18 images failed, e.g. not done by a worker: signal 11" in found.table
    assert "| average |" in found.table
    assert not gathered(root, tmp_path, Stub()).outcome.failures  # the next run does what failed


def test_a_unit_that_fails_is_a_row_with_its_reason(root: Path, tmp_path: Path) -> None:
    found = gathered(root, tmp_path, Stub(lambda number, unit: Ended(number, "no disk") if number == 1 else None))
    assert set(found.outcome.failures.values()) == {"not done by a worker: no disk"}
    assert len({image for _, _, image in found.outcome.failures}) == 6
    assert "12 of 361 pairs" in found.table


def test_a_cluster_that_disappears(root: Path, one: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(number: int, unit: Pairs) -> Ended | None:
        if number == 1:
            raise ClusterGone("the cluster is gone")
        return None

    monkeypatch.setattr(trying, "Processes", lambda devices: Stub())
    found = gathered(root, tmp_path, Stub(trouble))
    assert found.table.strip() == one.strip()
    assert found.notes == ["warning: the cluster is gone; 2 units are done on this machine alone"]


def test_a_worker_with_other_data(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads its own data folder; its pairs must be ours."""
    make_tree(tmp_path / "data", 18, (32, 40))
    theirs = make_plan(Request(methods=METHODS, datasets=("msrs",), data_root=tmp_path / "data")).sources[0]
    other, gone = theirs.ids[:2]  # of two units
    Image.fromarray(np.zeros((32, 40), np.uint8)).save(theirs.dataset.files("test", other).ir)
    theirs.dataset.files("test", gone).ir.unlink()

    def worker(number: int, unit: Pairs) -> Ended | None:
        monkeypatch.setenv("FUSIONBENCH_DATA", str(tmp_path / "data"))
        return None

    monkeypatch.setenv("FUSIONBENCH_DATA", str(root))
    environment.apply()
    plan_request = Request(methods=METHODS, datasets=("msrs",), metrics=METRICS)
    plan, notes = make_plan(plan_request), []
    with Store(tmp_path / "r") as store:
        own = Gathering(
            request=plan_request, plan=plan, store=store, place=place(None), command="", threads=1, note=notes.append
        )
        outcome, _ = own.run(Stub(worker), [])
    reasons = set(outcome.failures.values())
    assert reasons == {
        f"not done by a worker: 1 of 6 pairs are other files there, e.g. {other}",
        f"not done by a worker: 1 of 6 pairs are not there, e.g. {gone}",
    }
    good = set(plan.sources[0].ids) - {image for _, _, image in outcome.failures}
    with Store(tmp_path / "r") as store:
        for entry in plan.entries:
            assert set(store.fused(entry.key, "msrs", "test", own.hashes["msrs"])) == good


def test_a_worker_without_the_data(root: Path, tmp_path: Path) -> None:
    def trouble(number: int, unit: Pairs) -> Ended:
        elsewhere = replace(unit, place=replace(unit.place, data=tmp_path / "nowhere"))
        return Ended(number, attempt(elsewhere, tmp_path / f"unit{number}"))

    (tmp_path / "r").mkdir()
    with pytest.raises(FusionbenchError, match=r"not done by a worker: msrs: not found under .*nowhere"):
        gathered(root, tmp_path / "r", Stub(trouble))


def test_a_worker_with_other_code_or_weights(root: Path, tmp_path: Path) -> None:
    unit = Pairs(
        name="u",
        place=place(root),
        device="cpu",
        command="",
        request=Request(methods=("average",), datasets=("msrs",), metrics=METRICS),
        source="msrs",
        keys={"0" * 64: "average"},
        ids=("00004N",),
    )
    assert attempt(unit, tmp_path / "u") == "average: not here with the same code, weights and options"


def test_pictures_of_other_programs_stay_where_they_lie(root: Path, tmp_path: Path) -> None:
    images = tmp_path / "mine"
    images.mkdir()
    for path in sorted((root / "MSRS/test/vi").iterdir()):
        (images / path.name).write_bytes(path.read_bytes())
    engine = Stub()
    found = gathered(root, tmp_path / "r", engine, methods=("average",), images=(f"Mine={images}",))
    assert {name for unit in engine.given for name in unit.keys.values()} == {"average"}
    assert "| images[Mine] |" in found.table
    assert not found.outcome.failures


def test_what_a_worker_says_is_checked(root: Path, tmp_path: Path) -> None:
    def trouble(number: int, unit: Pairs) -> Ended:
        folder = next((tmp_path / "r").glob(".units-*")) / str(number)
        reason = attempt(unit, folder)
        (folder / "said.json").write_text(json.dumps({"fused": "many"}))
        return Ended(number, reason)

    with pytest.raises(FusionbenchError, match="what the worker said cannot be read"):
        gathered(root, tmp_path / "r", Stub(trouble))


def spoiled(out: Path, statement: str, only: str) -> Stub:
    """An engine whose workers change their store before they return it."""

    def trouble(number: int, unit: Pairs) -> Ended:
        folder = next(out.glob(".units-*")) / str(number)
        reason = attempt(unit, folder)
        with closing(sqlite3.connect(folder / "results.db")) as db, db:
            assert db.execute(statement, {"only": only}).rowcount > 0
        return Ended(number, reason)

    return Stub(trouble)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fused SET entry='of another' WHERE id=:only",
        "UPDATE pairs SET dataset='m3fd' WHERE id=:only",
        "INSERT INTO failures VALUES('of another', 'msrs', 'test', :only, 'why')",
        "INSERT INTO task_gaps VALUES('m3fd', 'test', 'segmentation', :only)",
    ],
)
def test_results_of_other_work_are_refused(root: Path, tmp_path: Path, statement: str) -> None:
    first = make_plan(Request(methods=("average",), datasets=("msrs",), data_root=root)).sources[0].ids
    statement = statement.replace("WHERE id=:only", "WHERE 1 OR :only")  # of each unit
    with pytest.raises(FusionbenchError, match="not done by a worker: the worker returned results of other work"):
        gathered(root, tmp_path, spoiled(tmp_path, statement, first[0]), methods=("average",))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pairs VALUES('msrs', 'test', :last, :hash)",
        "INSERT INTO fused SELECT entry, dataset, split, :last, pair, image, path, made FROM fused LIMIT 1",
        "UPDATE fused SET pair=:hash",
        "INSERT INTO scores SELECT :hash, pair, packed FROM scores LIMIT 1",
        "UPDATE variants SET code='another'",
        "INSERT INTO failures SELECT entry, dataset, split, :last, 'why' FROM fused LIMIT 1",
        "INSERT INTO task_gaps VALUES('msrs', 'test', 'segmentation', 'why')",
    ],
)
def test_more_than_was_asked_for_is_refused(root: Path, tmp_path: Path, statement: str) -> None:
    """Of its own dataset and entry: another unit's pair or picture, scores of pictures that it has not made."""
    source = make_plan(Request(methods=("average",), datasets=("msrs",), data_root=root)).sources[0]
    last = source.ids[-1]  # of the last unit alone

    def trouble(number: int, unit: Pairs) -> Ended | None:
        if last in unit.ids:
            return None
        folder = next(tmp_path.glob(".units-*")) / str(number)
        reason = attempt(unit, folder)
        with closing(sqlite3.connect(folder / "results.db")) as db, db:
            hash_ = source.dataset.hash("test", last)
            assert db.execute(statement, {"last": last, "hash": hash_}).rowcount > 0
        return Ended(number, reason)

    found = gathered(root, tmp_path, Stub(trouble), methods=("average",))
    assert set(found.outcome.failures.values()) == {
        "not done by a worker: the worker returned more than it was asked for"
    }
    assert {image for _, _, image in found.outcome.failures} == {i for i in source.ids if i not in source.ids[2::3]}


def test_a_store_without_a_board_is_no_error_of_ours(root: Path, one: str, tmp_path: Path) -> None:
    found = gathered(root, tmp_path, spoiled(tmp_path, "DELETE FROM boards WHERE :only = :only", "x"))
    assert found.table.strip() == one.strip()


def test_only_networks_are_taken_of_a_workers_networks(tmp_path: Path) -> None:
    own = tmp_path / "unit/tasks"
    for name in ("good", ".waiting.earlier", "half", "linked"):
        (own / name).mkdir(parents=True)
        (own / name / "trained.json").write_text("{}")
    for name in ("good", ".waiting.earlier"):
        (own / name / "weights.safetensors").write_text("w")
        (own / name / "more.pt").write_text("a pickle")
    (own / "linked/weights.safetensors").symlink_to("/etc/passwd")
    keep_networks(tmp_path / "unit", tmp_path / "r")
    kept = {path.relative_to(tmp_path / "r/tasks").as_posix() for path in (tmp_path / "r/tasks").rglob("*.*")}
    assert kept == {"good/trained.json", "good/weights.safetensors"}


@pytest.mark.slow
@pytest.mark.usefixtures("mm")
def test_task_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network is a unit; results, tables and networks are those of one machine."""
    synth("m3fd", tmp_path / "m3fd", 8, 4, (64, 96), seed=0)
    words = [*BASE, "--task-options", OPTIONS, "--datasets", f"m3fd={tmp_path / 'm3fd'}"]
    assert fusionbench("eval", *words, "--out", tmp_path / "one").returncode == 0
    engine = Stub()
    monkeypatch.setattr(spread_options, "engine_of", lambda *words: engine)
    for count in (1 + 6, 2 * 6 + 1):  # pairs, and networks by entry and seed; then those alone, which find it all done
        done = fusionbench("eval", *words, "--out", tmp_path / "r", "--cluster", "local")
        assert done.returncode == 0, done.stderr
        assert len(engine.given) == count
    pages = [path for path in (tmp_path / "one/tables").iterdir() if "provenance" not in path.name]
    assert len(pages) > 4
    for path in pages:
        assert (tmp_path / "r/tables" / path.name).read_bytes() == path.read_bytes()
    networks = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one/tasks").glob("*/weights.safetensors")]
    assert len(networks) == 4
    assert all(sha256(tmp_path / "r" / path) == sha256(tmp_path / "one" / path) for path in networks)
    engine.trouble = lambda number, unit: Ended(number, "no disk") if "average" in unit.keys.values() else None
    done = fusionbench("eval", *words, "--out", tmp_path / "s", "--cluster", "local")
    assert done.returncode != 0
    assert "error: detection, scenes-m3fd test" in done.stderr
    assert "no disk" in done.stderr


def test_folders_of_a_killed_run_go_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    """However long it waits in a queue."""
    out = tmp_path / "r"
    dead, living = (out / f".units-{name}" for name in ("dead", "living"))
    for folder in (dead, living):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    held = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        do_all(Stub(), [], out, lambda *_: None, print, ["cpu"])
    finally:
        os.close(held)
    assert [path for path in (dead, living) if path.is_dir()] == [living]


def test_in_python(root: Path, one: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`evaluate(cluster=...)` gives the same table, with pictures where they are asked to be kept."""
    engine, asked = Stub(), []

    def engine_of(*words: object) -> Stub:
        asked.append(words)
        return engine

    monkeypatch.setattr("fusionbench.api.engine_of", engine_of)
    words = {"methods": METHODS, "datasets": ["msrs"], "metrics": METRICS, "data_root": root, "out": tmp_path / "r"}
    result = fusionbench_evaluate(**words, cluster=("slurm", "executor=local"), pictures_at=str(tmp_path / "kept"))
    assert str(result).strip() == one.strip()
    assert asked == [("slurm", ["executor=local"], "cpu", 1)]
    assert len(engine.given) == 3
    assert (len(list((tmp_path / "kept").rglob("*.png"))), list((tmp_path / "r").rglob("*.png"))) == (54, [])
    with pytest.raises(FusionbenchError, match="fresh_versions=True: on this machine alone"):
        fusionbench_evaluate(**words, cluster="local", fresh_versions=True)
    with pytest.raises(FusionbenchError, match=r"r: its pictures are kept at .*kept; give pictures_at="):
        fusionbench_evaluate(**words)
