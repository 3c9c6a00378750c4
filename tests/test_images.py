"""Reading and writing images, and the conversion to grey."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from PIL import Image

from fusionbench.errors import DataError
from fusionbench.pixels import images
from fusionbench.pixels.images import grey, image_size, read_image, write_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 13, 17), np.uint8)
GREY = RNG.integers(0, 256, (1, 13, 17), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
@pytest.mark.parametrize("array", [COLOUR, GREY, GREY[0]], ids=["rgb", "grey", "plane"])
def test_round_trip(tmp_path, suffix, array):
    path = tmp_path / "new" / f"a{suffix}"
    write_image(path, array)
    got = read_image(path)
    np.testing.assert_array_equal(got, array if array.ndim == 3 else array[None])
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert got.flags.writeable
    assert image_size(path) == (17, 13)
    assert os.listdir(path.parent) == [path.name]


def test_jpg_is_close(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[None]
    write_image(tmp_path / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() <= 3


def test_non_contiguous(tmp_path):
    write_image(tmp_path / "a.png", COLOUR[:, ::2, ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLOUR[:, ::2, ::-1])


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1", "L"])
def test_modes(tmp_path, mode):
    """Alpha is dropped and not blended; palettes are resolved."""
    plain = Image.fromarray(COLOUR.transpose(1, 2, 0))
    if mode == "RGBA":
        plain.putalpha(7)
        want = COLOUR
    elif mode == "P":
        plain = plain.quantize(16)
        want = np.asarray(plain.convert("RGB")).transpose(2, 0, 1)
    elif mode == "LA":
        plain = Image.fromarray(GREY[0])
        plain.putalpha(7)
        want = GREY
    else:
        plain = Image.fromarray(GREY[0]).convert(mode)
        want = np.asarray(plain.convert("L"))[None]
    assert plain.mode == mode
    plain.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), want)


def _fails(path, pattern):
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: {pattern}$") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_sixteen_bits(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((5, 5), 40000, np.uint16)).save(path)
    _fails(path, "16-bit grey; only 8-bit images are read: convert it to 8 bits a channel")


def test_sixteen_bits_in_colour(tmp_path):
    """Pillow would silently cut such a file down to 8 bits."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "a.png"
    head, rows = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0), zlib.compress((b"\0" + bytes(12)) * 2)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    _fails(path, "16-bit colour; only 8-bit images are read: convert it to 8 bits a channel")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_truncated_at_every_length(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, COLOUR)
    whole = path.read_bytes()
    # a PNG without its last chunks still has all its pixels
    for length in range(0, len(whole) - 40, 7):
        path.write_bytes(whole[:length])
        if length == 0:
            _fails(path, "the file is empty; fetch it again")
        else:
            _fails(
                path, r"(unreadable or truncated image \(.+\)|not a png, jpg, bmp, tif or webp image); fetch it again"
            )


def test_not_there_and_no_image(tmp_path):
    _fails(tmp_path / "a.png", "no such file")
    (tmp_path / "b.png").write_text("hello")
    _fails(tmp_path / "b.png", "not a png, jpg, bmp, tif or webp image; fetch it again")
    (tmp_path / "c.png").mkdir()
    _fails(tmp_path / "c.png", r"unreadable or truncated image \(.*directory.*\); fetch it again")


def test_flipped_bytes_never_crash(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, COLOUR)
    whole, lines = path.read_bytes(), []
    for place in range(8, len(whole), 5):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        try:
            read_image(path)
        except DataError as error:
            lines.append(str(error).count("\n"))
    assert not any(lines)


def test_bomb(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    _fails(path, r"unreadable or truncated image \(.*decompression bomb.*\); fetch it again")


@pytest.mark.parametrize("bad", [np.zeros((2, 4, 4), np.uint8), np.zeros((4, 4)), np.zeros((1, 3, 4, 4), np.uint8)])
def test_write_refuses(tmp_path, bad):
    with pytest.raises(DataError, match=r"needs uint8 \[H,W\] or \[1 or 3,H,W\]"):
        write_image(tmp_path / "a.png", bad)
    with pytest.raises(DataError, match=r"unknown image suffix '\.gif'; use one of \.png"):
        write_image(tmp_path / "a.gif", GREY)
    assert not list(tmp_path.iterdir())


def test_write_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, GREY)
    before = path.read_bytes()

    def full(self, file, *args, **options):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(images.Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        write_image(path, COLOUR)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_grey_of_one_channel_and_of_three_equal():
    assert grey(GREY) is GREY
    np.testing.assert_array_equal(grey(np.repeat(GREY, 3, 0)), GREY)


def test_grey_is_bt601_rounded():
    """Away from ties it is the rounded exact value; at ties (x.5) it is one of the two neighbours."""
    red, green, blue = (a.ravel() for a in np.meshgrid(*[np.arange(0, 256, 3)] * 3, indexing="ij"))
    colours = np.stack([red, green, blue]).astype(np.uint8)[:, None]
    thousandths = 299 * red + 587 * green + 114 * blue
    got = grey(colours)[0, 0].astype(int)
    tie = thousandths % 1000 == 500
    np.testing.assert_array_equal(got[~tie], ((thousandths + 500) // 1000)[~tie])
    assert (np.abs(got * 1000 - thousandths)[tie] == 500).all()
    # how OpenCV 5.0 decides four ties: 10.5 and 96.5 go up (float32 error), 91.5 to 92 and 28.5 to 28 (half to even)
    ties = np.array([[3, 15, 7], [7, 135, 133], [0, 110, 245], [2, 20, 133]], np.uint8)
    assert grey(ties.T[:, None]).ravel().tolist() == [11, 97, 92, 28]


@pytest.mark.real
def test_grey_is_opencvs(shared):
    """The grey visible images kept with the golden metric values, made by OpenCV in float32 and rounded."""
    folder = shared / "reference" / "metrics" / "images"
    files = sorted(folder.glob("*_VIS_RGB.png"))
    assert files
    for path in files:
        want = read_image(path.with_name(path.name.replace("_RGB", "")))
        np.testing.assert_array_equal(grey(read_image(path)), want, err_msg=path.name)
