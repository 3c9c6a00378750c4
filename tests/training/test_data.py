"""Augmentation: labels follow the image, and nothing depends on the order of reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.data import Boxes, Sample, open_dataset
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.images import write_image
from fusionbench.training.data import (
    Augment,
    Batch,
    TrainingSplit,
    collate,
    crop,
    fitting_crop,
    flip,
    label_tensors,
    resize,
)
from fusionbench.training.order import digest, draw, randomness, shuffled

BOX = (8, 12, 24, 20)  # left, top, right, bottom


def painted(ident: str = "a", size: tuple[int, int] = (40, 64)) -> Sample:
    """A bright rectangle that is also the mask, the saliency map and the box."""
    x1, y1, x2, y2 = BOX
    mask = np.zeros(size, np.uint8)
    mask[y1:y2, x1:x2] = 1
    boxes = Boxes.of([BOX], [3], [True])
    return Sample(ident, "train", mask[None] * 200, np.repeat(mask[None] * 100, 3, 0), mask, boxes, mask * 255)


def box_of(mask: np.ndarray) -> list[float]:
    """Left, top, right, bottom of what is painted."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def consistent(sample: Sample, tolerance: float = 0) -> None:
    """Everything still shows the same rectangle."""
    assert sample.mask is not None
    assert sample.boxes is not None
    for image in (sample.ir[0] >= 100, sample.vis[2] >= 50, sample.saliency):
        assert np.array_equal(np.asarray(image) > 0, sample.mask > 0)
    assert sample.mask.any() == (len(sample.boxes) == 1)
    if len(sample.boxes):
        np.testing.assert_allclose(sample.boxes.xyxy[0], box_of(sample.mask), atol=tolerance)
        assert sample.boxes.labels.tolist() == [3]
        assert sample.boxes.difficult is not None


def test_flip() -> None:
    flipped = flip(painted())
    consistent(flipped)
    assert flipped.boxes.xyxy.tolist() == [[40, 12, 56, 20]]
    twice = flip(flipped)
    assert np.array_equal(twice.ir, painted().ir)
    assert twice.boxes.xyxy.tolist() == [list(BOX)]


@pytest.mark.parametrize("window", [(0, 0, 40, 64), (4, 6, 30, 30), (14, 10, 16, 32), (0, 0, 16, 20)])
def test_crop(window: tuple[int, int, int, int]) -> None:
    top, left, *size = window
    cut = crop(painted(), top, left, tuple(size))
    assert cut.ir.shape == (1, *size)
    consistent(cut)


def test_crop_drops_boxes() -> None:
    assert len(crop(painted(), 0, 0, (14, 64)).boxes) == 0  # a quarter is left
    assert len(crop(painted(), 0, 0, (14, 64), visible=0.2).boxes) == 1
    assert crop(painted(), 24, 30, (16, 16)).boxes.xyxy.shape == (0, 4)
    with pytest.raises(ValueError, match="leaves the image"):
        crop(painted(), 30, 0, (16, 16))


@pytest.mark.parametrize("size", [(80, 128), (20, 32), (40, 32), (60, 96), (41, 65)])
def test_resize(size: tuple[int, int]) -> None:
    resized = resize(painted(), size)
    assert resized.vis.shape == (3, *size)
    assert set(np.unique(resized.mask)) == {0, 1}
    np.testing.assert_allclose(resized.boxes.xyxy[0], box_of(resized.mask), atol=1)
    x1, y1, x2, y2 = BOX
    expected = [x1 * size[1] / 64, y1 * size[0] / 40, x2 * size[1] / 64, y2 * size[0] / 40]
    np.testing.assert_allclose(resized.boxes.xyxy[0], expected)
    # the middle of mass of the picture and of the labels stay together
    for image in (resized.ir[0], resized.vis[1], resized.mask, resized.saliency):
        rows, columns = np.indices(size) + 0.5
        weight = image / image.sum()
        assert (weight * columns).sum() == pytest.approx((expected[0] + expected[2]) / 2, abs=0.6)
        assert (weight * rows).sum() == pytest.approx((expected[1] + expected[3]) / 2, abs=0.6)


def test_augment_is_a_function_of_its_keys() -> None:
    augment = Augment(scale=(0.8, 1.5), crop=(24, 32))
    seen = []
    for _ in range(2):
        np.random.seed(len(seen))
        seen.append([augment(painted(), randomness(1, e, i)).ir for e in range(3) for i in (2, 0, 1)])
    for a, b in zip(*seen, strict=True):
        assert a.shape == (1, 24, 32)
        assert np.array_equal(a, b)
    assert len({a.tobytes() for a in seen[0]}) > 5


@pytest.mark.parametrize("index", range(20))
def test_augment_keeps_labels_together(index: int) -> None:
    consistent(Augment(crop=(32, 40), visible=0)(painted(), randomness(0, 0, index)))


def test_too_small() -> None:
    with pytest.raises(
        DataError, match=r"40x64, smaller than the crop of 48x64 \(height x width\); use a smaller crop"
    ):
        Augment(crop=(48, 64))(painted(), randomness(0))
    assert Augment(resize=(80, 80), crop=(48, 64))(painted(), randomness(0)).ir.shape == (1, 48, 64)
    assert fitting_crop((480, 640), (256, 256)) == (256, 256)
    assert fitting_crop((200, 300), (256, 256)) == (192, 256)
    with pytest.raises(FusionbenchError, match=r"images of 20x64 \(height x width\) are too small: at least 32x32"):
        fitting_crop((20, 64), (256, 256))


def test_collate() -> None:
    batch = collate([painted("a"), flip(painted("b"))])
    assert isinstance(batch, Batch)
    assert (batch.ids, batch.ir.shape, batch.vis.shape) == (["a", "b"], (2, 1, 40, 64), (2, 3, 40, 64))
    assert float(batch.ir.max()) == pytest.approx(200 / 255)
    target = batch.to("cpu").targets[1]
    assert {k: (v.dtype, tuple(v.shape)) for k, v in target.items()} == {
        "mask": (torch.int64, (40, 64)),
        "boxes": (torch.float32, (1, 4)),
        "labels": (torch.int64, (1,)),
        "saliency": (torch.float32, (1, 40, 64)),
    }
    bare = painted()
    bare.mask = bare.boxes = bare.saliency = None
    assert label_tensors(bare) == {}
    with pytest.raises(
        DataError, match=r"a is 40x64 and b is 32x32 \(height x width\): a batch needs one size; set a crop or a resize"
    ):
        collate([painted("a"), resize(painted("b"), (32, 32))])


def test_order() -> None:
    steps = shuffled(10, 4, 0, 1)
    assert [len(s.groups[0]) for s in steps] == [4, 4]
    assert steps == shuffled(10, 4, 0, 1) != shuffled(10, 4, 0, 2)
    salted = shuffled(10, 4, 0, 1, salt=1)
    assert [s.salt for s in salted] == [1] * len(steps)
    assert [s.groups for s in salted] != [s.groups for s in steps]
    kept = shuffled(10, 4, 0, 1, last="keep", kind="fuse")
    assert sorted(i for s in kept for i in s.groups[0]) == list(range(10))
    assert sorted(draw(3, 6, 0)) == [0, 0, 1, 1, 2, 2]
    assert draw(0, 6, 0) == []
    assert shuffled(0, 4, 0, 0, last="keep") == []
    assert digest([["a"]] * 3, kept) != digest([["b"]] * 3, kept)


# ---------------------------------------------------------------- a split on disk


@pytest.fixture
def split(tmp_path: Path) -> TrainingSplit:
    data = open_dataset("fmb", make(tmp_path / "FMB"))
    return TrainingSplit(data, "train", Augment(crop=(24, 32)), needs=("mask",))


def make(root: Path) -> Path:
    """Three pairs with masks as FMB's training split."""
    from fusionbench.data import Dataset
    from fusionbench.plugins.cards import card

    data = Dataset(root, card("dataset", "fmb"))
    for name in ("00001", "00002", "00003"):
        data.write(painted(name), "train")
    return root


def test_split(split: TrainingSplit) -> None:
    split.check()
    batch = split.batch([2, 0], seed=0, epoch=1)
    assert batch.ids == split.names([2, 0]) == ["00003", "00001"]
    again = split.batch([0, 2], seed=0, epoch=1)
    assert torch.equal(batch.vis[0], again.vis[1])
    assert torch.equal(batch.targets[1]["mask"], again.targets[0]["mask"])
    assert torch.equal(batch.targets[0]["mask"] > 0, batch.ir[0, 0] > 0.4)
    other = [split.batch([2], 0, e, s).ir for e, s in ((1, 1), (2, 0), (3, 0))]
    assert any(not torch.equal(x, batch.ir[:1]) for x in other)


def test_checks_of_a_split(split: TrainingSplit) -> None:
    data = split.dataset
    with pytest.raises(DataError, match=r"fmb 00001: the image is 40x64, smaller than the crop of 64x64"):
        TrainingSplit(data, "train", Augment(crop=(64, 64))).check()
    with pytest.raises(DataError, match=r"fmb train: no pairs under .*; there is nothing to train on"):
        TrainingSplit(data, "train", limit=0).check()
    with pytest.raises(DataError, match=r"fmb 00001: no boxes file in split train, which this recipe needs"):
        TrainingSplit(data, "train", needs=("boxes",)).check()
    files = data.files("train", "00002")
    write_image(files.mask, np.full((40, 64), 99, np.uint8))
    with pytest.raises(DataError, match=r"label id 99 .* is outside the class list"):
        split.check()
    write_image(files.mask, np.zeros((40, 64), np.uint8))
    write_image(files.ir, np.zeros((40, 32), np.uint8))
    with pytest.raises(DataError, match="sizes differ"):
        split.check()
