"""One reader for every role: formats, orientation, depth, channels, hidden files, names in Unicode."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fusionbench import fuse
from fusionbench.data import Reading, open_dataset
from fusionbench.data.checks import check
from fusionbench.errors import DataError
from fusionbench.pixels.images import deep_levels, image_size, read_image, read_rgbt, write_image
from fusionbench.pixels.names import SUFFIXES
from fusionbench.training.data import TrainingSplit
from tests.conftest import fusionbench

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 24, 40), np.uint8)
GREY = RNG.integers(0, 256, (1, 24, 40), np.uint8)
ORIENTATION = 0x0112
# How a viewer shows what is stored, by EXIF orientation; [H,W] or [H,W,3].
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made


def save(path: Path, array: np.ndarray, orientation: int, **options: object) -> None:
    """An array ``[H,W]`` or ``[H,W,3]`` as it is stored, with the mark of its orientation."""
    if path.suffix.lower() in (".tif", ".tiff"):
        options["tiffinfo"] = {ORIENTATION: orientation}
    else:
        options["exif"] = exif(orientation)
    Image.fromarray(np.ascontiguousarray(array)).save(path, **options)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.TIF", {}),
        ("b.tiff", {"compression": "tiff_lzw"}),
        ("a.webp", {"lossless": True}),
    ],
)
def test_a_picture_is_read_as_viewers_show_it(
    tmp_path: Path, name: str, options: dict[str, object], orientation: int
) -> None:
    for array in (COLOUR.transpose(1, 2, 0), GREY[0]):
        save(tmp_path / name, array, orientation, **options)
        want = TURNS[orientation](array)
        got = read_image(tmp_path / name).transpose(1, 2, 0)
        np.testing.assert_array_equal(got, np.broadcast_to(want.reshape(*want.shape[:2], -1), got.shape))
        assert image_size(tmp_path / name) == (want.shape[1], want.shape[0])


@pytest.mark.parametrize("orientation", TURNS)
def test_a_turned_jpg(tmp_path: Path, orientation: int) -> None:
    """Of blocks of one colour, which jpg keeps nearly as they are."""
    array = np.kron(RNG.integers(0, 256, (3, 5), np.uint8), np.ones((16, 16), np.uint8))
    save(tmp_path / "a.JPG", array, orientation, quality=100)
    want = TURNS[orientation](array)
    assert image_size(tmp_path / "a.JPG") == (want.shape[1], want.shape[0])
    assert np.abs(read_image(tmp_path / "a.JPG")[0].astype(int) - want).max() <= 2


def test_marks_behind_the_pixels_and_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(GREY[0]).save(path, exif=exif(6))
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    length = int.from_bytes(data[start : start + 4], "big") + 12
    chunk, end = data[start : start + length], data.index(b"IEND") - 4
    path.write_bytes(data[:start] + data[start + length : end] + chunk + data[end:])
    np.testing.assert_array_equal(read_image(path)[0], np.rot90(GREY[0], -1))
    assert image_size(path) == (24, 40)
    for broken in (b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\xff", b"\xff" * 40, exif(9).tobytes(), exif(0).tobytes()):
        Image.fromarray(GREY[0]).save(path, exif=broken)
        np.testing.assert_array_equal(read_image(path), GREY)
    info = PngImagePlugin.PngInfo()
    info.add_text("eXIf", "the word alone")
    Image.fromarray(GREY[0]).save(path, pnginfo=info)
    assert image_size(path) == (40, 24)


def pairs(root: Path, ir: dict[str, np.ndarray], vis: dict[str, np.ndarray]) -> Path:
    """A folder of pairs; arrays as ``[H,W]`` or ``[H,W,C]`` under the names of their files."""
    for role, files in (("ir", ir), ("vis", vis)):
        (root / role).mkdir(parents=True)
        for name, array in files.items():
            Image.fromarray(array).save(root / role / name)
    return root


def opened(root: Path, **reading: object):
    return open_dataset("folder", root, exact=True, reading=Reading(**reading))


def test_a_turned_mask_and_its_boxes_lie_on_the_turned_picture(tmp_path: Path) -> None:
    """Masks turn as pictures do; boxes are in the pixels of the picture as it is shown."""
    root = tmp_path / "MSRS/test"
    for role in ("ir", "vi", "Segmentation_labels", "detection_labels"):
        (root / role).mkdir(parents=True)
    ids = RNG.integers(0, 9, (24, 40), np.uint8)
    Image.fromarray(GREY[0].T.copy()).save(root / "ir/00004N.png")
    save(root / "vi/00004N.png", COLOUR.transpose(1, 2, 0), 5)
    save(root / "Segmentation_labels/00004N.png", ids, 5)
    (root / "detection_labels/00004N.txt").write_text("0 0.5 0.25 0.5 0.1\n")
    sample = open_dataset("msrs", tmp_path).read("test", "00004N")
    np.testing.assert_array_equal(sample.mask, ids.T)
    assert sample.boxes is not None
    np.testing.assert_allclose(sample.boxes.xyxy, [[6, 8, 18, 12]])  # of 24x40


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG", ".Tif", ".JPEG", ".WebP"])
def test_every_format_in_every_role(tmp_path: Path, suffix: str) -> None:
    for role, array in (("ir", GREY), ("vis", COLOUR)):
        write_image(tmp_path / role / f"001{suffix}", array)
    dataset = opened(tmp_path)
    assert dataset.ids("all") == ["001"]
    sample = dataset.pair("all", "001")
    if not suffix.lower().startswith(".jp"):
        np.testing.assert_array_equal(sample.ir, GREY)
        np.testing.assert_array_equal(sample.vis, COLOUR)


@pytest.mark.parametrize("junk", ["._001.png", ".001.png", "Thumbs.db", ".DS_Store", "desktop.ini"])
def test_what_is_not_the_users_is_skipped(tmp_path: Path, junk: str) -> None:
    pairs(tmp_path, {"001.png": GREY[0]}, {"001.png": GREY[0]})
    for role in ("ir", "vis"):
        (tmp_path / role / junk).write_bytes(b"\0\5\x16\7")
    assert opened(tmp_path).ids("all") == ["001"]
    assert not check(opened(tmp_path)).of("damage")


@pytest.mark.parametrize("name", ["é", "Köln Straße", "한글", "ñandú-01", "Å"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_composed_and_decomposed_names_pair(tmp_path: Path, name: str, forms: tuple[str, str]) -> None:
    ir, vis = (unicodedata.normalize(form, name) for form in forms)
    pairs(tmp_path, {f"{ir}.png": GREY[0]}, {f"{vis}.bmp": GREY[0]})
    (tmp_path / "list.txt").write_text(unicodedata.normalize("NFD", name) + "\n", encoding="utf-8")
    dataset = opened(tmp_path)
    want = [unicodedata.normalize("NFC", name)]
    assert dataset.ids("all") == want
    assert dataset.ids(str(tmp_path / "list.txt")) == want
    dataset.pair("all", want[0])


# ---------------------------------------------------------------- more than 8 bits

DEEP = {
    "001.png": (RNG.integers(7000, 9001, (24, 40))).astype(np.uint16),
    "001.tif": (RNG.integers(7000, 9001, (24, 40))).astype(np.uint16),
    "001.tiff": RNG.integers(-20, 41, (24, 40)).astype(np.int32),
    "001.TIF": RNG.uniform(270, 310, (24, 40)).astype(np.float32),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_infrared_is_read_with_a_range_and_refused_without(tmp_path: Path, name: str) -> None:
    values = DEEP[name]
    pairs(tmp_path, {name: values}, {"001.png": GREY[0]})
    low, high = float(values.min()), float(values.max())
    assert deep_levels(tmp_path / "ir" / name) == (low, high)
    plain = opened(tmp_path)
    for call in (lambda: plain.pair("all", "001"), lambda: plain.check_depth("all", ["001"])):
        with pytest.raises(DataError, match=r"levels .* to .*ir_range=") as caught:
            call()
        assert f"{low:.10g} to {high:.10g}" in str(caught.value)
        assert "\n" not in str(caught.value)
    middle = (low + high) / 2
    got = opened(tmp_path, ir_range=(low, middle)).pair("all", "001").ir[0]
    want = np.rint(np.clip((values.astype(float) - low) * (255 / (middle - low)), 0, 255))
    np.testing.assert_array_equal(got, want)
    assert got.max() == 255
    hashes = {opened(tmp_path, ir_range=r).hash("all", "001") for r in [(low, high), (low, middle), None]}
    assert len(hashes) == 3  # what was computed under another range is not taken for this one's
    report = check(plain)
    assert [f.text for f in report.of("damage")] == [str(caught.value)]
    assert not check(opened(tmp_path, ir_range=(low, high))).of("damage")


def test_the_range_of_a_set_is_that_of_many_files(tmp_path: Path) -> None:
    ir = {f"{n}.png": np.full((24, 40), 1000 * n, np.uint16) for n in range(1, 8)}
    pairs(tmp_path, ir, dict.fromkeys(ir, GREY[0]))
    with pytest.raises(DataError, match=r"levels 1000 to 7000.*ir_range=1000,7000"):
        opened(tmp_path).check_depth("all", opened(tmp_path).ids("all"))


def test_deep_visible_and_levels_that_are_no_numbers(tmp_path: Path) -> None:
    pairs(tmp_path, {"001.png": GREY[0]}, {"001.png": DEEP["001.png"]})
    with pytest.raises(DataError, match="16-bit grey; only 8-bit images are read"):
        opened(tmp_path, ir_range=(0, 65535)).pair("all", "001")
    Image.fromarray(np.full((24, 40), np.nan, np.float32)).save(tmp_path / "ir/001.tif")
    (tmp_path / "ir/001.png").unlink()
    with pytest.raises(DataError, match="not finite"):
        opened(tmp_path, ir_range=(0, 1)).pair("all", "001")
    with pytest.raises(DataError, match="ir_range="):
        opened(tmp_path).pair("all", "001")


@pytest.mark.parametrize("wrong", [(5, 5), (9, 2), (float("nan"), 1), (0, float("inf"))])
def test_ranges_that_mean_nothing(wrong: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="two numbers, the smaller one first"):
        Reading(ir_range=wrong)


# ---------------------------------------------------------------- four channels


@pytest.mark.parametrize("name", ["001.png", "001.tif", "001.webp"])
@pytest.mark.parametrize("fourth", ["thermal", "corners"])
def test_a_fourth_channel_is_refused_or_split(tmp_path: Path, name: str, fourth: str) -> None:
    last = GREY[0].copy() if fourth == "thermal" else np.where(np.indices((24, 40)).sum(0) < 5, 0, 255).astype(np.uint8)
    array = np.dstack([COLOUR.transpose(1, 2, 0), last])
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    (tmp_path / "images").mkdir()
    Image.fromarray(array).save(tmp_path / "images" / name, **options)
    with pytest.raises(DataError, match=r"4 channels, the last with levels .*rgbt4=True"):
        read_image(tmp_path / "images" / name)
    ir, vis = read_rgbt(tmp_path / "images" / name)
    np.testing.assert_array_equal(ir[0], last)
    np.testing.assert_array_equal(vis, COLOUR)
    for root in (tmp_path, tmp_path / "images"):
        dataset = opened(root, rgbt4=True)
        sample = dataset.pair("all", dataset.ids("all")[0])
        np.testing.assert_array_equal(sample.ir[0], last)
        np.testing.assert_array_equal(sample.vis, COLOUR)


@pytest.mark.parametrize("array", [COLOUR.transpose(1, 2, 0), GREY[0], np.dstack([GREY[0]] * 2)])
def test_files_without_a_fourth_channel(tmp_path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="channels where rgbt4=True needs four"):
        read_rgbt(tmp_path / "a.png")


def test_grey_with_a_second_channel_that_says_something(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY[0], GREY[0][::-1]])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="2 channels, the last with levels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_transparency_without_a_channel_of_its_own(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(COLOUR.transpose(1, 2, 0)).convert("P", palette=Image.Palette.ADAPTIVE).convert("RGB")
    image = image.convert(mode, **({"palette": Image.Palette.ADAPTIVE} if mode == "P" else {}))
    told = image.getpixel((0, 0))
    image.save(tmp_path / "a.png", transparency=told)
    with pytest.raises(DataError, match=r"transparency with levels 0 to 255: a picture .* without$"):
        read_image(tmp_path / "a.png")
    image.save(tmp_path / "plain.png")
    opaque = {"P": bytes([255] * 256), "L": None, "RGB": (1, 254, 3), "1": None}[mode]
    if opaque:
        image.save(tmp_path / "b.png", transparency=opaque)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "plain.png"))


@pytest.mark.parametrize("white", [0, 1])
def test_a_deep_file_whose_0_is_white(tmp_path: Path, white: int) -> None:
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(levels).save(tmp_path / "a.tif", tiffinfo={262: white})
    if white == 0:
        with pytest.raises(DataError, match=r"a\.tif: a TIFF whose 0 is white"):
            read_image(tmp_path / "a.tif", (0, 63000))
    else:
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif", (0, 63000))[0, 0, :2], [0, 4])


# ---------------------------------------------------------------- by the commands


def average(*arguments: object):
    done = fusionbench(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_eval_and_fuse_take_the_same_files(tmp_path: Path) -> None:
    """Decomposed names, turned pictures, other formats, and files of a Mac beside them."""
    name = unicodedata.normalize("NFD", "Köln")
    write_image(tmp_path / "ir/Köln.tif", GREY)
    (tmp_path / "vis").mkdir()
    save(tmp_path / f"vis/{name}.WEBP", COLOUR.transpose(1, 2, 0), 3, lossless=True)
    for role in ("ir", "vis"):
        (tmp_path / role / f"._{name}.png").write_bytes(b"\0\5\x16\7")
    average("fuse", "average", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "-o", tmp_path / "f")
    average("eval", "--methods=average", "--metrics=en", f"--datasets=folder={tmp_path}", "--out", tmp_path / "r")
    (one,), (two,) = (tmp_path / "f").iterdir(), (tmp_path / "r/fused").rglob("*.png")
    assert one.name == two.name == "Köln.png"
    turned = np.ascontiguousarray(COLOUR.transpose(1, 2, 0)[::-1, ::-1])
    want = fuse("average", GREY[0], turned)
    np.testing.assert_array_equal(read_image(one).transpose(1, 2, 0), want)
    np.testing.assert_array_equal(read_image(two).transpose(1, 2, 0), want)


@pytest.mark.parametrize("name", DEEP)
def test_the_range_is_part_of_the_protocol(tmp_path: Path, name: str) -> None:
    values = DEEP[name]
    pairs(tmp_path, {name: values}, {"001.png": COLOUR.transpose(1, 2, 0)})
    low, high = float(values.min()), float(values.max())
    asked = ("eval", "--methods=infrared", "--metrics=en", f"--datasets=folder={tmp_path}", "--out", tmp_path / "r")
    both = ("fuse", "infrared", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "-o", tmp_path / "f")
    for command in (asked, both):
        done = fusionbench(*command)
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert f"levels {low:.10g} to {high:.10g}" in line
        assert f"--ir-range {low:.10g},{high:.10g}" in line
    given = f"--ir-range={low:g},{high:g}"
    assert f"folder-fusion@v1+ir-range={low:g},{high:g}" in average(*asked, given).stdout
    average(*both, given)
    (fused,) = (tmp_path / "r/fused").rglob("*.png")
    np.testing.assert_array_equal(read_image(fused), read_image(tmp_path / "f/001.png"))
    other = average(*asked, f"--ir-range={low:g},{2 * high:g}")
    assert "1 image fused, 0 kept" in other.stderr
    for wrong in ("7000", "a,b", "9,2", "1,2,3", "nan,1"):
        assert fusionbench(*asked, f"--ir-range={wrong}").returncode == 2


def test_a_range_for_pictures_of_8_bits_is_said(tmp_path: Path) -> None:
    pairs(tmp_path, {"001.png": GREY[0]}, {"001.png": GREY[0]})
    done = average(
        *("eval", "--methods=average", "--metrics=en", f"--datasets=folder={tmp_path}", "--out", tmp_path / "r"),
        "--ir-range=10,20",
    )
    assert done.stderr.count("has 8 bits and is read as it is") == 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_colour_and_thermal_in_one_file_by_the_commands(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "images").mkdir()
    for number in range(5):
        array = np.dstack([np.roll(COLOUR, number, 1).transpose(1, 2, 0), GREY[0]])
        options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
        Image.fromarray(array).save(tmp_path / f"images/{number}{suffix}", **options)
    images = tmp_path / "images"
    done = fusionbench("fuse", "average", "--ir", images, "--vis", images, "-o", tmp_path / "no")
    assert done.returncode == 1
    assert "--rgbt4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 5  # three failures, how many more, how many of all
    average("fuse", "average", "--ir", images, "--rgbt4", "-o", tmp_path / "f")
    average(
        *("eval", "--methods=average", "--metrics=en", f"--datasets=folder={tmp_path}", "--rgbt4"),
        *("--out", tmp_path / "r"),
    )
    for path in (tmp_path / "r/fused").rglob("*.png"):
        np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "f" / path.name))
    assert fusionbench("data", "check", f"folder={tmp_path}", "--rgbt4").returncode == 0
    assert fusionbench("fuse", "average", "--ir", images, "-o", tmp_path / "f").returncode == 2


def test_training_wants_the_range_before_it_begins(tmp_path: Path) -> None:
    root = tmp_path / "MSRS/train"
    for role, array in (("ir", DEEP["001.png"]), ("vi", COLOUR.transpose(1, 2, 0))):
        (root / role).mkdir(parents=True)
        Image.fromarray(array).save(root / role / "00001D.png")
    with pytest.raises(DataError, match="ir_range="):
        TrainingSplit(open_dataset("msrs", tmp_path)).check()
