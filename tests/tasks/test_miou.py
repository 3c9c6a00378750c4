"""mIoU: the matrix, the conventions, and mmsegmentation's IoUMetric where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fusionbench.tasks.scores.miou import CONVENTIONS, Confusion, at_label_resolution


def counted_by_hand(pred, target, n, ignore=None):
    """Intersection, union and number of true pixels per class by comparing sets of pixels."""
    keep = (target >= 0) & (target < n) & (target != (-999 if ignore is None else ignore))
    p, t = pred[keep], target[keep]
    return [(int(((p == c) & (t == c)).sum()), int(((p == c) | (t == c)).sum()), int((t == c).sum())) for c in range(n)]


def expected(counts):
    zero = [i / max(u, 1) for i, u, _ in counts]

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else math.nan

    return {
        "miou@tdfusion": mean(zero),
        "miou@skip-bg": mean(zero[1:]),
        "miou@present": mean(z for z, c in zip(zero, counts, strict=True) if c[2]),
        "miou@mmseg": mean(z for z, c in zip(zero, counts, strict=True) if c[1]),
    }


def cases():
    rng = np.random.default_rng(0)
    for seed in range(5):
        n = 2 + seed * 3
        yield f"random{seed}", rng.integers(0, n, (13, 17)), rng.integers(-1, n + 3, (13, 17)), n, 255
    yield "perfect", np.arange(9).reshape(3, 3) % 4, np.arange(9).reshape(3, 3) % 4, 4, None
    yield "all ignored", np.ones((4, 5), int), np.full((4, 5), 255), 3, 255
    yield "all outside", np.ones((4, 5), int), np.full((4, 5), 9), 3, None
    yield "one class", np.zeros((4, 5), int), np.zeros((4, 5), int), 5, None
    yield "nothing right", np.zeros((4, 5), int), np.ones((4, 5), int), 5, None
    yield "false alarms of an absent class", np.full((4, 5), 2), np.ones((4, 5), int), 5, None
    yield "one pixel", np.array([[1]]), np.array([[1]]), 2, None
    yield "a class is ignored", rng.integers(0, 4, (9, 9)), rng.integers(0, 4, (9, 9)), 4, 0
    yield "no pixel", np.zeros((0, 5), int), np.zeros((0, 5), int), 3, None


CASES = [pytest.param(*case[1:], id=case[0]) for case in cases()]


@pytest.mark.parametrize(("pred", "target", "n", "ignore"), CASES)
def test_every_convention_by_hand(pred, target, n, ignore):
    confusion = Confusion(n, ignore)
    confusion.update(torch.from_numpy(pred), torch.from_numpy(target))
    counts = counted_by_hand(pred, target, n, ignore)
    found = confusion.compute()
    assert set(found) == {f"miou@{name}" for name in CONVENTIONS}
    for name, value in expected(counts).items():
        assert found[name] == pytest.approx(value, rel=1e-14, nan_ok=True), name
    np.testing.assert_allclose(confusion.iou(), [i / u if u else np.nan for i, u, _ in counts])
    assert confusion.matrix.dtype == np.int64
    assert confusion.matrix.sum() + sum(confusion.dropped.values()) == target.size


@pytest.mark.parametrize(("pred", "target", "n", "ignore"), CASES)
def test_mmsegmentation(pred, target, n, ignore):
    evaluation = pytest.importorskip("mmseg.evaluation", reason="mmsegmentation is not installed", exc_type=ImportError)
    if not target.size:
        pytest.skip("IoUMetric takes no empty image")
    metric = evaluation.IoUMetric(ignore_index=-999 if ignore is None else ignore)
    metric.dataset_meta = {"classes": [str(c) for c in range(n)]}
    # IoUMetric has no rule for labels that are no class: given as ignored
    known = np.where((target >= 0) & (target < n), target, metric.ignore_index)
    sample = {
        "pred_sem_seg": {"data": torch.from_numpy(pred)[None]},
        "gt_sem_seg": {"data": torch.from_numpy(known)[None]},
    }
    metric.process({}, [sample])
    confusion = Confusion(n, ignore)
    confusion.update(pred, target)
    intersect, union, predicted, true = (v.numpy() for v in metric.results[0])
    matrix = confusion.matrix
    assert np.array_equal(intersect, np.diag(matrix))
    assert np.array_equal(union, matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert np.array_equal(predicted, matrix.sum(0))
    assert np.array_equal(true, matrix.sum(1))
    theirs = metric.evaluate(1)["mIoU"]  # per cent, two digits
    assert 100 * confusion.miou("mmseg") == pytest.approx(float(theirs), abs=0.0051, nan_ok=True)


def test_rows_are_truth_and_columns_are_prediction():
    confusion = Confusion(3)
    confusion.update(np.array([[2, 2]]), np.array([[1, 2]]))
    assert confusion.matrix.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_conventions_differ_as_named():
    # class 0 right, class 1 half right, class 2 predicted and never true, class 3 in neither
    confusion = Confusion(4)
    confusion.update(np.array([[0, 0, 1, 2]]), np.array([[0, 0, 1, 1]]))
    assert confusion.compute() == {
        "miou@tdfusion": pytest.approx((1 + 0.5 + 0 + 0) / 4),
        "miou@skip-bg": pytest.approx((0.5 + 0 + 0) / 3),
        "miou@present": pytest.approx((1 + 0.5) / 2),
        "miou@mmseg": pytest.approx((1 + 0.5 + 0) / 3),
    }


def test_nothing_scored():
    confusion = Confusion(3, 255)
    confusion.update(np.zeros((2, 2), int), np.full((2, 2), 255))
    assert confusion.dropped == {"ignored": 4, "outside": 0}
    assert confusion.miou("tdfusion") == 0  # its formula: every class is absent
    assert math.isnan(confusion.miou("present"))
    assert math.isnan(confusion.miou("mmseg"))
    assert np.isnan(confusion.iou()).all()


def test_merged_parts_are_the_whole_and_can_be_stored():
    rng = np.random.default_rng(1)
    pred, target = rng.integers(0, 9, (6, 20, 20)), rng.integers(0, 11, (6, 20, 20))
    whole, first, second = Confusion(9, 10), Confusion(9, 10), Confusion(9, 10)
    whole.update(pred, target)
    for part, images in ((first, range(2)), (second, range(2, 6))):
        for i in images:
            part.update(torch.from_numpy(pred[i]), target[i].astype(np.uint8))
    first.merge(second)
    assert np.array_equal(first.matrix, whole.matrix)
    assert first.dropped == whole.dropped
    assert whole.dropped["outside"]
    assert Confusion(9, 10, whole.matrix.tolist()).compute() == whole.compute()
    with pytest.raises(ValueError, match="same classes"):
        first.merge(Confusion(9))


def test_bad_input():
    confusion = Confusion(3)
    with pytest.raises(ValueError, match=r"label \[8, 8\], prediction \[4, 4\]"):
        confusion.update(np.zeros((4, 4), int), np.zeros((8, 8), int))
    with pytest.raises(ValueError, match="0 to 2, got 0 to 3"):
        confusion.update(np.array([[0, 3]]), np.array([[0, 0]]))
    assert confusion.matrix.sum() == 0
    with pytest.raises(ValueError, match="convention is one of"):
        confusion.miou("best")
    with pytest.raises(ValueError, match=r"\[3,3\]"):
        Confusion(3, matrix=[[1, 2], [3, 4]])


def test_logits_are_resized_before_the_argmax():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, :, 0] = torch.tensor([[0.0, 3.0], [1.0, 0.0]])
    ids = at_label_resolution(logits, (2, 8))
    assert ids.shape == (1, 2, 8)
    assert ids[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]  # the nearest id would change in the middle
    assert torch.equal(at_label_resolution(logits, (1, 2)), logits.argmax(1))
