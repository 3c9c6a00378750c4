"""Picture files from strangers: pipes, devices, bombs, other formats and animations end in one line, quickly."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.data import open_dataset
from fusionbench.errors import DataError
from fusionbench.pixels import images
from fusionbench.pixels.images import image_size, read_image
from tests.conftest import fusionbench

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)


def refused(path: Path, pattern: str) -> None:
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=pattern) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


@pytest.mark.parametrize("make", [pipe, endless, listening])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.png")
    refused(tmp_path / "a.png", "not a regular file but a pipe or a device; save the image as a file")


@pytest.mark.parametrize("make", [pipe, endless])
@pytest.mark.parametrize("role", ["ir", "vi"])
def test_a_pair_that_cannot_be_read_costs_its_own_row(
    tree: Path, tmp_path: Path, make: Callable[[Path], None], role: str
) -> None:
    path = sorted((tree / "MSRS/test" / role).iterdir())[0]
    path.unlink()
    make(path)
    done = fusionbench("eval", "--methods=average", "--metrics=en", "--data-root", tree, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "3 images fused" in done.stderr
    assert done.stderr.count("not a regular file") == 1
    dataset = open_dataset("msrs", tree)
    with pytest.raises(DataError, match="not a regular file"):
        dataset.content_hash("test")


def png(width: int, height: int) -> bytes:
    """A picture of one colour as a small file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pack = zlib.compressobj(9)
    row = bytes(1 + width)
    rows = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (70_000_000, 1), (1, 70_000_000)])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(width, height if height < 9000 else 9000)[:2000])
    if height > 9000:
        data = bytearray(path.read_bytes())
        data[20:24] = struct.pack(">I", height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        path.write_bytes(data)
    refused(path, rf"{height}x{width} \(height x width\), over the limit of 67108864 pixels; cut or scale it")


def test_a_huge_size_in_the_header(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + bytes(4))
    refused(tmp_path / "a.png", "decompression bomb|over the limit|truncated")


def test_a_file_of_too_many_bytes(tmp_path: Path) -> None:
    with open(tmp_path / "a.bmp", "wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # sparse: nothing is on the disk
    refused(tmp_path / "a.bmp", "bytes, over the limit of")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TGA", "EPS", "PDF", "ICO", "JPEG2000", "PCX", "SGI"])
def test_other_formats_are_not_opened(tmp_path: Path, kind: str) -> None:
    PICTURE.save(tmp_path / "a.png", kind)
    with pytest.raises(DataError, match="not a png, jpg, bmp, tif or webp image; fetch it again"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_the_promised_formats_are_told_by_content(tmp_path: Path, kind: str) -> None:
    PICTURE.save(tmp_path / "a.png", kind, lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PIXELS.transpose(2, 0, 1))
    assert image_size(tmp_path / "a.png") == (32, 24)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_several_pictures_in_a_file(tmp_path: Path, kind: str) -> None:
    PICTURE.save(tmp_path / "a.png", kind, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    with pytest.raises(DataError, match="an animation or a file of several pages; save the one picture that is meant"):
        read_image(tmp_path / "a.png")


def test_a_tif_whose_pages_form_a_ring(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (first,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[first : first + 2])
    after = first + 2 + 12 * entries
    data[after : after + 4] = struct.pack("<I", first)
    (tmp_path / "a.tif").write_bytes(data)
    assert read_image(tmp_path / "a.tif").shape == (3, 24, 32)
