"""``check``: what it finds, how grave it is, and the exit code."""

from __future__ import annotations

import re

import numpy as np
import pytest
from _data_samples import opened
from PIL import Image

from fusionbench.data.acquire import instructions
from fusionbench.data.checks import check
from fusionbench.data.leaks import near_duplicates, signature
from fusionbench.pixels.images import write_image
from fusionbench.plugins.cards import card, cards

SCENE = np.random.default_rng(1)


def texts(report, level):
    return [f.text for f in report.of(level)]


def picture(seed, height=96, width=128):
    """A smooth random scene."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def test_sound_but_partial(make):
    report = check(make("msrs", count=3))
    boxes = {"boxes-train": (3, 301), "boxes-test": (0, 60), "detection": (0, 80)}
    assert report.counts == {"train": (0, 1083), "test": (3, 361), **boxes}
    assert not report.of("damage")
    assert texts(report, "missing") == [
        "train: 0 of 1083 images",
        "test: 3 of 361 images (first: 00016N, 00020N, 00024N)",
        "detection: 0 of 80 images",
    ]
    assert (report.exit_code(), report.exit_code(complete=True)) == (0, 1)
    assert check(make("msrs", count=3), complete=True).exit_code() == 1
    assert "https://github.com/Linfeng-Tang/MSRS" in report.instructions
    assert "none stated" in report.instructions
    assert "train/Segmentation_labels/00001D.png" in report.instructions
    assert report.instructions in report.text()
    data = report.to_dict()
    assert data["splits"]["test"] == {"present": 3, "expected": 361}
    assert data["findings"][0]["level"] == "missing"


def test_complete(make):
    report = check(make("folder", "all", 3))
    assert (report.findings, report.exit_code(True), report.instructions) == ([], 0, "")
    assert "nothing to report" in report.text()


def test_every_kind_of_damage(make):
    dataset = make("msrs", count=8)
    ids = dataset.ids("test")
    files = [dataset.files("test", i) for i in ids]
    files[0].ir.write_bytes(files[0].ir.read_bytes()[:-100])
    files[1].vis.unlink()
    Image.new("L", (9, 9)).save(files[2].ir)
    Image.new("L", (40, 24), 77).save(files[3].mask)
    files[4].boxes.write_text("7 .5 .5 .1 .1")
    files[5].mask.unlink()
    files[5].boxes.write_text("0 .9 .5 .5 .5")  # note: leaves the image
    write_image(files[6].vis, np.repeat(dataset.pair("test", ids[6]).ir, 3, 0))
    seen = []
    report = check(opened("msrs", dataset.root), progress=lambda *a: seen.append(a))
    assert [f.id for f in report.of("damage")] == ids[:5]
    assert [f.level for f in report.findings] == sorted(f.level for f in report.findings)
    damage = texts(report, "damage")
    for part, text in zip(("truncated", "partner", "sizes differ", "label id 77", "label id 7 "), damage, strict=True):
        assert part in text
        assert "\n" not in text
    assert any("1 of 8 images have no mask in" in t for t in texts(report, "missing"))
    assert texts(report, "note") == [
        f"test: the infrared image is the visible image in 1 of 5 pairs (first {ids[6]}); one folder copied to both?",
        f"test: 1 box of 1 image beyond the edge, by up to 6 pixels (in {ids[5]})",
    ]
    assert report.exit_code() == 1
    assert seen[-1] == ("checking msrs", 8, 8)


def test_only_some_splits(make):
    assert list(check(make("msrs"), ["test"]).counts) == ["test"]


def test_images_in_no_list(make):
    dataset = make("msrs", count=1)
    files = dataset.files("test", dataset.ids("test")[0])
    for path in (files.ir, files.vis):
        path.with_stem("extra").write_bytes(path.read_bytes())
    report = check(opened("msrs", dataset.root), ["test"])
    assert texts(report, "note") == ["test: 1 image in the folder but in no list, ignored (first: extra)"]
    assert report.counts["test"] == (1, 361)


def test_more_than_expected(make):
    report = check(make("vifb", count=22))
    assert texts(report, "note") == ["test: 22 images where 21 are known; copies or additions?"]


def test_shared_frames(make):
    """A train frame that appears brighter and noisy in test is found; other scenes are not."""
    dataset = make("fmb", "train", 4)
    make("fmb", "test", 4, root=dataset.root)
    dataset = opened("fmb", dataset.root)
    for number, split in enumerate(("train", "test")):
        for i, ident in enumerate(dataset.ids(split)):
            files = dataset.files(split, ident)
            vis = picture(10 * number + i if ident != "test2" else 1)
            if ident == "test2":
                vis = np.clip(vis * 0.8 + 30 + SCENE.normal(0, 5, vis.shape), 0, 255).astype(np.uint8)
            write_image(files.vis, vis)
            write_image(files.ir, vis[:1] // 2)
            files.mask.unlink()
    report = check(opened("fmb", dataset.root))
    assert texts(report, "note") == [
        "1 of 4 test images look like a train image (test2 and train1): frames of one scene; "
        "scores on test flatter what was trained on train"
    ]
    assert report.exit_code() == 0, "a leak is the dataset's, not the copy's damage"


def test_lists_that_overlap(make, tmp_path):
    dataset = make("m3fd", count=2)
    for name, text in (("my-train", "00000\n"), ("my-test", "00000\n00004\n")):
        (tmp_path / name).write_text(text)
    lists = {name: tmp_path / name for name in ("my-train", "my-test")}
    report = check(opened("m3fd", dataset.root, lists=lists), list(lists))
    text = (
        "leakage: 1 of 2 images of my-test are in my-train too (first: 00000): what is trained on my-train has seen "
        "them, and its scores on my-test mean nothing; take them out of one of the lists"
    )
    assert texts(report, "damage") == [text]
    assert report.exit_code() == 1
    assert not any("look like" in note for note in texts(report, "note")), "the same image is no near-duplicate"


def test_lists_of_other_names_that_overlap(make, tmp_path):
    dataset = make("m3fd", count=3)
    for name, text in (("a", "00000\n00004\n"), ("b", "00004\n"), ("c", "00006\n")):
        (tmp_path / name).write_text(text)
    lists = {name: tmp_path / name for name in "abc"}
    report = check(opened("m3fd", dataset.root, lists=lists), list(lists))
    assert [t for t in texts(report, "note") if " too " in t] == [
        "1 of 1 images of b are in a too (first: 00004); a method trained on one and scored on the other has seen them"
    ]
    assert report.exit_code() == 0


def test_list_files_in_a_folder_called_after_training(make, tmp_path):
    dataset, folder = make("m3fd", count=2), tmp_path / "training"
    folder.mkdir()
    for name in ("train.txt", "test.txt"):
        (folder / name).write_text("00000\n")
    report = check(opened("m3fd", dataset.root), [str(folder / "train.txt"), str(folder / "test.txt")])
    assert any(text.startswith("leakage: 1 of 1 images") for text in texts(report, "damage"))


@pytest.mark.parametrize(
    ("name", "split", "other", "formats"),
    [("msrs", "test", ".xml", ("YOLO", "voc")), ("m3fd", "all", ".txt", ("Pascal VOC", "yolo"))],
)
def test_boxes_of_the_other_format(make, name, split, other, formats):
    dataset = make(name, count=3)
    for ident in dataset.ids(split):
        boxes = dataset.files(split, ident).boxes
        boxes.rename(boxes.with_suffix(other))
    report = check(opened(name, dataset.root), [split])
    (text,) = [t for t in texts(report, "missing") if "no box file" in t]
    assert f"looked for {formats[0]} files" in text
    assert "3 " in text
    assert f'box_format = "{formats[1]}"' in text


def test_boxes_that_leave_their_image_are_told_once(make):
    dataset = make("m3fd", count=4)
    split = "test"
    for ident in dataset.ids(split)[:3]:
        path = dataset.files(split, ident).boxes
        path.write_text(re.sub(r"<xmax>[^<]*</xmax>", "<xmax>41</xmax>", path.read_text()))
    report = check(opened("m3fd", dataset.root), [split])
    (text,) = [t for t in texts(report, "note") if "beyond the edge" in t]
    assert re.fullmatch(rf"{split}: \d+ boxes of 3 images beyond the edge, by up to 1 pixel \(in \d+\)", text)


def test_near_duplicates_chunks_and_empty():
    codes = [signature(picture(i)) for i in range(3)]
    assert [(a, b) for a, b, _ in near_duplicates(codes, [codes[2]] * 300)] == [(2, i) for i in range(300)]
    assert near_duplicates([], codes) == near_duplicates(codes, []) == []
    flat = signature(np.full((3, 50, 50), 9, np.uint8))
    assert np.isfinite(flat).all()
    assert near_duplicates([flat], [flat]) == [], "two blank images are no scene"


@pytest.mark.parametrize("name", list(cards("dataset")))
def test_instructions(name):
    text = instructions(card("dataset", name))
    assert "Licence:" in text
    assert "Folders:" in text


def test_a_generated_tree_is_whole_by_its_own_counts(tmp_path):
    from fusionbench.data import open_spec
    from fusionbench.data.synth import synth

    synth("fmb", tmp_path / "FMB", 1, 3, (48, 64), 0)
    report = check(open_spec("fmb", tmp_path))
    assert [f.level for f in report.findings] == ["note"]
    assert "generated images (scenes, seed 0), not the real FMB" in report.text()
    for path in (tmp_path / "FMB/test").glob("*/te00002.png"):
        path.unlink()
    report = check(open_spec("fmb", tmp_path))
    assert "test: 2 of the 3 images that were generated" in report.text()
    assert report.exit_code() == 1
