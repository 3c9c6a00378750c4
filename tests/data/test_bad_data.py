"""Bad data: every message names the file, says what is wrong, and takes one line."""

from __future__ import annotations

import re

import numpy as np
import pytest
from _data_samples import card_of, opened
from PIL import Image

from fusionbench.data import Dataset
from fusionbench.data.labels import Boxes, read_voc, read_yolo, write_voc, write_yolo
from fusionbench.data.masks import read_mask, read_saliency
from fusionbench.errors import DataError, PluginError


def message(function, *args):
    with pytest.raises(DataError) as caught:
        function(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_truncated(make):
    dataset = make("msrs")
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).vis
    path.write_bytes(path.read_bytes()[:-300])
    text = message(dataset.pair, "test", ident)
    assert text.startswith(f"{path}: unreadable or truncated image (")
    assert text.endswith("; fetch it again")


def test_sizes_differ(make):
    dataset = make("msrs")
    ident = dataset.ids("test")[0]
    files = dataset.files("test", ident)
    Image.new("L", (41, 24)).save(files.ir)
    assert message(dataset.read, "test", ident) == (
        f"msrs {ident}: sizes differ: {files.ir} is 24x41, {files.vis} is 24x40 (height x width); "
        "a pair must be aligned pixel by pixel"
    )


@pytest.mark.parametrize(("role", "word"), [("ir", "infrared"), ("vis", "visible")])
def test_partner_missing(make, role, word):
    dataset = make("msrs")
    ids = dataset.ids("test")
    files = dataset.files("test", ids[0])
    gone, left = getattr(files, role), files.vis if role == "ir" else files.ir
    gone.unlink()
    again = opened("msrs", dataset.root)
    assert again.ids("test") == ids, "half a pair must not vanish"
    want = f"msrs {ids[0]}: the {word} partner of {left} is missing: looked for {gone.with_suffix('')}.*"
    assert message(again.pair, "test", ids[0]) == want
    assert message(again.hash, "test", ids[0]) == want


def test_unknown_id_and_split(make):
    dataset = make("msrs")
    assert message(dataset.read, "test", "x") == f"msrs x: no image of that name in split test under {dataset.root}"
    assert message(dataset.ids, "tests") == "msrs has no split 'tests'; did you mean test?, or give a list file"
    assert re.match(r"no/such\.txt: cannot read the split list: No such file", message(dataset.ids, "no/such.txt"))


def test_mask_id_outside_the_classes(make):
    dataset = make("msrs")
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).mask
    mask = np.zeros((24, 40), np.uint8)
    mask[0, :3], mask[1, 0] = 12, 255
    Image.fromarray(mask).save(path)
    assert message(dataset.read, "test", ident) == (
        f"{path}: label id 12 (3 pixels) is outside the class list; allowed are 0 to 8 and 255 (ignored)"
    )


def test_mask_of_another_size(make):
    dataset = make("fmb")
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).mask
    Image.new("L", (20, 12)).save(path)
    assert (
        message(dataset.read, "test", ident) == f"fmb {ident}: {path} is 12x20, its images are 24x40 (height x width)"
    )


def test_saliency_of_another_size(make):
    dataset = make("vt5000")
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).saliency
    Image.new("L", (20, 12)).save(path)
    assert (
        message(dataset.read, "test", ident)
        == f"vt5000 {ident}: {path} is 12x20, its images are 24x40 (height x width)"
    )


YOLO = [
    ("3 .5 .5 .1 .1", "label id 3 is outside the class list; allowed are 0 person, 1 bicycle, 2 car"),
    ("1.5 .5 .5 .1 .1", "label id 1.5 is outside the class list; allowed are 0 person, 1 bicycle, 2 car"),
    ("nan .5 .5 .1 .1", "label id nan is outside the class list; allowed are 0 person, 1 bicycle, 2 car"),
    ("0 .5 .5 .1", "is not 'class cx cy w h': '0 .5 .5 .1'"),
    ("0 .5 .5 .1 wide", "is not 'class cx cy w h': '0 .5 .5 .1 wide'"),
    ("0 .5 .5 0 .1", "box 20, 10.8, 20, 13.2 has no area; correct or remove it"),
    ("0 .5 .5 nan .1", "box nan, 10.8, nan, 13.2 has no area; correct or remove it"),
]


@pytest.mark.parametrize(("line", "want"), YOLO)
def test_yolo_lines(make, line, want):
    dataset = make("msrs")
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).boxes
    path.write_text(f"0 .5 .5 .1 .1\n{line}\n")
    assert re.fullmatch(re.escape(f"{path}: line 2") + ":? " + re.escape(want), message(dataset.read, "test", ident))


def test_yolo_without_final_newline_and_empty(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0  .5  .5  .1  .1  \n\n2 .25 .25 .5 .5")
    boxes = read_yolo(path, (40, 20), ["person", "bicycle", "car"])
    np.testing.assert_allclose(boxes.xyxy, [[18, 9, 22, 11], [0, 0, 20, 10]])
    assert boxes.labels.tolist() == [0, 2]
    path.write_text("")
    empty = read_yolo(path, (40, 20), ["person"])
    assert (len(empty), empty.xyxy.shape) == (0, (0, 4))
    write_yolo(path, empty, (40, 20))
    assert path.read_text() == ""


def _voc(name="People", box="<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"):
    return f"<annotation><object><name>{name}</name>{box}</object></annotation>"


VOC = [
    (_voc("Dog"), ": object 1: label 'Dog' is outside the class list; allowed are 0 People, 1 Car, 2 Bus"),
    (_voc(box=""), ": object 1 (People) has no bndbox with four numbers"),
    (_voc(box="<bndbox><xmin>x</xmin></bndbox>"), ": object 1 (People) has no bndbox with four numbers"),
    (
        _voc(box="<bndbox><xmin>3</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"),
        ": object 1: box 3, 2, 3, 4 has no area; correct or remove it",
    ),
    ("<annotation>", ": not a readable VOC annotation: no element found"),
    ("", ": not a readable VOC annotation: no element found"),
    (
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
        ": not a readable VOC annotation: it declares a document type, which annotations never do; refused",
    ),
    (
        '<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>',
        ": not a readable VOC annotation: it declares a document type",
    ),
]


@pytest.mark.parametrize(("text", "want"), VOC)
def test_voc(make, text, want):
    dataset = make("m3fd")
    path = dataset.files("test", "00000").boxes
    path.write_text(text)
    assert message(dataset.read, "test", "00000").startswith(f"{path}{want}")


def test_voc_document_type_in_utf16(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a []><annotation/>'.encode("utf-16"))
    assert "document type" in message(read_voc, path, ["person"])


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("pedestrian", 0),
        ("PERSON", 0),
        ("people", 0),
        ("light", 5),
        ("moto", 3),
        ("motor", 3),
        ("trunk", 4),
        ("Lamp", 5),
    ],
)
def test_m3fd_class_names_in_circulation(make, name, want):
    dataset = make("m3fd")
    dataset.files("test", "00000").boxes.write_text(_voc(name))
    boxes = dataset.read("test", "00000").boxes
    assert boxes.labels.tolist() == [want]
    assert boxes.difficult.tolist() == [False]


def test_voc_round_trip_of_awkward_values(tmp_path):
    path = tmp_path / "a.xml"
    want = Boxes.of([(0.1, 1 / 3, 7, 9.25)], [0])
    write_voc(path, want, (40, 24), ["a<b>&c"], "x&y.png")
    np.testing.assert_array_equal(read_voc(path, ["a<b>&c"]).xyxy, want.xyxy)
    write_voc(path, Boxes.of([], []), (40, 24), ["a"], "x.png")
    assert len(read_voc(path, ["a"])) == 0


PALETTE = [(0, 0, 0), (64, 0, 128), (64, 64, 0)]
IDS = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)


def test_mask_in_colours(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array(PALETTE, np.uint8)[IDS]).save(path)
    np.testing.assert_array_equal(read_mask(path, 3, PALETTE), IDS)
    assert (
        message(read_mask, path, 3)
        == f"{path}: a colour-coded mask, but the dataset has no palette; use the mask of grey ids"
    )
    wrong = np.array(PALETTE, np.uint8)[IDS]
    wrong[1, 2] = 1, 2, 3
    Image.fromarray(wrong).save(path)
    assert message(read_mask, path, 3, PALETTE) == (
        f"{path}: colour (1, 2, 3) at x=2, y=1 (1 pixels in all) is no class colour of the palette; "
        "use the mask of grey ids"
    )


def test_mask_of_ids_in_three_channels(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.repeat(IDS[..., None], 3, 2)).save(path)
    np.testing.assert_array_equal(read_mask(path, 3, PALETTE), IDS)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_mask_with_a_palette(tmp_path, order):
    """Indices with the class palette in any order, and with a palette that says nothing."""
    path = tmp_path / "a.png"
    place = np.argsort(order).astype(np.uint8)
    image = Image.fromarray(place[IDS]).convert("P")
    image.putpalette([v for i in order for v in PALETTE[i]])
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, 3, PALETTE), IDS)
    image = Image.fromarray(IDS).convert("P")
    image.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7])
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, 3, PALETTE), IDS)


def test_saliency_threshold(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 128, 129, 255]], np.uint8)).save(path)
    assert read_saliency(path).tolist() == [[0, 0, 255, 255]]


def test_lists(make, tmp_path):
    dataset = make("msrs", count=3)
    ids = dataset.ids("test")
    path = tmp_path / "mine.txt"
    path.write_text(f"# a comment\n\n{ids[2]}.png 1,2,3,4,0 5,6,7,8,1\nsub/{ids[0]}\nabsent 7.png\n")
    for split, opener in (
        (str(path), opened("msrs", dataset.root)),
        ("mine", opened("msrs", dataset.root, lists={"mine": path})),
    ):
        assert opener.split(split).ids == (ids[2], ids[0], "absent 7")
        assert opener.ids(split) == [ids[2], ids[0]]
        assert opener.missing(split) == ["absent 7"]
        assert opener.read(split, ids[2]).boxes is not None
    names = opened("msrs", dataset.root, lists={"mine": path}).splits()
    assert names == ["train", "test", "boxes-train", "boxes-test", "detection", "mine"]
    path.write_text("a.png\nb\na\n")
    assert message(dataset.split, str(path)) == f"{path}: line 3: a is listed twice (first on line 1)"
    other = tmp_path / "empty.txt"
    other.write_text("# nothing\n")
    assert message(dataset.split, str(other)) == f"{other}: the split list names no image"
    other.write_bytes(b"\xff\xfe\x00")
    assert message(dataset.split, str(other)) == f"{other}: cannot read the split list: not a text file"


def test_list_with_one_name_in_two_folders(make, tmp_path):
    dataset = make("fmb", "test", 1)
    sample = dataset.read("test", "test0")
    dataset.write(sample, "train")
    path = tmp_path / "mine.txt"
    path.write_text("test0\n")
    want = "fmb test0: lies in train and test; this list cannot tell which is meant"
    assert message(opened("fmb", dataset.root).pair, str(path), "test0") == want


def test_partial_copy_keeps_the_order_of_the_list(make):
    dataset = make("m3fd", count=3)
    dataset.files("test", "00004").ir.unlink()
    dataset.files("test", "00004").vis.unlink()
    again = opened("m3fd", dataset.root)
    assert again.ids("test") == ["00000", "00008"]
    assert len(again.missing("test")) == 1048
    assert again.ids("all") == ["00000", "00008"]


def test_card_without_layout(tmp_path):
    with pytest.raises(PluginError, match=r"mine\.toml: a dataset card needs \[layout\] with ir and vis"):
        Dataset(tmp_path, card_of(tmp_path, layout={"ir": "ir"}))
