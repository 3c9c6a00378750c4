"""Average precision: pycocotools fed the ordinary way, the VOC devkit's walk written out, and cases by hand."""

from __future__ import annotations

import contextlib
import io
import math
import sys

import numpy as np
import pytest
import torch

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.scores.average_precision import PROTOCOLS, AveragePrecision, iou, selected, suppressed

NOTHING = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))


def random_boxes(rng, count):
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 60, (count, 2))], 1)


def random_image(rng, objects, extra, classes, step=0.0):
    """Objects, shifted copies of some of them, and boxes on nothing; scores rounded to `step` tie."""
    truth, labels = random_boxes(rng, objects), rng.integers(0, classes, objects)
    found = np.concatenate([truth + rng.normal(0, 3, truth.shape), truth + rng.normal(0, 8, truth.shape)])
    found = np.concatenate([np.sort(found.reshape(-1, 2, 2), 1).reshape(-1, 4), random_boxes(rng, extra)])
    found_labels = np.concatenate([labels, labels, rng.integers(0, classes, extra)])
    swap = rng.random(len(found)) < 0.1
    found_labels[swap] = rng.integers(0, classes, swap.sum())
    scores = rng.random(len(found))
    scores = np.round(scores / step) * step if step else scores
    return found, scores, found_labels, truth, labels


def cases():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        yield f"random{seed}", 3, [random_image(rng, int(rng.integers(0, 9)), 5, 3, seed * 0.1) for _ in range(12)]
    rng = np.random.default_rng(9)
    yield "crowded", 1, [random_image(rng, 120, 60, 1)]
    one, two = np.array([[10.0, 10, 50, 60]]), np.array([[10.0, 10, 50, 60], [50, 10, 90, 60]])
    yes, both = np.zeros(1, int), np.zeros(2, int)
    yield "perfect", 2, [(one, np.ones(1), yes, one, yes)]
    yield "no prediction", 2, [(*NOTHING, one, yes), (*NOTHING, two, both)]
    yield "no ground truth", 2, [(two, np.ones(2), both, *NOTHING[::2])]
    yield "nothing at all", 2, [(*NOTHING, *NOTHING[::2])]
    yield "no image", 2, []
    yield "touching boxes", 1, [(two, np.array([0.5, 0.9]), both, two, both)]
    yield "touching the wrong one", 1, [(two[1:], np.ones(1), yes, one, yes)]
    yield "identical boxes", 1, [(np.repeat(one, 4, 0), np.linspace(0.3, 0.9, 4), np.zeros(4, int), one, yes)]
    yield "identical objects", 1, [(np.repeat(one, 2, 0), np.ones(2), both, np.repeat(one, 2, 0), both)]
    yield "all scores tie", 1, [(two, np.full(2, 0.5), both, one, yes), (two, np.full(2, 0.5), both, two[1:], yes)]
    yield "wrong class", 2, [(one, np.ones(1), yes + 1, one, yes)]
    yield "no area", 1, [(np.array([[5.0, 5, 5, 9], [30, 30, 20, 20]]), np.ones(2), both, one, yes)]
    yield "an object without area", 1, [(one, np.ones(1), yes, np.array([[5.0, 5, 5, 5]]), yes)]
    half = np.array([[10.0, 10, 50, 110]])
    yield "overlap of exactly one half", 1, [(half, np.ones(1), yes, one, yes)]
    yield "score of zero", 1, [(one, np.zeros(1), yes, one, yes)]


CASES = [pytest.param(*case[1:], id=case[0]) for case in cases()]


def filled(classes, images, **options):
    metric = AveragePrecision(classes, **options)
    for image in images:
        metric.update(*image)
    return metric


def by_files(classes, images, rule):
    """pycocotools through its public data structures: ``COCO`` objects and ``loadRes``."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, founds = [], []
    for i, (boxes, scores, labels, true_boxes, true_labels) in enumerate(images, 1):
        for (x1, y1, x2, y2), c in zip(true_boxes.tolist(), true_labels.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            truth = {"id": len(truths) + 1, "image_id": i, "category_id": c, "bbox": box, "iscrowd": 0}
            truths.append(truth | {"area": box[2] * box[3]})
        found = boxes.copy()
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
        for (x1, y1, x2, y2), s, c in zip(*(v.tolist() for v in selected(found, scores, labels, rule)), strict=True):
            founds.append({"image_id": i, "category_id": c, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": s})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i + 1} for i in range(len(images))],
            "categories": [{"id": c} for c in range(classes)],
            "annotations": truths,
        }
        coco.createIndex()
        theirs = COCO() if not founds else coco.loadRes(founds)
        evaluation = COCOeval(coco, theirs, "bbox")
        evaluation.params.maxDets = [1, 10, rule.per_class]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats[:3]
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    if rule.per_class != 100:  # its summary of the mean looks for 100
        counted = precision[precision > -1]
        stats[0] = counted.mean() if counted.size else -1
    return np.where(stats < 0, np.nan, stats), precision.mean(1).T


@pytest.mark.parametrize("name", ["coco", "yolov5", "tdfusion"])
@pytest.mark.parametrize(("classes", "images"), CASES)
def test_pycocotools(classes, images, name, capsys):
    metric = filled(classes, images, protocols=(name,))
    found = metric.compute()
    assert capsys.readouterr() == ("", "")
    if not images:
        assert all(math.isnan(v) for v in found.values())
        return
    stats, table = by_files(classes, images, PROTOCOLS[name])
    np.testing.assert_allclose([found[f"{k}@{name}"] for k in ("ap", "ap50", "ap75")], stats, rtol=1e-12)
    np.testing.assert_allclose(metric.per_class(name), np.where(table < 0, np.nan, table), rtol=1e-12)


def test_without_pycocotools(monkeypatch):
    metric = filled(1, [(*NOTHING, *NOTHING[::2])])
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(FusionbenchError, match=r"pycocotools is missing: pip install 'ivif-fusionbench\[tasks\]'"):
        metric.compute()


def devkit(images, c, rule, interpolation, difficult=None):
    """The VOC devkit's evaluation of one class, one box after the other."""
    walk, taken = [], {}
    total = 0
    for i, (boxes, scores, labels, _, true_labels) in enumerate(images):
        hard = np.zeros(len(true_labels), bool) if difficult is None else difficult[i]
        total += int((~hard[true_labels == c]).sum())
        boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2])], 1)
        for box, s, k in zip(*selected(boxes, scores, labels, rule), strict=True):
            if k == c:
                walk.append((s, i, box))
    walk.sort(key=lambda w: -w[0])  # stable
    rights = wrongs = 0
    recall, precision = [0.0], [0.0]
    for _, i, (x1, y1, x2, y2) in walk:
        best, which = -1.0, None
        for j in np.flatnonzero(images[i][4] == c):
            a1, b1, a2, b2 = images[i][3][j]
            w, h = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
            if w > 0 and h > 0:
                both = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1) - w * h
                if w * h / both > best:
                    best, which = w * h / both, j
        if best >= 0.5:
            if difficult is not None and difficult[i][which]:
                continue
            rights, wrongs = (rights, wrongs + 1) if taken.get((i, which)) else (rights + 1, wrongs)
            taken[i, which] = True
        else:
            wrongs += 1
        recall.append(rights / total if total else 0.0)
        precision.append(rights / (rights + wrongs))
    if not total:
        return math.nan
    if interpolation == "11":
        steps = [[p for r, p in zip(recall, precision, strict=True) if r >= t / 10] for t in range(11)]
        return sum(max(step, default=0.0) for step in steps) / 11
    recall, precision = [*recall, 1.0], [*precision, 0.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


@pytest.mark.parametrize(("name", "interpolation"), [("voc", "all"), ("tdfusion-voc", "all"), ("voc2007", "11")])
@pytest.mark.parametrize(("classes", "images"), CASES)
def test_voc_devkit(classes, images, name, interpolation):
    metric = filled(classes, images, protocols=(name,))
    theirs = [devkit(images, c, PROTOCOLS[name], interpolation) for c in range(classes)]
    np.testing.assert_allclose(metric.per_class(name)[:, 0], theirs, rtol=1e-12, atol=1e-15)
    mean = np.nanmean(theirs) if not np.isnan(theirs).all() else np.nan
    np.testing.assert_allclose(metric.compute()[f"ap@{name}"], mean, rtol=1e-12)


def test_voc_difficult_objects():
    rng = np.random.default_rng(3)
    images = [random_image(rng, 6, 4, 2, 0.1) for _ in range(10)]
    difficult = [rng.random(6) < 0.4 for _ in images]
    metric = AveragePrecision(2)
    for image, flags in zip(images, difficult, strict=True):
        metric.update(*image, flags)
    theirs = [devkit(images, c, PROTOCOLS["voc"], "all", difficult) for c in range(2)]
    np.testing.assert_allclose(metric.per_class("voc")[:, 0], theirs, rtol=1e-12)
    assert theirs != [devkit(images, c, PROTOCOLS["voc"], "all") for c in range(2)]
    np.testing.assert_array_equal(metric.per_class("coco"), filled(2, images).per_class("coco"))


def test_protocols_differ_as_named():
    one = np.array([[10.0, 10, 50, 60]])
    yes = np.zeros(1, int)

    def scores(found, truth):
        return filled(1, [(*found, truth, np.zeros(len(truth), int))]).compute()

    faint = scores((one, np.array([0.01]), yes), one)
    assert [faint[f"ap50@{n}"] for n in ("coco", "yolov5", "tdfusion", "tdfusion-voc", "voc")] == pytest.approx(
        [1, 1, 0, 0, 1]
    )
    # a second, weaker box on each object comes before the box of the other object
    far = one + 100
    found = np.concatenate([one, one + 2, far]), np.array([0.9, 0.8, 0.7]), np.zeros(3, int)
    doubled = scores(found, np.concatenate([one, far]))
    assert [doubled[f"ap50@{n}"] for n in ("tdfusion", "yolov5", "tdfusion-voc")] == pytest.approx([1, 1, 1])
    assert doubled["ap50@voc"] == pytest.approx(0.5 + 0.5 * 2 / 3)  # the devkit suppresses nothing
    assert doubled["ap50@coco"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    # COCO lets the weaker of two boxes take the second-best free object, VOC does not
    pair = np.array([[0.0, 0, 100, 100], [0, 40, 100, 140]])
    found = np.array([[0.0, 0, 100, 100], [0, 18, 100, 118]]), np.array([0.9, 0.8]), np.zeros(2, int)
    loose = [PROTOCOLS["tdfusion-voc"].nms, iou(found[0][:1], found[0][1:])[0, 0]]
    assert loose[0] < loose[1]  # so NMS must be off to see it
    assert scores(found, pair)["ap50@coco"] == pytest.approx(1)
    assert devkit([(*found, pair, np.zeros(2, int))], 0, PROTOCOLS["coco"], "all") == 0.5
    assert scores(found, pair)["ap50@voc"] == 0.5


def test_voc_has_no_limits():
    """150 faint boxes of one image, the right one last: the devkit counts them all, TDFusion's limits do not."""
    truth = np.array([[500.0, 500, 540, 560]])
    boxes = np.concatenate([np.repeat([[0.0, 0, 9, 9]], 149, 0) + np.arange(149)[:, None] * 12, truth])
    image = boxes, np.linspace(0.04, 0.001, 150), np.zeros(150, int), truth, np.zeros(1, int)
    found = filled(1, [image], protocols=tuple(PROTOCOLS)).compute()
    assert found["ap@voc"] == pytest.approx(1 / 150)
    assert found["ap@voc2007"] == pytest.approx(1 / 150)
    assert found["ap@tdfusion-voc"] == 0


def test_interpolations_by_hand():
    """Two objects; right, wrong, right."""
    one = np.array([[10.0, 10, 50, 60]])
    boxes = np.concatenate([one, one + 60, one + 200])
    image = boxes, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), boxes[::2], np.zeros(2, int)
    metric = filled(1, [image], protocols=tuple(PROTOCOLS))
    found = metric.compute()
    assert found["ap@voc"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found["ap@voc2007"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert found["ap50@coco"] == pytest.approx(found["ap@coco"])
    assert found["ap@coco"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_absent_classes_are_left_out_of_the_mean():
    one = np.array([[10.0, 10, 50, 60]])
    metric = filled(5, [(one, np.ones(1), np.full(1, 3), one, np.full(1, 3))])
    assert metric.compute()["ap@coco"] == pytest.approx(1)
    assert metric.compute()["ap@voc"] == 1
    assert np.isnan(metric.per_class("coco")[[0, 1, 2, 4]]).all()


def test_merged_parts_are_the_whole():
    rng = np.random.default_rng(5)
    images = [random_image(rng, 4, 4, 2) for _ in range(9)]
    first, second = filled(2, images[:4]), filled(2, images[4:])
    first.merge(second)
    assert first.compute() == filled(2, images).compute()
    with pytest.raises(ValueError, match="same classes"):
        first.merge(AveragePrecision(3))


def test_tensors_are_not_changed():
    boxes = torch.tensor([[10.0, 10, 5, 60]], requires_grad=True)
    metric = AveragePrecision(1)
    metric.update(boxes, torch.ones(1), torch.zeros(1, dtype=torch.long), torch.zeros(0, 4), torch.zeros(0))
    assert boxes.tolist() == [[10.0, 10.0, 5.0, 60.0]]
    assert math.isnan(metric.compute()["ap@coco"])


def test_suppression():
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 0, 0], [0, 0, 0, 0]])
    labels = np.array([0, 0, 1, 0, 0, 0])
    assert suppressed(boxes, labels, 0.5).tolist() == [True, False, True, True, True, True]
    assert suppressed(boxes, labels, 0.6).all()  # 0.6 itself is not more than 0.6
    assert suppressed(boxes[:0], labels[:0], 0.5).tolist() == []


def test_limits_keep_the_best():
    rng = np.random.default_rng(0)
    boxes, scores = random_boxes(rng, 500), rng.random(500)
    labels = rng.integers(0, 3, 500)
    found = selected(boxes, scores, labels, PROTOCOLS["tdfusion"])
    assert len(found[1]) <= 100
    assert (np.diff(found[1]) <= 0).all()
    assert selected(boxes, scores, labels, PROTOCOLS["coco"])[1].size == 500
    crowd = np.repeat(boxes[:1], 500, 0)
    assert selected(crowd, scores, np.zeros(500, int), PROTOCOLS["yolov5"])[1].tolist() == [scores.max()]


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ((np.ones((2, 4)), np.ones(1), np.zeros(2, int), *NOTHING[::2]), "one length"),
        ((np.full((1, 4), np.nan), np.ones(1), np.zeros(1, int), *NOTHING[::2]), "NaN"),
        ((np.ones((1, 4)), np.ones(1), np.ones(1, int), *NOTHING[::2]), "labels are 0 to 0, got 1"),
        ((*NOTHING, np.array([[9.0, 9, 1, 1]]), np.zeros(1, int)), "ends before"),
    ],
)
def test_bad_input(image, line):
    with pytest.raises(ValueError, match=line):
        AveragePrecision(1).update(*image)
    with pytest.raises(ValueError, match="protocols are"):
        AveragePrecision(1, ("best",))
