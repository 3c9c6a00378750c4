"""A released detector trained on in folds: each pair is tested once, by a network that has not seen it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from _networks import need

from fusionbench.data import open_spec
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.adopted import narrowed, write
from fusionbench.evaluation.task_folds import parts
from fusionbench.tasks import detection
from fusionbench.tasks.detection.released import COCO, Letterboxed
from fusionbench.tasks.loading import load_network
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from fusionbench.training.trained import WEIGHTS, facts_of
from tests.conftest import fusionbench


@pytest.fixture(scope="module", autouse=True)
def _mmdet() -> None:
    need("mmdet")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven generated pairs, and a YOLOX of random weights in the form of one that was added."""
    root = tmp_path_factory.mktemp("folds")
    data = ("--like", "m3fd", "--train", 0, "--test", 7, "--size", "64x96", "--out", root / "data/M3FD")
    assert fusionbench("data", "synth", *data).returncode == 0
    torch.manual_seed(3)
    facts = {
        **{"name": "yolox-nano", "task": "detection", "classes": list(COCO), "ignore_index": None, "datasets": []},
        **{"config": {"channels": 3}, "convention": "mmdet-416", "trained_on": "nothing", "released": "0" * 64},
    }
    write(root / "start" / WEIGHTS, detection.build("yolox-nano", len(COCO)).state_dict(), facts)
    return root


@pytest.mark.parametrize(("count", "folds"), [(7, 3), (6, 6), (361, 6)])
def test_each_pair_is_in_one_fold(count: int, folds: int) -> None:
    ids = [f"{n:03}" for n in range(count)]
    made = parts(ids[::-1], folds)
    assert sorted(i for fold in made for i in fold) == ids
    assert max(map(len, made)) - min(map(len, made)) <= 1
    assert made[0][:2] == [ids[0], *ids[folds : folds + 1]]


def test_rows_of_the_datasets_classes_stay(root: Path, tmp_path: Path) -> None:
    """What the narrowed network says of a class that COCO has is what the whole one says."""
    data = open_spec(f"m3fd={root / 'data/M3FD'}", None)
    home = narrowed(root / "start", data, tmp_path)
    assert narrowed(home, data, tmp_path) == home
    facts = facts_of(home)
    assert tuple(facts["classes"]) == data.box_classes
    assert (facts["convention"], facts["trained_on"]) == ("mmdet-416", "nothing")
    one, whole = load_network(home)[0], load_network(root / "start")[0]
    assert isinstance(one, Letterboxed)
    x = torch.rand(1, 3, 64, 96)
    ours, theirs = (n.network.model.bbox_head(n.network.model.extract_feat(x)) for n in (one, whole))  # type: ignore[union-attr]  # both are
    known = {"People": "person", "Car": "car", "Bus": "bus", "Motorcycle": "motorcycle", "Truck": "truck"}
    for mine, all_ in zip(ours[0], theirs[0], strict=True):
        for number, name in enumerate(data.box_classes):
            if name in known:
                assert torch.equal(mine[:, number], all_[:, COCO.index(known[name])])
    for part in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(ours[part], theirs[part], strict=True))
    again = narrowed(root / "start", data, tmp_path / "again")
    assert (again / WEIGHTS).read_bytes() == (home / WEIGHTS).read_bytes()  # also the rows that begin at random


def test_statistics_and_the_backbone_stay_and_the_rest_learns(root: Path, tmp_path: Path) -> None:
    data = open_spec(f"m3fd={root / 'data/M3FD'}", None)
    start = narrowed(root / "start", data, tmp_path / "given")
    options = ("split=test", "crop=(64,96)", "batch=3", "train.tensorboard=false", "train.picture_every=0")
    request = TrainRequest(
        name="yolox-nano",
        datasets=(f"m3fd={root / 'data/M3FD'}",),
        size="finetune",
        options=options,
        folder=tmp_path / "run",
        start=str(start),
    )
    run(request, RunOptions(command="test", quiet=True))
    network, facts = load_network(tmp_path / "run")
    assert facts["convention"] == "mmdet-416"  # it sees pictures as the one it began as
    before, after = load_network(start)[0].state_dict(), network.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "running_" in name or "num_batches" in name or "backbone" in name]
    assert [name for name in moved if "bbox_head" in name]


def asked(root: Path, *words: object) -> tuple[object, ...]:
    return (
        *(
            "eval",
            "--datasets",
            "m3fd",
            "--data-root",
            root / "data",
            "--methods",
            "average,visible",
            "--metrics",
            "en",
        ),
        *("--tasks", "detection", "--task-size", "finetune", "--task-options", "crop=(64,96),batch=2", "--seeds", 1),
        *words,
    )


@pytest.fixture(scope="module")
def scored(root: Path) -> dict[str, Any]:
    words = ("--task-from", root / "start", "--folds", 3, "--frozen", root / "start", "--out", root / "out", "--json")
    done = fusionbench(*asked(root, *words))
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    return dict(table)


def test_frozen_and_retrained_side_by_side(root: Path, scored: dict[str, Any]) -> None:
    heads = [column["title"] for column in scored["tasks"]]
    assert sorted(heads) == [
        *("mAP50@coco yolox-nano frozen, test", "mAP50@coco yolox-nano retrained"),
        *("mAP@coco yolox-nano frozen, test", "mAP@coco yolox-nano retrained"),
    ]
    notes = {column["title"]: column["note"] for column in scored["tasks"]}
    said = notes["mAP50@coco yolox-nano retrained"]
    assert "nothing, then each entry's own pictures of scenes-m3fd test in 3 folds, so on none that it is" in said
    assert "fitted into 416x416" in said
    assert "tested on 7 pairs of test" in said
    assert "interval" not in said  # there is one seed
    (provenance,) = (root / "out/tables").glob("*.provenance.json")
    tasks = json.loads(provenance.read_text())["tasks"]
    for results in tasks.values():
        (retrained,) = [r for r in results if r["protocol"] == "retrained"]
        assert retrained["images"] == 7
        assert "+folds=3" in retrained["recipe"]
    assert len({r["weights"] for own in tasks.values() for r in own if r["protocol"] == "retrained"}) == 2


def test_no_network_has_seen_what_it_is_tested_on(root: Path, scored: dict[str, Any]) -> None:
    every = sorted(p.stem for p in (root / "data/M3FD").rglob("Vis/*"))
    for home in (p for p in (root / "out/tasks").iterdir() if "folds3" in p.name):
        counts = []
        for number, tested in enumerate(parts(every, 3), 1):
            facts = facts_of(home / f"fold{number}")
            assert facts["config"]["split"] == "test"
            assert facts["config"]["on"] in ("average", "visible")
            lines = (home / f"fold{number}/log.jsonl").read_text().splitlines()
            counts.append((len(every) - len(tested)) // 2)
            assert sum('"loss"' in line for line in lines) == counts[-1]  # steps of two of the other pairs


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_fold_that_is_missing(root: Path, scored: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(root / "out", out)
    words = ("--task-from", root / "start", "--folds", 3, "--frozen", root / "start", "--out", out, "--json")
    homes = sorted(p for p in (out / "tasks").iterdir() if "folds3" in p.name)
    shutil.rmtree(homes[0] / "fold2")
    again = fusionbench(*asked(root, *words))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["tables"] == [scored]  # results are kept, as are those of other machines
    assert not (homes[0] / "fold2").exists()
    (out / "results.db").unlink()
    kept = {p: p.stat().st_mtime_ns for p in homes[0].glob(f"fold[13]/{WEIGHTS}")}
    fresh = fusionbench(*asked(root, *words))
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads(fresh.stdout)["tables"] == [scored]
    assert kept == {p: p.stat().st_mtime_ns for p in kept}
    assert (homes[0] / "fold2" / WEIGHTS).is_file()


def test_reproduce_verifies_pictures_and_records_the_scores(root: Path, scored: dict[str, Any], tmp_path: Path) -> None:
    (made,) = [p for p in (root / "out/tables").glob("*.json") if "provenance" not in p.name]
    done = fusionbench(
        *("reproduce", made, "--data-root", root / "data", "--networks", root / "start", "--out", tmp_path / "r"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 results are recorded only" in done.stdout
    assert "2 results of task networks scored again" in done.stdout
    facts = made.with_name(made.name.replace(".json", ".provenance.json"))
    broken = json.loads(facts.read_text())
    for results in broken["tasks"].values():
        for result in results:
            if result["protocol"] == "retrained":
                result["pictures"] = "0" * 64
    other = tmp_path / made.name
    shutil.copy(made, other)
    other.with_name(facts.name).write_text(json.dumps(broken))
    done = fusionbench("reproduce", other, "--data-root", root / "data", "--out", tmp_path / "r")
    assert done.returncode == 1
    assert "hash of pictures and labels" in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--folds", 3), "--folds N, of 2 or more, and --task-from NETWORK go together"),
        (("--task-from", "START"), "--folds N, of 2 or more, and --task-from NETWORK go together"),
        (("--task-from", "START", "--folds", 1), "--folds N, of 2 or more"),
        (("--task-from", "START", "--folds", 8), "scenes-m3fd test has 7 pairs with boxes"),
        (("--task-from", "nothing", "--folds", 3), "nothing: no trained weights here"),
        (("--task-from", "yolox-nano", "--folds", 3), "fusionbench weights add yolox-nano"),
        (("--task-from", "START", "--folds", 3, "--task-networks", "yolov8-n"), "holds yolox-nano, not yolov8-n"),
    ],
)
def test_what_cannot_be_is_a_line(root: Path, tmp_path: Path, words: tuple[object, ...], line: str) -> None:
    typed = [root / "start" if word == "START" else word for word in words]
    done = fusionbench(*asked(root, *typed, "--out", tmp_path / "r"), FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode in (1, 2)
    assert line in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_classes_that_no_network_knows(root: Path, tmp_path: Path) -> None:
    data = open_spec(f"m3fd={root / 'data/M3FD'}", None)
    facts = {**facts_of(root / "start"), "classes": [f"thing {n}" for n in range(len(COCO))]}
    write(tmp_path / "other" / WEIGHTS, detection.build("yolox-nano", len(COCO)).state_dict(), facts)
    with pytest.raises(FusionbenchError, match="are none of m3fd's"):
        narrowed(tmp_path / "other", data, tmp_path)
