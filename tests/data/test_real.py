"""The adapters on the real images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fusionbench.data import open_dataset
from fusionbench.data.checks import check, near_duplicates, signature
from fusionbench.pixels.images import read_image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def data(shared):
    return shared / "datasets"


def boxes_of_lines(path):
    found = {}
    for line in path.read_text().splitlines():
        name, *rest = line.split()
        found[name.partition(".")[0]] = np.array([r.split(",") for r in rest], float).reshape(-1, 5)
    return found


def test_msrs_boxes(data):
    """Numbers stated with the box release; 'cat' loses boxes where the final newline is missing."""
    dataset = open_dataset("msrs", data)
    assert len(dataset.ids("test")) == dataset.split("test").count == 361
    assert dataset.missing("test") == []
    counts, empty = Counter(), 0
    for ident in dataset.ids("test"):
        boxes = dataset.read_boxes(dataset.files("test", ident).boxes, (640, 480))
        counts.update(dataset.box_classes[i] for i in boxes.labels)
        empty += len(boxes) == 0
        assert (boxes.xyxy > -1).all()
        assert (boxes.xyxy < [641, 481, 641, 481]).all()
    assert counts == {"person": 893, "bicycle": 127, "car": 461}
    assert empty == 33


def test_m3fd_boxes_are_the_lists(data, shared):
    dataset = open_dataset("m3fd", data)
    seen = []
    for split, count in (("train", 2), ("test", 10)):
        lines = boxes_of_lines(shared / "reference" / "splits" / f"M3FD_{split}.txt")
        assert tuple(lines) == dataset.split(split).ids
        assert len(dataset.ids(split)) == count
        for ident in dataset.ids(split):
            boxes = dataset.read(split, ident).boxes
            np.testing.assert_array_equal(np.column_stack([boxes.xyxy, boxes.labels]), lines[ident])
            seen.append(ident)
    assert sorted(seen) == dataset.ids("all")


def test_llvip(data, shared):
    dataset = open_dataset("llvip", data)
    assert (len(dataset.ids("train")), len(dataset.ids("test"))) == (11, 3)
    for split in ("train", "test"):
        lines = boxes_of_lines(shared / "reference" / "splits" / f"LLVIP_{split}.txt")
        assert tuple(lines) == dataset.split(f"tdfusion-{split}").ids
        assert dataset.ids(f"tdfusion-{split}")
        for ident in dataset.ids(f"tdfusion-{split}"):
            sample = dataset.read(f"tdfusion-{split}", ident)
            assert sample.ir.shape == (1, 1024, 1280)
            if sample.boxes is not None:
                np.testing.assert_array_equal(sample.boxes.xyxy, lines[ident][:, :4])


@pytest.mark.parametrize(("name", "split", "count"), [("fmb", "test", 5), ("tno", "test", 14), ("vifb", "test", 21)])
def test_fusion_only_sets(data, name, split, count):
    dataset = open_dataset(name, data)
    assert len(dataset.ids(split)) == count
    for ident in dataset.ids(split):
        sample = dataset.read(split, ident)
        assert sample.ir.shape[1:] == sample.vis.shape[1:]


def test_three_channel_infrared_has_equal_channels(data):
    for name, split in (("m3fd", "all"), ("llvip", "test"), ("tno", "test"), ("fmb", "test")):
        dataset = open_dataset(name, data)
        ident = dataset.ids(split)[0]
        raw = read_image(dataset.files(split, ident).ir)
        assert raw.shape[0] == 3
        np.testing.assert_array_equal(dataset.pair(split, ident).ir, raw[:1])


@pytest.mark.parametrize("name", ["m3fd", "llvip", "fmb", "vifb", "tno"])
def test_real_sets_are_sound(data, name):
    report = check(open_dataset(name, data))
    assert not report.of("damage")
    assert report.exit_code() == 0


def test_consecutive_frames_are_near_duplicates(data):
    dataset = open_dataset("m3fd", data)
    codes = {i: signature(dataset.pair("all", i).vis) for i in dataset.ids("all")}
    others = [i for i in codes if i != "00002"]
    assert [others[a] for a, *_ in near_duplicates([codes[i] for i in others], [codes["00002"]])] == ["00003"]
    others.remove("00003")
    assert not near_duplicates([codes[i] for i in others], [codes["00003"]])
