"""Bad images in a dataset: each costs its own row, and every other number stays what it was."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.results.schema import EntryRow, FusedRow
from fusionbench.results.store import Store
from tests.faults.campaign.cases import Verdict
from tests.faults.campaign.checked import Canary, bombs, given
from tests.faults.campaign.jobs import Inputs
from tests.faults.test_pictures import png

CASES = 72
Make = Callable[[Path, random.Random, Canary], None]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8))


def cases(inputs: Inputs, scratch: Path, seed: int, quick: bool = False) -> Iterator[Verdict]:
    """Every picture; see :func:`tests.faults.campaign.kills.cases`."""
    scratch.mkdir(parents=True)
    canary, draw = Canary(scratch), random.Random(f"{seed} images")
    calm = scratch / "calm"
    calm.mkdir()
    words = ("eval", "--methods=average,visible", "--metrics=en,vif", "--datasets=msrs", "--jobs=1")
    done, faults = given((*words, "--data-root", inputs.data, "--out", calm / "out"), calm, canary, codes=(0,))
    if faults:
        raise RuntimeError(done.err)
    makers = list(MAKERS.items())
    for number in range(2 if quick else CASES):
        name, make = makers[number % len(makers)]
        folder = scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(inputs.data / "MSRS/test", folder / "data/MSRS/test")
        role = ("ir", "vi")[(number + number // len(makers)) % 2]
        victim = draw.choice(sorted((folder / "data/MSRS/test" / role).iterdir()))
        victim.unlink()
        make(victim, draw, canary)
        data = folder / "data"
        done, faults = given((*words, "--data-root", data, "--out", folder / "out"), folder, canary, codes=(0, 1))
        own, others = _scores(calm / "out"), _scores(folder / "out")
        lost = {row for row in own - others if row[0] != victim.stem}
        if lost:
            faults.append(f"{len(lost)} values of other images were lost or changed, e.g. {next(iter(lost))}")
        if done.code == 1 and victim.stem not in done.err:
            faults.append(f"{victim.name} is not named: {done.err[-300:]!r}")
        checked, found = given(("data", "check", f"msrs={data / 'MSRS'}"), folder, canary)
        outcome = "costs its own row" if done.code else "is read as an image"
        yield Verdict(role, f"{number} {name}", outcome, (*faults, *found), {"check": checked.code, "kind": name})
    shutil.rmtree(scratch, ignore_errors=True)


def _scores(out: Path) -> set[tuple[object, ...]]:
    """Image, entry, metric and value of everything that was scored."""
    with Store(out, create=False) as store:
        ids = {row.key: row.id for row in store.rows(EntryRow)}
        pictures, scores = store.rows(FusedRow), store.score_rows()
    return {
        (f.id, ids[f.entry], s.metric, s.value)
        for f in pictures
        for s in scores
        if (s.image, s.pair) == (f.image, f.pair)
    }


def saved(kind: str, **options: object) -> bytes:
    """A good picture."""
    file = io.BytesIO()
    PICTURE.save(file, kind, **options)
    return file.getvalue()


def _written(data: Callable[[random.Random, Canary], bytes]) -> Make:
    return lambda path, draw, canary: path.write_bytes(data(draw, canary)) and None


def _cut(kind: str) -> Make:
    data = saved(kind)
    return _written(lambda draw, _: data[: draw.randrange(len(data))])


def _flipped(kind: str) -> Make:
    data = saved(kind)

    def flip(draw: random.Random, _: Canary) -> bytes:
        changed = bytearray(data)
        for _number in range(draw.choice((1, 5, 50))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed)

    return _written(flip)


def _header(width: int, height: int, depth: int = 8, colour: int = 2, compression: int = 0) -> bytes:
    """A PNG of that header and no pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, compression, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + bytes(4)


def _text_bomb(_draw: random.Random, _canary: Canary) -> bytes:
    """A PNG with a compressed text of 200 MB."""
    data = b"k\0\0" + zlib.compress(bytes(200 << 20), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    whole = saved("PNG")
    return whole[:33] + chunk + whole[33:]


def _socket(path: Path, *_: object) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _pickled(draw: random.Random, canary: Canary) -> bytes:
    import pickle

    return pickle.dumps(draw.choice(bombs(canary)))


def _program(_draw: random.Random, canary: Canary) -> bytes:
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 64\n(touch {canary.path}) (w) file\n%pipe%touch".encode()


def _sparse(path: Path, *_: object) -> None:
    with open(path, "wb") as file:
        file.write(saved("BMP")[:54])
        file.truncate(3 << 30)


MAKERS: dict[str, Make] = {
    "nothing in it": _written(lambda *_: b""),
    "a pipe": lambda path, *_: os.mkfifo(path),
    "a device": lambda path, *_: path.symlink_to("/dev/zero"),
    "a socket": _socket,
    "a folder": lambda path, *_: path.mkdir(),
    "a link to nothing": lambda path, *_: path.symlink_to("nothing"),
    "a link to itself": lambda path, *_: path.symlink_to(path.name),
    "a text": _written(lambda *_: b"<!DOCTYPE html><title>404</title>"),
    "a pickle": _written(_pickled),
    "PostScript": _written(_program),
    "random bytes": _written(lambda draw, _: draw.randbytes(5000)),
    "a huge sparse file": _sparse,
    "png, cut": _cut("PNG"),
    "jpg, cut": _cut("JPEG"),
    "bmp, cut": _cut("BMP"),
    "tif, cut": _cut("TIFF"),
    "webp, cut": _cut("WEBP"),
    "png, bytes changed": _flipped("PNG"),
    "jpg, bytes changed": _flipped("JPEG"),
    "bmp, bytes changed": _flipped("BMP"),
    "tif, bytes changed": _flipped("TIFF"),
    "webp, bytes changed": _flipped("WEBP"),
    "a bomb": _written(lambda *_: png(60_000, 1_000)),
    "a larger bomb": _written(lambda *_: _header(2**31 - 1, 2**31 - 1)),
    "no pixels": _written(lambda *_: _header(0, 0)),
    "an odd depth": _written(lambda draw, _: _header(80, 64, draw.choice((3, 5, 255)), draw.choice((1, 5, 7)))),
    "a text that unpacks to 200 MB": _written(_text_bomb),
    "another size": _written(lambda *_: png(81, 64)),
    "one pixel": _written(lambda *_: png(1, 1)),
    "a gif": _written(lambda *_: saved("GIF")),
    "a pdf": _written(lambda *_: saved("PDF")),
    "an icon": _written(lambda *_: saved("ICO")),
    "a jpeg 2000": _written(lambda *_: saved("JPEG2000")),
    "several pages": _written(lambda *_: saved("TIFF", save_all=True, append_images=[PICTURE])),
    "an animation": _written(lambda *_: saved("PNG", save_all=True, append_images=[PICTURE.rotate(180)])),
    "jpg of four channels": _written(lambda *_: _converted("CMYK", "JPEG")),
    "floats": _written(lambda *_: _converted("F", "TIFF")),
    "32 bits": _written(lambda *_: _converted("I", "TIFF")),
}


def _converted(mode: str, kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.convert("L" if mode in "FI" else "RGB").convert(mode).save(file, kind)
    return file.getvalue()
