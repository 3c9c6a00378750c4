"""A split's samples decoded once into one memory-mapped file; later epochs and runs read it in the place of images.

The file is named after SHA-256 of everything that the pixels and labels come from: the files' bytes, how they are read,
the code that reads them, Pillow's version. A changed file has another name, so nothing stale is read. It appears whole
or not at all, and each sample in it carries a hash, which is compared when it is first read.

    FORMAT, samples one after the other, the index as JSON, where it begins (8 bytes), FORMAT

A sample is infrared, visible, mask, saliency (bytes), then boxes (little-endian float64), their labels (int64), flags.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import re
import shutil
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec
import numpy as np
import PIL

from fusionbench.data import Boxes, Dataset, Sample
from fusionbench.errors import FusionbenchError
from fusionbench.pixels.images import MAX_BYTES, image_size
from fusionbench.plugins.fingerprint import Closure, combined
from fusionbench.runtime.files import read_regular, short_name, sweep
from fusionbench.training.ahead import ahead
from fusionbench.training.options import Note

FORMAT = b"fusionbench decoded 1\n"
READERS = ("fusionbench.data.dataset", "fusionbench.training.decoded")  # whose code decides what is in the file
SPARE = 1 << 30  # bytes that stay free on the disk, for the run itself
_WHERE = struct.Struct("<Q")


class Row(msgspec.Struct, frozen=True):
    """Where a sample lies in the file, what it has, and SHA-256 of its bytes."""

    begin: int
    height: int
    width: int
    mask: bool
    saliency: bool
    boxes: int | None  # how many; None without an annotation
    difficult: bool
    digest: str

    @property
    def parts(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape of each part, in their order."""
        plane, n = (self.height, self.width), self.boxes or 0
        parts: dict[str, tuple[str, tuple[int, ...]]] = {"ir": ("u1", (1, *plane)), "vis": ("u1", (3, *plane))}
        parts |= {"mask": ("u1", plane)} if self.mask else {}
        parts |= {"saliency": ("u1", plane)} if self.saliency else {}
        parts |= {"xyxy": ("<f8", (n, 4)), "labels": ("<i8", (n,))} if self.boxes is not None else {}
        return parts | ({"flags": ("?", (n,))} if self.difficult else {})

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in self.parts.values())


class Source(Protocol):
    """A split that can be decoded; see :class:`fusionbench.training.data.TrainingSplit`."""

    dataset: Dataset
    split: str
    ids: list[str]
    decoded: Decoded | None

    def decode(self, index: int) -> Sample:
        """A sample from its files."""
        ...

    def sources(self, index: int) -> Mapping[str, Path]:
        """The files that :meth:`decode` reads, by role."""
        ...

    def reading(self) -> str:
        """What :meth:`decode` depends on besides these files."""
        ...


class Decoded:
    """A decoded split, open.

    Args:
        path: the file.
        split: name of the split.
        ids: its samples.
        note: takes a remark when the file is damaged.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or of another split.
    """

    def __init__(self, path: Path, split: str, ids: Sequence[str], note: Note) -> None:
        self.path, self.split, self.ids, self.note = path, split, list(ids), note
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = len(self._bytes) - len(FORMAT) - _WHERE.size
        if end < len(FORMAT) or {self._bytes[: len(FORMAT)], self._bytes[-len(FORMAT) :]} != {FORMAT}:
            raise ValueError("not a whole file of decoded samples")
        (begin,) = _WHERE.unpack_from(self._bytes, end)
        if not len(FORMAT) <= begin <= end:
            raise ValueError("no index")
        self.rows = msgspec.json.decode(self._bytes[begin:end], type=list[Row])
        if len(self.rows) != len(self.ids):
            raise ValueError("an index of another split")
        for row in self.rows:
            least = min(row.height, row.width, row.begin, row.boxes or 0)
            if least < 0 or row.begin + row.size > begin:
                raise ValueError("a sample outside the file")
        self._checked = [False] * len(self.rows)
        self._usable = True

    def read(self, index: int) -> Sample | None:
        """A copy of a sample; None from the first damaged one on, which also removes the file."""
        row = self.rows[index]
        if not self._usable:
            return None
        if not self._checked[index]:
            with memoryview(self._bytes) as view:
                digest = hashlib.sha256(view[row.begin : row.begin + row.size]).hexdigest()
            if digest != row.digest:
                self._usable = False
                self.path.unlink(missing_ok=True)
                self.note(f"{self.path}: damaged at {self.ids[index]} and removed; the images are read instead")
                return None
            self._checked[index] = True
        values: dict[str, np.ndarray] = {}
        at = row.begin
        for name, (kind, shape) in row.parts.items():
            count = math.prod(shape)
            part = np.frombuffer(self._bytes, kind, count, at).reshape(shape)
            values[name] = part.astype(part.dtype.newbyteorder("="))  # a copy, which may be changed
            at += part.nbytes
        boxes = None if row.boxes is None else Boxes(values["xyxy"], values["labels"], values.get("flags"))
        maps = (values.get("mask"), boxes, values.get("saliency"))
        return Sample(self.ids[index], self.split, values["ir"], values["vis"], *maps)


# ---------------------------------------------------------------- making one


def keep_decoded(source: Source, folder: Path, workers: int, note: Note) -> None:
    """Let a split be read from its decoded file, which is made where there is none.

    Where it cannot be made, for want of room or because something in a sample does not fit, a note says so and the
    files are read as ever; every number is the same either way.

    Args:
        source: whose ``decoded`` is set.
        folder: holds such files.
        workers: threads that read.
        note: takes remarks: what is made, where, how large; why it is not.

    Raises:
        FusionbenchError: a file of the split cannot be read.
    """
    if not source.ids:
        return
    name = f"{source.dataset.name} {source.split}"
    before = _states(source)
    path = folder / _file_name(source, workers)
    source.decoded = _opened(path, source, note)
    if source.decoded:
        return
    size = _size(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        free = shutil.disk_usage(folder).free
        if free < size + SPARE:
            note(
                f"{name}: decoded it takes {_gib(size)}, and {folder} has {_gib(free)} free, of which {_gib(SPARE)} "
                "are left alone; the images are read in each epoch instead"
            )
            return
        note(f"{name}: decoding {len(source.ids)} pairs once, {_gib(size)} into {path} (cache=false: do without)")
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                _write(file, source, workers)
            if _states(source) != before:
                note(f"{name}: some files changed meanwhile, so nothing is kept; the images are read instead")
                return
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        note(f"{folder}: cannot be written ({error.strerror}); the images are read in each epoch instead")
        return
    except Unfit as error:
        note(f"{name}: {error}, so it is not kept decoded; the images are read in each epoch instead")
        return
    for earlier in folder.glob(f"{path.stem.rpartition('-')[0]}-*{path.suffix}"):
        if earlier != path:  # the same pairs before a file changed
            with suppress(OSError):
                earlier.unlink()
    source.decoded = _opened(path, source, note)


def _opened(path: Path, source: Source, note: Note) -> Decoded | None:
    if not path.is_file():
        return None
    try:
        return Decoded(path, source.split, source.ids, note)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def _states(source: Source) -> list[tuple[int, int]]:
    """Size and time of change of every file."""
    states = (path.stat() for i in range(len(source.ids)) for path in source.sources(i).values())
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _file_name(source: Source, workers: int) -> str:
    """``DATASET-SPLIT-PLACE-CONTENT.bin``: one place has one file, whatever became of its content."""

    def digest(index: int) -> str:
        files = source.sources(index).items()
        return " ".join(f"{r} {hashlib.sha256(read_regular(p, r, MAX_BYTES)).hexdigest()}" for r, p in files)

    try:
        lines = list(ahead(digest, range(len(source.ids)), workers))
    except OSError as error:
        raise FusionbenchError(f"{error.filename}: cannot be read ({error.strerror})") from None
    followed = Closure(leave_out=("fusionbench.plugins", "fusionbench.results")).follow(READERS, lookups=False)
    code = combined(followed.digests)
    content = _hash([FORMAT.decode(), PIL.__version__, code, source.reading(), *source.ids, *lines])
    roles = source.sources(0)
    place = _hash([str(source.dataset.root.resolve()), source.split, str(len(source.ids)), *roles])
    readable = re.sub(r"[^A-Za-z0-9._+]+", "_", f"{source.dataset.name}-{Path(source.split).stem}")
    return f"{short_name(readable)}-{place[:12]}-{content[:32]}.bin"


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(texts)).hexdigest()


def _size(source: Source) -> int:
    """Bytes of the pictures and maps; boxes are next to nothing."""
    total = 0
    for index in range(len(source.ids)):
        files = source.sources(index)
        width, height = image_size(files["ir"])
        total += width * height * (4 + sum(role in files for role in ("mask", "saliency")))
    return total


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"


class Unfit(Exception):
    """A sample that the file cannot hold as it is."""


def _write(file: IO[bytes], source: Source, workers: int) -> None:
    rows, at = [], file.write(FORMAT)
    for sample in ahead(source.decode, range(len(source.ids)), workers):
        row, data = _packed(sample, at)
        rows.append(row)
        at += file.write(data)
    file.write(msgspec.json.encode(rows) + _WHERE.pack(at) + FORMAT)


def _packed(sample: Sample, begin: int) -> tuple[Row, bytes]:
    boxes, (height, width) = sample.boxes, sample.ir.shape[1:]
    row = Row(
        begin=begin,
        height=height,
        width=width,
        mask=sample.mask is not None,
        saliency=sample.saliency is not None,
        boxes=None if boxes is None else len(boxes),
        difficult=boxes is not None and boxes.difficult is not None,
        digest="",
    )
    values: dict[str, np.ndarray | None] = {n: getattr(sample, n) for n in ("ir", "vis", "mask", "saliency")}
    if boxes is not None:
        values |= {"xyxy": boxes.xyxy, "labels": boxes.labels, "flags": boxes.difficult}
    data = []
    for name, (kind, shape) in row.parts.items():
        value = values[name]
        assert value is not None
        if value.dtype != np.dtype(kind).newbyteorder("=") or value.shape != shape or type(sample) is not Sample:
            raise Unfit(f"{sample.id} has {name} of {value.dtype} {list(value.shape)}")
        data.append(value.astype(kind, copy=False).tobytes())
    joined = b"".join(data)
    return msgspec.structs.replace(row, digest=hashlib.sha256(joined).hexdigest()), joined
