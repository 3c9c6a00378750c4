"""`eval --tasks`: networks retrained per entry or frozen, their columns and pages, kept work, and what cannot be."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from fusionbench.data.synth import synth
from fusionbench.plugins.weights import sha256
from fusionbench.results.provenance import made_here
from fusionbench.results.records import TaskResult
from fusionbench.results.store import Store
from tests.conftest import fusionbench
from tests.harness.test_eval import tables

TINY = ("--task-size", "tiny", "--seeds", "2", "--jobs", "1")
BASE = ("--methods", "visible,average", "--metrics", "en", "--tasks", "detection")
BASE += ("--task-networks", "yolov8-tiny", *TINY)
OPTIONS = "limit=8,train.epochs=1,resize=[64,96]"
RECIPE = "tiny+limit=8+train.epochs=1+resize=[64,96]"
PAGES = (".detection", ".segmentation")  # of a task, beside the table
COLUMNS = [f"detection/yolov8-tiny/{p}/{RECIPE}/{s}@coco" for p in ("frozen", "retrained") for s in ("ap50", "ap")]


pytestmark = pytest.mark.usefixtures("mm")


def command(name: str, tree: Path, out: Path, *more: object) -> list[str]:
    words = ["eval", *BASE, "--task-options", OPTIONS, "--datasets", f"{name}={tree}", "--out", str(out)]
    return [*words, *map(str, more)]


def ask(*words: str) -> tuple[int, str]:
    """Run a command line; exit code and stderr."""
    done = fusionbench(*words)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def m3fd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "m3fd"
    synth("m3fd", tree, 8, 4, (64, 96), seed=0)
    return tree


@pytest.fixture(scope="module")
def calm(m3fd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a whole run; not to be changed by a test, except by asking for the same again."""
    out = tmp_path_factory.mktemp("calm")
    code, err = ask(*command("m3fd", m3fd, out))
    assert code == 0, err
    return out


def text(out: Path, suffix: str) -> str:
    (path,) = (p for p in (out / "tables").glob(f"*.{suffix}") if p.suffixes[-2] not in PAGES)
    return path.read_text()


def rows(out: Path) -> list[tuple[str, TaskResult]]:
    with Store(out, create=False) as store:
        board = store.boards()[0]
        return store.tasks(board.dataset, board.split)


def order(found: list[tuple[str, TaskResult]]) -> list[tuple[str, TaskResult]]:
    return sorted(found, key=lambda row: (row[0], row[1].protocol, row[1].seed))


def copied(calm: Path, target: Path) -> Path:
    """The results of a whole run, to be changed."""
    shutil.copytree(calm, target / "r")
    return target / "r"


def runs(out: Path) -> dict[str, int]:
    """Training runs that are finished, and when."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (out / "tasks").glob("*/weights.safetensors")}


# ---------------------------------------------------------------- tables


def test_columns(calm: Path) -> None:
    for suffix in ("md", "tex"):
        head = text(calm, suffix).replace("\\", "")
        for title in ("mAP50@coco yolov8-tiny retrained", "mAP50@coco yolov8-tiny frozen"):
            assert title in head, suffix
    (table,) = (p for p in (calm / "tables").glob("*.json") if "provenance" not in p.name)
    facts = json.loads(table.read_text())
    for row in facts["rows"]:
        assert sorted(row["tasks"]) == sorted(COLUMNS)
        assert all(len(values) == 2 for values in row["tasks"].values())
    with next((calm / "tables").glob("*.csv")).open() as file:
        head = next(csv.reader(file))
    assert sum("yolov8-tiny" in name for name in head) >= len(COLUMNS)


def test_facts_of_results(calm: Path, m3fd: Path) -> None:
    found = rows(calm)
    assert len(found) == 2 * 2 * 2  # entries, protocols, seeds
    for _, result in found:
        assert result.images == 4
        assert result.recipe == RECIPE
        assert result.trained_on.endswith("pictures of scenes-m3fd train")
    frozen = {result.trained_on for _, result in found if result.protocol == "frozen"}
    assert frozen == {"visible pictures of scenes-m3fd train"}
    retrained = {result.trained_on.split()[0] for _, result in found if result.protocol == "retrained"}
    assert retrained == {"visible", "average"}


def test_protocols_share_a_run(calm: Path) -> None:
    """`visible`'s own network is the frozen one: with two entries and two seeds, four runs and no more."""
    assert sorted(n.split("-seed")[0] for n in runs(calm)) == (
        ["yolov8-tiny-scenes-m3fd-average"] * 2 + ["yolov8-tiny-scenes-m3fd-visible"] * 2
    )
    of = {(k, r.protocol, r.seed): (r.scores, r.trained_on[:7]) for k, r in rows(calm)}
    for (key, protocol, seed), (scores, on) in of.items():
        if protocol == "retrained" and on == "visible":
            assert of[key, "frozen", seed][0] == scores


def test_conditions_add_up(calm: Path) -> None:
    """Two of four pictures are taken by night; the objects of day and night are those of all."""
    for _, result in rows(calm):
        facts = result.facts
        assert set(facts) == set(result.scores) == {"all", "day", "night"}
        for name, count in facts["all"]["objects"].items():
            assert facts["day"]["objects"][name] + facts["night"]["objects"][name] == count
    page = next((calm / "tables").glob("*.detection.md")).read_text()
    assert "| Entry | ap50@coco all | ap50@coco day | ap50@coco night |" in page
    assert f"## yolov8-tiny, retrained, recipe {RECIPE}" in page
    assert "| People |" in page


def test_a_second_run_trains_nothing(calm: Path, m3fd: Path) -> None:
    before, made = tables(calm), runs(calm)
    provenance = next((calm / "tables").glob("*.provenance.json")).read_bytes()
    code, err = ask(*command("m3fd", m3fd, calm))
    assert code == 0, err
    assert runs(calm) == made
    assert tables(calm) == before
    assert next((calm / "tables").glob("*.provenance.json")).read_bytes() == provenance


def test_networks_of_earlier_code_stay_in_use(calm: Path, m3fd: Path, tmp_path: Path) -> None:
    """The code that trained a network is recorded; it is said where it is another now, and nothing is trained."""
    out = copied(calm, tmp_path)
    before, shown = runs(out), tables(out)
    record = sorted((out / "tasks").glob("*/trained.json"))[0]
    record.write_text(json.dumps({**json.loads(record.read_text()), "code": "earlier"}))
    code, err = ask(*command("m3fd", m3fd, out))
    assert code == 0, err
    assert "detection on scenes-m3fd: 1 of its networks were trained by other code than today's and stay in use" in err
    assert "--fresh-versions trains them again" in err
    assert runs(out) == before
    assert tables(out) == shown


@pytest.mark.slow
def test_scores_hang_on_the_network_and_on_the_code_that_scores(calm: Path, m3fd: Path, tmp_path: Path) -> None:
    """Other scoring code scores anew and trains nothing; so does another network in the place of one."""
    out = copied(calm, tmp_path)
    before, shown, scored = runs(out), tables(out), rows(out)
    with closing(sqlite3.connect(out / "results.db")) as db, db:
        for number, info in db.execute("SELECT rowid, info FROM tasks").fetchall():
            facts = {**json.loads(info), "code": "earlier", "scores": {"all": {"ap50@coco": 0.987}}}
            db.execute("UPDATE tasks SET code='earlier', info=? WHERE rowid=?", (json.dumps(facts), number))
    code, err = ask(*command("m3fd", m3fd, out))
    assert code == 0, err
    assert runs(out) == before
    assert tables(out) == shown
    first, second = sorted((out / "tasks").glob("*/weights.safetensors"))[:2]
    first.write_bytes(second.read_bytes())
    code, err = ask(*command("m3fd", m3fd, out))
    assert code == 0, err
    changed = [
        b.weights for (_, a), (_, b) in zip(order(scored), order(rows(out)), strict=True) if a.weights != b.weights
    ]
    assert changed
    assert set(changed) == {sha256(first)}


@pytest.mark.slow
def test_fresh_versions_trains_what_others_have_trained(calm: Path, m3fd: Path, tmp_path: Path) -> None:
    out = copied(calm, tmp_path)
    before, shown = runs(out), tables(out)
    record = sorted((out / "tasks").glob("*/trained.json"))[0]
    facts = json.loads(record.read_text())
    assert facts["made"] == made_here("cpu", tasks=True).plain()
    facts["made"]["libraries"]["torch"] = "1.0"
    record.write_text(json.dumps(facts))
    with closing(sqlite3.connect(out / "results.db")) as db, db:
        for number, info in db.execute("SELECT rowid, info FROM tasks").fetchall():
            stored = json.loads(info)
            if stored["weights"] == sha256(record.with_name("weights.safetensors")):
                stored["trained_with"] = facts["made"]
                db.execute("UPDATE tasks SET info=? WHERE rowid=?", (json.dumps(stored), number))
    code, err = ask(*command("m3fd", m3fd, out))
    assert code == 0, err
    assert runs(out) == before
    assert "trained with" in text(out, "md")
    code, err = ask(*command("m3fd", m3fd, out, "--fresh-versions"))
    assert code == 0, err
    after = runs(out)
    assert {name for name in before if after[name] != before[name]} == {record.parent.name}
    assert tables(out) == shown


@pytest.mark.slow
def test_killed_in_between(calm: Path, m3fd: Path, tmp_path: Path) -> None:
    """What was finished before a `kill -9` is kept, and the tables become those of a calm run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fusionbench", *command("m3fd", m3fd, tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not runs(tmp_path):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = runs(tmp_path)
    assert 1 <= len(kept) < 4
    code, err = ask(*command("m3fd", m3fd, tmp_path))
    assert code == 0, err
    assert kept.items() <= runs(tmp_path).items()
    assert runs(tmp_path).keys() == runs(calm).keys()
    assert tables(tmp_path) == tables(calm)


# ---------------------------------------------------------------- what cannot be


def test_a_task_the_dataset_cannot_have(m3fd: Path, tmp_path: Path) -> None:
    """A warning, and no column."""
    words = [w if w != "detection" else "saliency" for w in command("m3fd", m3fd, tmp_path)]
    words = [w if w != "yolov8-tiny" else "ctdnet-tiny" for w in words]
    code, err = ask(*words)
    assert code == 0, err
    assert "warning: saliency on scenes-m3fd: m3fd has no saliency masks, which saliency needs; datasets that" in err
    assert "mF@mean" not in text(tmp_path, "md")
    assert not rows(tmp_path)


def test_labels_that_are_not_on_the_disk(tmp_path: Path) -> None:
    """An empty column that says why; it goes when the labels are there."""
    tree, out = tmp_path / "MSRS", tmp_path / "out"
    synth("msrs", tree, 4, 2, (64, 96), seed=0)
    for split in ("train", "test"):
        (tree / split / "Segmentation_labels").rename(tree / f"masks-{split}")
    words = ["eval", "--methods", "visible,average", "--metrics", "en", "--tasks", "segmentation", *TINY]
    words += ["--task-networks", "segformer-tiny", "--task-options", OPTIONS, "--task-protocols", "frozen"]
    words += ["--datasets", f"msrs={tree}", "--out", str(out), "--seeds", "1"]
    code, err = ask(*words)
    assert code == 0, err
    reason = "scenes-msrs test: no pair here has mask; nothing to score segmentation with"
    assert f"warning: segmentation on scenes-msrs: {reason}" in err
    assert f"mIoU@tdfusion is empty: {reason}" in text(out, "md")
    (tree / "masks-test").rename(tree / "test/Segmentation_labels")
    code, err = ask(*words)
    assert "scenes-msrs train: no pair here has mask, so no network can be trained; give trained ones with" in err
    (tree / "masks-train").rename(tree / "train/Segmentation_labels")
    code, err = ask(*words)
    assert (code, "warning" in err) == (0, False), err
    assert "is empty" not in text(out, "md")
    assert "mIoU@tdfusion segformer-tiny frozen" in text(out, "md")
    for _, result in rows(out):
        matrix = {c: f["confusion"] for c, f in result.facts.items()}
        parts = [m for c, m in matrix.items() if c != "all"]
        total = [[sum(cells) for cells in zip(*lines, strict=True)] for lines in zip(*parts, strict=True)]
        assert total == matrix["all"]
        assert sum(map(sum, total)) == 2 * 64 * 96


def test_a_network_of_another_dataset(m3fd: Path, tmp_path: Path) -> None:
    """Trained on MSRS, scored on M3FD: the classes they share count."""
    synth("msrs", tmp_path / "MSRS", 4, 1, (64, 96), seed=0)
    words = ["train", "yolov8-tiny", "--dataset", f"msrs={tmp_path / 'MSRS'}", "--size", "tiny"]
    words += ["--out", str(tmp_path / "run"), "--cfg-options", "train.epochs=1", "resize=[64,96]"]
    code, err = ask(*words)
    assert code == 0, err
    words = ["eval", "--methods", "visible", "--metrics", "en", "--tasks", "detection", "--jobs", "1"]
    words += ["--frozen", str(tmp_path / "run"), "--datasets", f"m3fd={m3fd}", "--out", str(tmp_path / "out")]
    code, err = ask(*words)
    assert code == 0, err
    ((_, result),) = rows(tmp_path / "out")
    assert result.classes == ("People", "Car")
    assert (result.protocol, result.network) == ("frozen", "yolov8-tiny")
    assert re.fullmatch("given-[0-9a-f]{8}", result.recipe)
    assert result.trained_on.startswith("generated msrs (scenes, seed 0), size tiny, seed 0")
    assert not runs(tmp_path / "out")
    assert "a network given by the user, trained on generated msrs" in text(tmp_path / "out", "md")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--tasks detektion", "'detektion'; did you mean detection"),
        ("--tasks detection --task-networks yolov9", "--task-networks yolov9: no network of these tasks; did you mean"),
        ("--tasks detection --task-networks ctdnet-tiny", "--task-networks ctdnet-tiny: no network of these tasks"),
        ("--tasks detection --task-protocols frosen", "--task-protocols frosen: did you mean frozen"),
        ("--tasks detection --frozen nowhere", "nowhere: no trained weights here; make them with `fusionbench train`"),
        ("--tasks detection --task-networks yolov8-tiny,yolox-s", "one network of a task at a time"),
        ("--tasks detection --task-size tiny --task-options network=yolox-s", "is the network; for another one"),
        ("--tasks detection --frozen-on averige", "no method 'averige'; did you mean average"),
        ("--tasks detection --task-size tony", "no size 'tony'; did you mean tiny"),
        ("--tasks detection --task-size tiny --task-options epocs=1", "no setting 'epocs' in this recipe; did you"),
    ],
)
def test_one_line(m3fd: Path, tmp_path: Path, words: str, expected: str) -> None:
    base = ["eval", "--methods", "visible", "--metrics", "en", "--datasets", f"m3fd={m3fd}", "--out", str(tmp_path)]
    code, err = ask(*base, "--jobs", "1", *words.split())
    assert code == 2, err
    (line,) = (text for text in err.splitlines() if text.startswith("error: "))
    assert expected in line
    assert not list(tmp_path.rglob("*.png"))  # said before anything is fused


def test_frozen_columns_of_different_networks_stand_apart(m3fd: Path, tmp_path: Path) -> None:
    base = command("m3fd", m3fd, tmp_path, "--task-protocols", "frozen", "--seeds", "1")
    for on in ("visible", "infrared"):
        code, err = ask(*base, "--frozen-on", on)
        assert code == 0, err
    head = next(csv.reader(text(tmp_path, "csv").splitlines()))
    found = [name for name in head if name.endswith("ap50@coco")]
    assert found == [f"detection/yolov8-tiny/frozen/{RECIPE}{more}/ap50@coco" for more in ("", "+on=infrared")]


def test_a_run_that_fails_takes_nothing_with_it(m3fd: Path, tmp_path: Path) -> None:
    words = [w.replace(OPTIONS, f"{OPTIONS},optimiser.lr=1e30") for w in command("m3fd", m3fd, tmp_path)]
    code, err = ask(*words, "--task-protocols", "retrained", "--seeds", "1")
    assert code == 1
    assert "detection on scenes-m3fd, retrained, seed 0, average: " in err
    assert "average: the loss is nan at step 2" in err
    assert "en@bits" in text(tmp_path, "csv")


def test_a_pair_that_cannot_be_read(m3fd: Path, tmp_path: Path) -> None:
    tree = tmp_path / "M3FD"
    shutil.copytree(m3fd, tree)
    first = sorted((tree / "M3FD_Detection/Vis").iterdir())[0]
    first.write_bytes(first.read_bytes()[:100])
    code, err = ask(*command("m3fd", tree, tmp_path / "out", "--seeds", "1"))
    assert code == 1
    assert "internal error" not in err
    assert f"warning: detection on scenes-m3fd: scenes-m3fd test: pair {first.stem} is needed for detection" in err
    assert "en@bits" in text(tmp_path / "out", "csv")


def test_a_list_of_test_pairs(m3fd: Path, tmp_path: Path) -> None:
    from fusionbench.data import open_dataset

    ids = open_dataset("m3fd", m3fd, exact=True).ids("test")[:2]
    (tmp_path / "mine.txt").write_text("\n".join(ids) + "\n")
    code, err = ask(*command("m3fd", m3fd, tmp_path / "out", "--split", tmp_path / "mine.txt", "--seeds", "1"))
    assert code == 0, err
    assert all(result.images == 2 for _, result in rows(tmp_path / "out"))


def test_task_options_without_a_task(m3fd: Path, tmp_path: Path) -> None:
    code, err = ask("eval", "--methods", "visible", "--datasets", f"m3fd={m3fd}", "--task-size", "tiny")
    assert code == 2
    assert "Error: say which tasks: --tasks segmentation,detection,saliency" in err
