"""Average precision over resampled images, beside pycocotools on the images as they are and drawn again."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from _networks import need

from fusionbench.report.task_intervals import intervals
from fusionbench.report.task_tables import columns_of
from fusionbench.results.records import MATCHES, TaskResult
from fusionbench.tasks.scores.average_precision import COCO_IOUS, AveragePrecision
from fusionbench.tasks.scores.bootstrap import ClassMatches, average_precision, resamples
from fusionbench.tasks.task import task

Image = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", autouse=True)
def _mmdet() -> None:
    need("mmdet")


def scenes(images: int, classes: int, seed: int) -> list[Image]:
    """Objects, and boxes beside them: some near, some wrong, with equal scores among them; some images are empty."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(images):
        corner = rng.uniform(0, 200, (rng.integers(0, 6), 2))
        truth = np.concatenate((corner, corner + rng.uniform(20, 60, corner.shape)), 1)
        labels = rng.integers(0, classes, len(truth))
        boxes = np.concatenate((truth + rng.normal(0, 5, truth.shape), truth + rng.normal(0, 25, truth.shape)))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        kinds = np.where(rng.random(len(boxes)) < 0.8, np.tile(labels, 2), rng.integers(0, classes, len(boxes)))
        found.append((boxes, rng.random(len(boxes)).round(2), kinds, truth, labels))
    return found


def tally(images: list[Image], classes: int) -> AveragePrecision:
    ap = AveragePrecision(classes, ("coco",))
    for image in images:
        ap.update(*image)
    return ap


@pytest.mark.parametrize(("images", "classes", "seed"), [(1, 1, 0), (40, 3, 1), (7, 5, 2)])
def test_as_pycocotools(images: int, classes: int, seed: int):
    """Every image once, and images drawn with replacement and given to pycocotools several times."""
    rows = scenes(images, classes, seed)
    ap = tally(rows, classes)
    drawn = np.concatenate((np.ones((1, images), np.int64), resamples(images, 4, seed)))
    for weights in drawn:
        again = tally([row for row, times in zip(rows, weights, strict=True) for _ in range(times)], classes)
        table = again.per_class("coco")
        for label, found in enumerate(ap.matches()):
            for number in range(len(COCO_IOUS)):
                (value,) = average_precision(found, weights[None], number)
                assert value == pytest.approx(table[label, number], abs=1e-12, nan_ok=True)


def test_equal_without_resampling():
    ap = tally(scenes(60, 3, 5), 3)
    once = np.ones((1, 60), np.int64)
    ours = [[average_precision(found, once, n)[0] for n in range(10)] for found in ap.matches()]
    assert ours == pytest.approx(ap.per_class("coco"), rel=1e-13)  # the order of a sum of 101 numbers


def test_every_row_is_a_resample():
    weights = resamples(30, 200)
    assert (weights.sum(1) == 30).all()
    assert np.array_equal(weights, resamples(30, 200))
    assert weights.mean(0) == pytest.approx(np.ones(30), abs=0.35)
    found = tally(scenes(30, 1, 3), 1).matches()[0]
    values = average_precision(found, weights)
    assert values == pytest.approx([average_precision(found, row[None])[0] for row in weights])
    assert values.std() > 0.01


def test_no_objects_no_boxes():
    empty = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int)
    (found,) = tally([empty, empty], 1).matches()
    assert np.isnan(average_precision(found, np.ones((3, 2), np.int64))).all()
    missed = ClassMatches("0 2", "", "")
    assert average_precision(missed, np.array([[1, 1], [2, 0]])).tolist() == pytest.approx([0, np.nan], nan_ok=True)


def result(images: int) -> TaskResult:
    """Of a network given from elsewhere, tested on so many images."""
    detection = task("detection")
    scores = detection.scores(("person", "car"))
    scores.ap = tally(scenes(images, 2, 9), 2)
    return TaskResult(
        task="detection",
        network="yolox-nano",
        protocol="frozen",
        recipe="given-0123abcd+640x640+test",
        seed=0,
        code="c",
        pictures="p",
        trained_on="COCO",
        test_split="test",
        command="",
        images=images,
        classes=("person", "car"),
        scores={"all": dict(scores.compute())},
        per_class={"all": dict(scores.per_class())},
        facts={"all": {**scores.facts(), MATCHES: detection.matches(scores)}},
    )


def test_a_row_with_its_interval():
    many, few = result(60), result(49)
    (row,) = intervals({"mine": many}).values()
    assert list(row) == ["all (60)", "all person", "all car"]
    for head, cell in row.items():
        value, low, high = map(float, re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", cell).groups())
        assert low < value < high
        found = msgspec.convert(many.facts["all"][MATCHES]["person"], ClassMatches)
        person = average_precision(found, resamples(60, 1000))
        if head == "all person":
            assert (low, high) == pytest.approx(np.percentile(person, (2.5, 97.5)), abs=5e-4)
    assert not any("[" in cell for row in intervals({"mine": few}).values() for cell in row.values())
    for held, placed in ((many, {"a": 1}), (few, {})):
        column = columns_of([("a", held)])[0]
        assert column.title == "mAP50@coco yolox-nano frozen, test"
        assert column.places({"a"}) == placed


ODD = {"person": {"objects": "1 2", "image": "9", "hits": "1"}}


@pytest.mark.parametrize("matches", [None, 3, {}, {"person": {}}, ODD])
def test_matches_that_are_none(matches: object):
    odd = msgspec.structs.replace(result(60), facts={"all": {MATCHES: matches}})
    assert intervals({"mine": odd}) == {}


@pytest.mark.parametrize(
    "said",
    [
        {"objects": "1", "image": "0 1", "hits": "1 1"},
        {"objects": "1", "image": "0", "hits": ""},
        {"objects": "-1", "image": "", "hits": ""},
        {"objects": "1", "image": "0.5", "hits": "1"},
        {"objects": "1", "image": "nan", "hits": "1"},
        {"objects": "1", "image": "0", "hits": str(1 << 40)},
        {"objects": "1", "image": "0", "hits": str(1 << 80)},
        {"objects": "1 1", "image": "0", "hits": "1"},
        {"objects": [1], "image": "0", "hits": "1"},
        {"objects": "1"},
    ],
)
def test_what_a_file_may_say(said: dict):
    with pytest.raises(ValueError, match=r"no box|counts nothing|invalid literal|other images|[Ee]xpected|missing"):
        task("detection").resampled({"person": said}, np.ones((2, 1), np.int64))
