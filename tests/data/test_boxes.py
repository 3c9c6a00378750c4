"""Boxes as people have them: polygons, pixels in the place of shares, boxes outside, annotations of another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _data_samples import opened

from fusionbench.data.checks import check
from fusionbench.data.labels import read_voc, read_yolo
from fusionbench.errors import DataError

SIZE = (80, 64)  # width, height
CLASSES = ("person", "bicycle", "car")


def yolo(tmp_path: Path, text: str, encoding: str = "utf-8") -> np.ndarray:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    return read_yolo(tmp_path / "a.txt", SIZE, CLASSES).xyxy


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        yolo(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'a.txt'}: line ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("points", "box"),
    [
        ("0.25 0.5 0.5 0.5 0.5 0.75 0.25 0.75", (20, 32, 40, 48)),  # four corners, as an oriented box has
        ("0.5 0.25 0.75 0.5 0.25 0.5", (20, 16, 60, 32)),  # three points
        ("0 0 1 0 1 1 0.5 0.5 0 1", (0, 0, 80, 64)),
        ("0.5 0.75 0.25 0.5 0.25 0.75 0.5 0.5 0.3 0.6 0.4 0.7", (20, 32, 40, 48)),  # in any order
    ],
)
def test_polygons_become_boxes(tmp_path: Path, points: str, box: tuple[float, ...]) -> None:
    assert yolo(tmp_path, f"2 {points}\n1 .5 .5 .5 .5\n").tolist() == [list(box), [20, 16, 60, 48]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert yolo(tmp_path, "0 .5 .5 .5 .5\r\n\r\n", encoding).tolist() == [[20, 16, 60, 48]]


@pytest.mark.parametrize(
    "line",
    [
        "0 .5 .5 .5 .5 .9",  # a prediction with its confidence
        "0 .1 .2 .3 .4 .5 .6 .7",  # half a point
        "0",
        "0 .5 .5",
    ],
)
def test_other_numbers_of_numbers(tmp_path: Path, line: str) -> None:
    assert "is not 'class cx cy w h'" in refused(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "value"),
    [("0 40 32 10 12", "40"), ("0 0.5 0.5 10 0.1", "10"), ("1 20 30 40 30 40 50", "50"), ("0 .5 32 .1 .1", "32")],
)
def test_pixels_in_the_place_of_shares(tmp_path: Path, line: str, value: str) -> None:
    text = refused(tmp_path, f"0 .5 .5 .1 .1\n{line}")
    assert f"line 2: {value} is no share of the image; are these pixels?" in text
    assert "Divide x and widths by 80, y and heights by 64" in text


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 1.3 .5 .2 .2", "outside the 80x64 image"),
        ("0 -.4 .5 .2 .2", "outside the 80x64 image"),
        ("0 .5 1.06 .2 .2", "outside the 80x64 image"),  # most of it
        ("0 1.1 .5 1.15 .6 1.1 .7", "outside the 80x64 image"),
        ("0 .5 .5 0 .2", "has no area"),
        ("0 .5 .5 -.1 .2", "has no area"),
        ("0 .2 .2 .2 .4 .2 .6", "has no area"),
        ("0 .2 .2 nan .4 .3 .6", "has no area"),
        ("0 .5 .5 .1 inf", "is no share"),
    ],
)
def test_boxes_that_cannot_be(tmp_path: Path, line: str, what: str) -> None:
    assert what in refused(tmp_path, line)


@pytest.mark.parametrize("line", ["0 .97 .5 .1 .2", "0 .02 .02 .05 .05", "0 .5 .5 1.05 1.05"])
def test_annotators_leave_the_image_a_little(tmp_path: Path, line: str) -> None:
    assert len(yolo(tmp_path, line)) == 1


# ---------------------------------------------------------------- VOC


def voc(
    tmp_path: Path, box: tuple[float, ...], size: str = "<size><width>80</width><height>64</height></size>"
) -> Path:
    names = ("xmin", "ymin", "xmax", "ymax")
    corners = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, box, strict=True))
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation>{size}<object><name>car</name><bndbox>{corners}</bndbox></object></annotation>")
    return path


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>", None])
def test_voc_sizes_that_fit_or_say_nothing(tmp_path: Path, size: str | None) -> None:
    path = voc(tmp_path, (1, 2, 30, 40)) if size is None else voc(tmp_path, (1, 2, 30, 40), size)
    assert read_voc(path, CLASSES, size=SIZE).xyxy.tolist() == [[1, 2, 30, 40]]


@pytest.mark.parametrize(("width", "height"), [(160, 128), (64, 80), (80, 63), (1280, 1024)])
def test_voc_sizes_unlike_the_image(tmp_path: Path, width: int, height: int) -> None:
    path = voc(tmp_path, (1, 2, 30, 40), f"<size><width>{width}</width><height>{height}</height></size>")
    with pytest.raises(DataError, match=f"made for an image of {width}x{height}, but its image is 80x64"):
        read_voc(path, CLASSES, size=SIZE)


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ((90, 2, 120, 40), "outside the 80x64 image"),
        ((60, 2, 140, 40), "or most of it"),
        ((-50, -50, -1, -1), "outside the 80x64 image"),
        ((5, 5, 5, 9), "has no area"),
        ((9, 5, 5, 9), "has no area"),
        ((0.1, 0.2, 0.5, 0.9), "are shares of the image; a VOC annotation has pixels"),
    ],
)
def test_voc_boxes_that_cannot_be(tmp_path: Path, box: tuple[float, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_voc(voc(tmp_path, box), CLASSES, size=SIZE)


@pytest.mark.parametrize(
    ("name", "text"),
    [("msrs", "0 30 10 8 8"), ("m3fd", "<annotation><size><width>9</width><height>9</height></size></annotation>")],
)
def test_data_check_names_them(make, name: str, text: str) -> None:
    dataset = make(name)
    path = dataset.files("test", dataset.ids("test")[0]).boxes
    path.write_text(text)
    report = check(opened(name, dataset.root), ["test"])
    assert [f.id for f in report.of("damage")] == dataset.ids("test")[:1]
    assert report.exit_code() == 1
