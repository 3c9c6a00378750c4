"""Pairs of videos, frame by frame, through PyAV (extra ``video``); sound is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.data.pairing import Reading
from fusionbench.errors import DataError
from fusionbench.pixels.images import MAX_PIXELS, atomic, scaled
from fusionbench.pixels.names import hidden
from fusionbench.runtime.files import check_regular

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

SUFFIXES = (".mkv", ".mp4", ".avi", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".wmv")
# Suffix of what is written to its container and codec: lossless, and the one that every player has.
WRITTEN = {".mkv": ("matroska", "ffv1"), ".mp4": ("mp4", "libx264")}
_RATES = 1e-3  # by which the rates of two videos may differ: 29.97 is 30000/1001
# FFmpeg goes by content and would open play lists, which name other files and hosts.
_ONLY = {
    "format_whitelist": "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpeg,mpegvideo,mpegts,asf",
    "protocol_whitelist": "file",
}


def is_video(path: Path) -> bool:
    """Whether a file is meant as a video."""
    return path.suffix.lower() in SUFFIXES and not hidden(path.name)


def check_installed() -> None:
    """Raise where PyAV is not installed.

    Raises:
        DataError: it is not; with the command that installs it.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        raise DataError(
            "videos need PyAV: pip install 'ivif-fusionbench[video]', or save the frames as pictures"
        ) from None


@dataclass(frozen=True)
class Facts:
    """What two videos must have in common: frames, and frames a second."""

    frames: int
    rate: Fraction


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av

    try:
        check_regular(path, "the video")
        with av.open(str(path), options=_ONLY) as container:
            if not container.streams.video:
                raise DataError(f"{path}: no video in it")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise DataError(
                    f"{path}: {stream.height}x{stream.width} (height x width), over the limit of {MAX_PIXELS} pixels"
                )
            yield container, stream
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"{path}: not a readable video ({' '.join(str(error).split())[:200]})") from None


def facts(path: Path) -> Facts:
    """Frames and rate of a video; its packets are counted, as what its header says need not be true.

    Raises:
        DataError: not a readable video.
    """
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        frames = len([packet.size for packet in container.demux(stream) if packet.size])
        if not rate or not frames:
            raise DataError(f"{path}: no frames in it, or no frame rate")
        return Facts(frames, rate)


def check_pair(ir: Path, vis: Path) -> Facts:
    """What two videos have in common.

    Raises:
        DataError: they differ in the number of frames or in their rate, or are unreadable.
    """
    check_installed()
    a, b = facts(ir), facts(vis)
    if not math.isclose(a.rate, b.rate, rel_tol=_RATES):
        raise DataError(
            f"{ir} has {float(a.rate):.6g} frames a second, {vis} {float(b.rate):.6g}: bring them to one rate, frames "
            "are paired one by one"
        )
    if a.frames != b.frames:
        raise DataError(f"{ir} has {a.frames} frames, {vis} {b.frames}: cut them to the same frames")
    return b


def frames(path: Path, reading: Reading, infrared: bool = False) -> Iterator[np.ndarray]:
    """The frames of a video as pictures, turned as players turn them: uint8 ``[1 or 3,H,W]``.

    Raises:
        DataError: unreadable, or infrared of more than 8 bits without a range.
    """
    with _opened(path) as (container, stream):
        for frame in container.decode(stream):
            yield _picture(path, frame, reading, infrared)


def _picture(path: Path, frame: av.VideoFrame, reading: Reading, infrared: bool) -> np.ndarray:
    grey = len(frame.format.components) == 1 and not frame.format.has_palette
    if grey and infrared and frame.format.components[0].bits > 8:
        values = frame.to_ndarray()
        if reading.ir_range is None:
            low, high = int(values.min()), int(values.max())
            raise DataError(
                f"{path}: infrared of more than 8 bits, levels {low} to {high} in a frame; state which become 0 and "
                f"255 in every frame, e.g. ir_range={low},{max(high, low + 1)}"
            )
        array = scaled(path, values, reading.ir_range)
    elif grey:
        array = frame.to_ndarray(format="gray")[None]
    else:
        array = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
    return np.ascontiguousarray(np.rot90(array, frame.rotation // 90, (1, 2)))


class Writer:
    """Writes pictures as a video; made on the first one.

    Args:
        container: where to.
        codec: FFmpeg's name of it.
        rate: frames a second.
    """

    def __init__(self, container: OutputContainer, codec: str, rate: Fraction) -> None:
        self.container, self.codec, self.rate = container, codec, rate
        self.stream: VideoStream | None = None
        self.grey, self.count = False, 0

    def add(self, picture: np.ndarray, grey: bool = False) -> None:
        """One more frame, uint8 ``[1 or 3,H,W]``; `grey` of the first one decides whether the video is."""
        import av

        if self.stream is None:
            self.grey = grey
            self.stream = self._stream(*picture.shape[1:])
        if self.grey:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[0]), format="gray")
        else:
            colours = np.broadcast_to(picture, (3, *picture.shape[1:])).transpose(1, 2, 0)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colours), format="rgb24")
        frame.pts, frame.time_base = self.count, 1 / self.rate
        self.count += 1
        self.container.mux(self.stream.encode(frame))

    def _stream(self, height: int, width: int) -> VideoStream:
        from av.video.stream import VideoStream

        stream = self.container.add_stream(self.codec, rate=self.rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width, height
        if self.codec == "ffv1":
            stream.pix_fmt = "gray" if self.grey else "bgr0"
        else:
            stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"  # halves of the chroma must be whole
            stream.options = {"crf": "18"}
        return stream

    def close(self) -> None:
        """Write what the encoder still holds."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())


@contextmanager
def writer(path: Path, rate: Fraction) -> Iterator[Writer]:
    """A video that is there when the block ends well, and not at all when it fails.

    Raises:
        DataError: another suffix than .mkv (FFV1, lossless) and .mp4 (H.264).
    """
    import av

    container, codec = check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic(path))
        target = stack.enter_context(av.open(str(temporary), "w", format=container))
        made = Writer(target, codec, rate)
        yield made
        made.close()


def check_target(path: Path) -> tuple[str, str]:
    """Container and codec of a video that is to be written.

    Raises:
        DataError: another suffix.
    """
    if path.suffix.lower() not in WRITTEN:
        raise DataError(f"{path}: a video is written as .mkv (FFV1, lossless) or .mp4 (H.264)")
    return WRITTEN[path.suffix.lower()]
