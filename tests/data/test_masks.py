"""Masks and saliency maps as annotators save them: read as they are meant, or named as damage in one line."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.data.masks import read_mask, read_saliency
from fusionbench.errors import DataError
from fusionbench.plugins.cards import card

IDS = np.array([[0, 0, 3, 3], [0, 2, 3, 1], [1, 1, 2, 0]], np.uint8)
MSRS = card("dataset", "msrs").facts.classes.palette
FMB = card("dataset", "fmb").facts.classes.palette


def voc(count: int) -> list[tuple[int, int, int]]:
    """PASCAL VOC's colour map, as its devkit computes it."""
    colours = []
    for i in range(count):
        r = g = b = 0
        for j in range(8):
            r, g, b = r | (i & 1) << (7 - j), g | (i >> 1 & 1) << (7 - j), b | (i >> 2 & 1) << (7 - j)
            i >>= 3
        colours.append((r, g, b))
    return colours


def with_palette(path: Path, indices: np.ndarray, colours: Sequence[Sequence[int]], **options: int) -> Path:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([v for colour in colours for v in colour])
    image.save(path, **options)
    return path


def grey(path: Path, ids: np.ndarray, bits: int) -> Path:
    """A grey PNG of so many bits a pixel, its values unscaled, as OpenCV and libpng write it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for row in ids:
        packed = "".join(f"{v:0{bits}b}" for v in row.tolist())
        packed += "0" * (-len(packed) % 8)
        rows += b"\0" + bytes(int(packed[i : i + 8], 2) for i in range(0, len(packed), 8))
    head = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def refused(function, *arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(arguments[0]))
    return text


# ---------------------------------------------------------------- palettes


@pytest.mark.parametrize("used", [(0, 3), (0, 1), (0, 3, 7), (3,), (0, 4, 8), range(9)])
@pytest.mark.parametrize("length", [256, 16, 9])
def test_the_voc_map_means_ids(tmp_path: Path, used: Sequence[int], length: int) -> None:
    """Whichever classes an image shows: some VOC colours are class colours of MSRS, of another class."""
    ids = np.resize(np.array(list(used), np.uint8), (4, 10))
    path = with_palette(tmp_path / "a.png", ids, voc(length))
    np.testing.assert_array_equal(read_mask(path, 9, MSRS, 255), ids)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("order", [range(9), range(8, -1, -1), [0, 5, 3, 1, 7, 2, 8, 4, 6]])
@pytest.mark.parametrize("turn", [1, -1])
def test_class_colours_at_other_places_mean_colours(
    tmp_path: Path, suffix: str, order: Sequence[int], turn: int
) -> None:
    ids = np.resize(np.array([0, 5, 3, 8], np.uint8), (4, 12))
    place = np.argsort(list(order))
    path = with_palette(tmp_path / f"a.{suffix}", place[ids], [MSRS[i][::turn] for i in order])
    np.testing.assert_array_equal(read_mask(path, 9, MSRS, 255), ids)


def test_a_palette_of_the_used_colours_alone(tmp_path: Path) -> None:
    """As programs that reduce a coloured mask write it."""
    path = with_palette(tmp_path / "a.png", np.array([[0, 1], [1, 0]]), [MSRS[0], MSRS[5]])
    assert read_mask(path, 9, MSRS).tolist() == [[0, 5], [5, 0]]


def test_class_colours_within_a_web_palette(tmp_path: Path) -> None:
    web = [(r, g, b) for r in range(0, 256, 51) for g in range(0, 256, 51) for b in range(0, 256, 51)]
    classes = [(0, 0, 0), (255, 0, 0), (0, 255, 0)]
    ids = np.array([[0, 1, 2]], np.uint8)
    path = with_palette(tmp_path / "a.png", np.array([[web.index(classes[i]) for i in ids[0]]]), web)
    np.testing.assert_array_equal(read_mask(path, 3, classes), ids)


@pytest.mark.parametrize("ramp", ["grey", "short", "none of them"])
def test_palettes_that_say_nothing(tmp_path: Path, ramp: str) -> None:
    colours = {
        "grey": [(i, i, i) for i in range(256)],
        "short": [MSRS[0], MSRS[1]] + [(0, 0, 0)] * 254,  # padded with zeros
        "none of them": [(i, 255 - i, 7) for i in range(256)],
    }[ramp]
    path = with_palette(tmp_path / "a.png", IDS, colours)
    np.testing.assert_array_equal(read_mask(path, 9, MSRS), IDS)


@pytest.mark.parametrize(
    ("used", "colours"),
    [
        ((0, 2), [MSRS[0], (1, 2, 3), MSRS[5], (9, 9, 8)]),  # some class colours elsewhere, and others
        ((0, 1), [*voc(1), (128, 0, 0), *[(7, 7, 8)] * 3]),
        ((0, 1), voc(2)),  # PASCAL VOC's and class colours, of another class
    ],
)
def test_two_readings_are_refused(tmp_path: Path, used: tuple[int, ...], colours: list[tuple[int, int, int]]) -> None:
    palette = [*MSRS[:5], *([(128, 0, 0)] if colours[1] == (128, 0, 0) else [MSRS[5]])]
    path = with_palette(tmp_path / "a.png", np.resize(used, (2, 4)), colours)
    assert "can be read in two ways" in refused(read_mask, path, 6, palette)


def test_ignored_index_of_a_palette(tmp_path: Path) -> None:
    ids = np.array([[0, 3, 255, 1]], np.uint8)
    for colours in (voc(256), [*MSRS, *[(0, 0, 0)] * 247]):
        path = with_palette(tmp_path / "a.png", ids, colours)
        np.testing.assert_array_equal(read_mask(path, 9, MSRS, 255), ids)


# ---------------------------------------------------------------- colours


@pytest.mark.parametrize("palette", [FMB, MSRS, [(0, 0, 0), (10, 200, 30), (1, 2, 3)]])
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_both_orders_of_channels(tmp_path: Path, palette: Sequence[Sequence[int]], turn: int, mode: str) -> None:
    ids = np.resize(np.arange(len(palette), dtype=np.uint8), (5, 7))
    colours = np.array(palette, np.uint8)[:, ::turn][ids]
    Image.fromarray(colours).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", len(palette), palette), ids)


def test_orders_are_not_mixed(tmp_path: Path) -> None:
    """Neither within a file, nor where the reversed colours are those of other classes."""
    colours = np.array([[FMB[1], FMB[2][::-1]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    assert "is no class colour of the palette" in refused(read_mask, tmp_path / "a.png", 15, FMB)
    mirrored = [(0, 0, 0), (255, 0, 0), (0, 0, 255), (9, 8, 7)]
    Image.fromarray(np.array([mirrored], np.uint8)).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "b.png", 4, mirrored).tolist() == [[0, 1, 2, 3]]
    Image.fromarray(np.array([[mirrored[3][::-1]]], np.uint8)).save(tmp_path / "c.png")
    assert "is no class colour of the palette" in refused(read_mask, tmp_path / "c.png", 4, mirrored)


def test_grey_class_colours(tmp_path: Path) -> None:
    palette = [(255, 255, 255), (0, 0, 0), (128, 128, 128)]
    Image.fromarray(np.array(palette, np.uint8)[[[0, 1, 2]]]).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", 3, palette).tolist() == [[0, 1, 2]]
    Image.new("RGB", (2, 2)).save(tmp_path / "b.png")  # id 0 or the colour of class 1
    assert "are ids and also class colours" in refused(read_mask, tmp_path / "b.png", 3, palette)


# ---------------------------------------------------------------- depths and formats


@pytest.mark.parametrize(("bits", "top"), [(1, 1), (2, 3), (4, 8), (8, 8)])
def test_grey_of_few_bits(tmp_path: Path, bits: int, top: int) -> None:
    ids = np.resize(np.arange(top + 1, dtype=np.uint8), (5, 11))
    np.testing.assert_array_equal(read_mask(grey(tmp_path / "a.png", ids, bits), 9, MSRS, 255), ids)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit(tmp_path: Path, suffix: str) -> None:
    ids = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    Image.fromarray(ids.astype(bool)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"a.{suffix}", 9, MSRS, 255), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_indices_of_few_bits(tmp_path: Path, bits: int) -> None:
    ids = np.resize(np.arange(2**bits, dtype=np.uint8) % 9, (3, 18))
    path = with_palette(tmp_path / "a.png", ids, voc(2**bits), bits=bits)
    np.testing.assert_array_equal(read_mask(path, 9, MSRS, 255), ids)


def test_ids_of_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(IDS.astype(np.uint16)).save(tmp_path / "a.png")
    assert "16 bits; save it as 8-bit grey with the numbers unchanged" in refused(read_mask, tmp_path / "a.png", 9)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("a.jpg", {"quality": 100}, "a jpg"),
        ("a.png", {"format": "JPEG"}, "a jpg"),  # by content, not by name
        ("a.webp", {}, "a lossy webp"),
        ("a.tif", {"compression": "jpeg"}, "a tif with jpg compression"),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_masks_are_refused(tmp_path: Path, name: str, options: dict, what: str, mode: str) -> None:
    image = Image.fromarray(np.kron(IDS, np.ones((8, 8), np.uint8))).convert(mode)
    image.save(tmp_path / name, **options)
    assert what in refused(read_mask, tmp_path / name, 9, MSRS)


def test_lossless_webp(tmp_path: Path) -> None:
    Image.fromarray(np.array(MSRS, np.uint8)[IDS]).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.webp", 9, MSRS), IDS)


# ---------------------------------------------------------------- an object drawn as 255


@pytest.mark.parametrize("kind", ["L", "RGB", "P", "LA"])
@pytest.mark.parametrize("levels", [(0, 255), (255,)])
def test_nothing_but_0_and_ignore(tmp_path: Path, kind: str, levels: tuple[int, ...]) -> None:
    array = np.resize(np.array(levels, np.uint8), (6, 5))
    Image.fromarray(array).convert(kind).save(tmp_path / "a.png")
    text = refused(read_mask, tmp_path / "a.png", 9, MSRS, 255)
    assert re.search(r"holds only (0 and )?255, and 255 is not scored", text)


def test_with_another_class_it_is_what_it_says(tmp_path: Path) -> None:
    array = np.array([[0, 255, 1]], np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", 9, MSRS, 255), array)
    Image.new("L", (3, 3)).save(tmp_path / "b.png")  # an empty scene
    assert not read_mask(tmp_path / "b.png", 9, MSRS, 255).any()


@pytest.mark.parametrize("kind", ["L", "RGB", "1", "P"])
def test_a_binary_card_means_the_object(tmp_path: Path, kind: str) -> None:
    array = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    Image.fromarray(array).convert(kind).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", 2).tolist() == [[0, 1, 1], [0, 0, 1]]
    Image.fromarray(array // 255).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "b.png", 2).tolist() == [[0, 1, 1], [0, 0, 1]]
    Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(tmp_path / "c.png")
    assert "label id 255" in refused(read_mask, tmp_path / "c.png", 2)


# ---------------------------------------------------------------- saliency

OBJECT = np.array([[0, 1, 1, 0], [0, 1, 0, 0]], np.uint8)


def saved(path: Path, how: str) -> Path:
    """One object, saved in one of the ways that are in use."""
    Image.fromarray(OBJECT * 255).save(path)
    if how.endswith(" bits") and len(how) == 6:
        grey(path, OBJECT, int(how[0]))
    elif how == "0 and 1":
        Image.fromarray(OBJECT).save(path)
    elif how == "0 and 1 in three channels":
        Image.fromarray(np.repeat(OBJECT[..., None], 3, 2)).save(path)
    elif how == "0 and 3 of 2 bits":
        grey(path, OBJECT * 3, 2)
    elif how == "voc colours":
        with_palette(path, OBJECT, voc(256))
    elif how == "voc person":
        with_palette(path, OBJECT * 15, voc(256))
    elif how == "black and white palette":
        with_palette(path, OBJECT, [(0, 0, 0), (255, 255, 255)])
    elif how == "grey palette":
        with_palette(path, OBJECT, [(i, i, i) for i in range(256)])
    elif how == "red":
        Image.fromarray(OBJECT[..., None] * np.array([128, 0, 0], np.uint8)).save(path)
    elif how == "bool":
        Image.fromarray(OBJECT.astype(bool)).save(path)
    elif how == "halves":
        Image.fromarray(np.where(OBJECT, 200, 90).astype(np.uint8)).save(path)
    elif how == "with alpha":
        Image.fromarray(OBJECT * 255).convert("RGBA").save(path)
    return path


WAYS = ["0 and 255", "0 and 1", "0 and 1 in three channels", "1 bits", "2 bits", "4 bits", "0 and 3 of 2 bits"]
WAYS += ["voc colours", "voc person", "black and white palette", "grey palette", "red", "bool", "halves", "with alpha"]


@pytest.mark.parametrize("how", WAYS)
def test_saliency(tmp_path: Path, how: str) -> None:
    assert read_saliency(saved(tmp_path / "a.png", how)).tolist() == (OBJECT * 255).tolist()


@pytest.mark.parametrize("top", [2, 38, 127, 128])
def test_saliency_that_reaches_nowhere(tmp_path: Path, top: int) -> None:
    Image.fromarray(OBJECT * np.uint8(top)).save(tmp_path / "a.png")
    assert f"largest value is {top}, so nothing is above 128" in refused(read_saliency, tmp_path / "a.png")


def test_saliency_in_many_colours(tmp_path: Path) -> None:
    Image.fromarray(np.array(FMB, np.uint8)[None]).save(tmp_path / "a.png")
    assert "15 colours, where a saliency map has two levels" in refused(read_saliency, tmp_path / "a.png")


def test_empty_saliency_and_a_jpg(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert not read_saliency(tmp_path / "a.png").any()
    Image.fromarray(np.kron(OBJECT, np.ones((8, 8), np.uint8)) * 255).save(tmp_path / "a.jpg")  # as VT821 is released
    assert read_saliency(tmp_path / "a.jpg")[4::8, 4::8].tolist() == (OBJECT * 255).tolist()
