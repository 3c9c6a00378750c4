"""Pairs of videos, fused frame by frame."""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fusionbench import api
from tests.conftest import Done, fusionbench

SIZE = (48, 64)
KINDS = {  # suffix to FFmpeg's container, codec and pixels
    ".mkv": ("matroska", "ffv1", "gray"),
    ".avi": ("avi", "ffv1", "bgr0"),
    ".mp4": ("mp4", "libx264", "yuv420p"),
    ".mov": ("mov", "mpeg4", "yuv420p"),
    ".webm": ("webm", "libvpx-vp9", "yuv420p"),
    ".ts": ("mpegts", "mpeg2video", "yuv420p"),
}


def write(path: Path, count: int = 5, rate: object = 25, size=SIZE, seed: int = 0, deep: bool = False) -> np.ndarray:
    """A video of smooth noise; its frames as they were given to the encoder."""
    container, codec, pixels = KINDS[path.suffix.lower()]
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
    frames = small.repeat(8, 1).repeat(8, 2)[:, : size[0], : size[1]]
    if deep:
        frames, pixels = frames[..., 0].astype(np.uint16) * 10 + 7000, "gray16le"
    elif pixels == "gray":
        frames = frames[..., 0]
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        for number, array in enumerate(frames):
            name = "gray16le" if deep else "gray" if array.ndim == 2 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=name)
            frame.pts = number
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return frames


def read(path: Path, name: str = "rgb24") -> tuple[np.ndarray, Fraction, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format=name) for frame in container.decode(stream)])
        return frames, stream.average_rate, stream.codec_context.name


def fuse(ir: Path, vis: Path, out: Path, *more: object) -> Done:
    done = fusionbench("fuse", "average", "--ir", ir, "--vis", vis, "-o", out, *more)
    assert "internal error" not in done.stderr
    return done


@pytest.mark.parametrize("ir", [".mkv", ".avi"])
@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001), 9])
def test_lossless_frames_are_those_of_the_method(tmp_path: Path, ir: str, rate: object) -> None:
    a, b = write(tmp_path / f"i{ir}", rate=rate), write(tmp_path / "v.avi", rate=rate, seed=1)
    assert fuse(tmp_path / f"i{ir}", tmp_path / "v.avi", tmp_path / "new/o.mkv").returncode == 0
    got, written, codec = read(tmp_path / "new/o.mkv")
    assert (codec, float(written)) == ("ffv1", pytest.approx(float(rate), rel=1e-3))
    for frame, one, two in zip(got, a, b, strict=True):
        np.testing.assert_array_equal(frame, api.fuse("average", one, two))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["o.mkv"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".ts"])
def test_lossy_videos_and_h264(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "i.mkv", 6)
    write(tmp_path / f"v{suffix}", 6, seed=1)
    done = fuse(tmp_path / "i.mkv", tmp_path / f"v{suffix}", tmp_path / "o.MP4")
    assert done.returncode == 0, done.stderr
    got, _, codec = read(tmp_path / "o.MP4")
    assert codec == "h264"
    assert len(got) == 6
    assert fuse(tmp_path / "i.mkv", tmp_path / f"v{suffix}", tmp_path / "o.mkv").returncode == 0
    assert np.abs(read(tmp_path / "o.mkv")[0].astype(int) - got).mean() < 8


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (31, 64)])
def test_odd_sizes_and_grey(tmp_path: Path, size: tuple[int, int]) -> None:
    a, b = write(tmp_path / "i.mkv", size=size), write(tmp_path / "v.avi", size=size, seed=1)
    assert fuse(tmp_path / "i.mkv", tmp_path / "v.avi", tmp_path / "o.mp4").returncode == 0
    assert read(tmp_path / "o.mp4")[0].shape == (5, *size, 3)
    assert fuse(tmp_path / "i.mkv", tmp_path / "v.avi", tmp_path / "g.mkv", "--grey").returncode == 0
    assert read(tmp_path / "g.mkv", "gray")[0].shape == (len(a), *b.shape[1:3])


@pytest.mark.parametrize(
    ("ir", "vis", "said"),
    [
        ({"count": 6}, {}, "has 6 frames, "),
        ({"count": 4}, {}, "cut them to the same frames"),
        ({"rate": 30}, {}, "has 30 frames a second, "),
        ({"rate": Fraction(30000, 1001)}, {"rate": 25}, "bring them to one rate"),
        ({"size": (48, 80)}, {}, "must be aligned pixel by pixel"),
        ({"deep": True}, {}, "--ir-range "),
    ],
)
def test_videos_that_do_not_pair(tmp_path: Path, ir: dict, vis: dict, said: str) -> None:
    write(tmp_path / "i.mkv", **ir)
    write(tmp_path / "v.mp4", **vis)
    done = fuse(tmp_path / "i.mkv", tmp_path / "v.mp4", tmp_path / "o.mkv")
    assert done.returncode == 1
    failed, _ = done.stderr.strip().splitlines()
    assert said in failed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.mkv", "v.mp4"]  # nothing, and no part of it


def test_deep_infrared_with_a_range(tmp_path: Path) -> None:
    a = write(tmp_path / "i.mkv", deep=True)
    b = write(tmp_path / "v.avi", seed=1)
    assert fuse(tmp_path / "i.mkv", tmp_path / "v.avi", tmp_path / "o.mkv", "--ir-range=7000,9550").returncode == 0
    levels = np.rint((a - 7000.0) / 10).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(read(tmp_path / "o.mkv")[0][0], api.fuse("average", levels[0], b[0]))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_read_as_players_show_it(tmp_path: Path, degrees: int) -> None:
    """A phone writes the frames of its sensor and how they are turned."""
    turned = (SIZE[1], SIZE[0]) if degrees != 180 else SIZE
    write(tmp_path / "i.mkv", size=turned)
    write(tmp_path / "v.mp4", seed=1)
    assert fuse(tmp_path / "i.mkv", tmp_path / "v.mp4", tmp_path / "o.mkv").returncode == (degrees != 180)
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = data.index(plain, data.index(b"tkhd"))
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]  # clockwise
    data[place : place + 36] = struct.pack(">9i", c << 16, s << 16, 0, -s << 16, c << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "t.mp4").write_bytes(data)
    done = fusionbench(
        "fuse", "visible", "--ir", tmp_path / "i.mkv", "--vis", tmp_path / "t.mp4", "-o", tmp_path / "t.mkv"
    )
    assert done.returncode == 0, done.stderr
    stored = read(tmp_path / "v.mp4")[0][0].astype(int)
    assert np.abs(read(tmp_path / "t.mkv")[0][0] - np.rot90(stored, -degrees // 90)).mean() < 3


def test_folders_of_videos(tmp_path: Path) -> None:
    for role in ("ir", "vis"):
        (tmp_path / role).mkdir()
    for name in ("a", "b"):
        write(tmp_path / f"ir/{name}.mkv")
        write(tmp_path / f"vis/{name}.mp4", seed=1)
    write(tmp_path / "ir/c.mkv")
    done = fuse(tmp_path / "ir", tmp_path / "vis", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "1 file without a partner left out, first " in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mkv", "b.mkv"]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"\x1aE\xdf\xa3" + bytes(99)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_files_that_are_no_videos(tmp_path: Path, content: bytes, suffix: str) -> None:
    write(tmp_path / "v.mp4")
    (tmp_path / f"i{suffix}").write_bytes(content)
    done = fuse(tmp_path / f"i{suffix}", tmp_path / "v.mp4", tmp_path / "o.mkv")
    assert done.returncode == 1
    assert "not a readable video" in done.stderr or "no frames in it" in done.stderr or "no video in it" in done.stderr
    assert not (tmp_path / "o.mkv").exists()


def test_a_video_cut_in_the_middle(tmp_path: Path) -> None:
    write(tmp_path / "i.mkv", 20)
    write(tmp_path / "v.avi", 20, seed=1)
    whole = (tmp_path / "i.mkv").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "i.mkv").write_bytes(whole[: int(share * len(whole))])
        done = fuse(tmp_path / "i.mkv", tmp_path / "v.avi", tmp_path / "o.mkv")
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 2
        assert not (tmp_path / "o.mkv").exists()


def test_other_targets_and_partners(tmp_path: Path) -> None:
    write(tmp_path / "i.mkv")
    write(tmp_path / "v.mp4")
    for out, said in (("o.avi", "written as .mkv"), ("o.png", "written as .mkv"), ("v.mp4", "is one of the sources")):
        done = fuse(tmp_path / "i.mkv", tmp_path / "v.mp4", tmp_path / out)
        assert done.returncode == 2
        assert said in done.stderr
    (tmp_path / "p.png").touch()
    done = fuse(tmp_path / "p.png", tmp_path / "v.mp4", tmp_path / "o.mkv")
    assert "a video is fused with a video" in done.stderr


def test_without_pyav_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for name in ("i.mp4", "v.mp4"):
        (tmp_path / name).touch()
    done = fuse(tmp_path / "i.mp4", tmp_path / "v.mp4", tmp_path / "o.mp4")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: videos need PyAV: pip install 'ivif-fusionbench[video]', or save the frames as pictures"
    ]
