"""Archives and servers that harm: nothing is written outside, no more than is allowed, and nothing is left."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.faults.campaign.bench import spoilt
from tests.faults.campaign.cases import Verdict, told
from tests.faults.campaign.checked import ERRORS, LARGEST, Canary
from tests.faults.campaign.forks import run
from tests.faults.campaign.jobs import Inputs, differing, results, settings
from tests.faults.campaign.server import Handler, Plan, serving, slowly
from tests.faults.test_archives import COMPRESS, header, long_name, many_global, pax

ARCHIVES, MEBI = 48, 1 << 20
FAST: Mapping[str, float] = {"PAUSE": 0.01, "PATIENCE": 1.0, "MAX_BYTES": 8 * MEBI}
Make = Callable[[random.Random, Path], bytes]


def cases(inputs: Inputs, scratch: Path, seed: int, quick: bool = False) -> Iterator[Verdict]:
    """Every archive and server; see :func:`tests.faults.campaign.kills.cases`."""
    scratch.mkdir(parents=True)
    canary, draw = Canary(scratch), random.Random(f"{seed} archives")
    good = inputs.archive.read_bytes()
    makers = [*archives(good).items()]
    for number in range(1 if quick else ARCHIVES):
        name, make = makers[number % len(makers)]
        (scratch / "served").mkdir(exist_ok=True)
        (scratch / "served/a").write_bytes(make(draw, scratch))
        with serving(scratch / "served") as url:
            yield _one("archives", f"{number} {name}", f"{url}/file/a", scratch, canary)
    plans = servers(good)
    with serving(inputs.root, plans) as url:
        for name in list(plans)[: 1 if quick else None]:
            yield _one("servers", name, f"{url}/{name}/a.zip", scratch, canary, inputs)
    shutil.rmtree(scratch, ignore_errors=True)


def _one(group: str, name: str, url: str, scratch: Path, canary: Canary, inputs: Inputs | None = None) -> Verdict:
    """Download, unpack, and look at what is there then."""
    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / "own.txt").write_text("mine")
    before = _listing(scratch)
    words: tuple[object, ...] = ("data", "download", "tno", "--url", url, "--data-root", folder / "data")
    if inputs:  # these serve the real thing, somehow
        words = ("data", "download", "msrs", "--url", url, "--data-root", folder / "data", "--sha256", _digest(inputs))
    done = run(words, folder, settings(folder), _faster, patience=60)
    faults = told(done, (0, 2)) + canary.faults()
    if done.memory > LARGEST // 2:
        faults.append(f"{done.memory} MiB of memory")
    if done.code == 2 and sum(line.startswith(ERRORS) for line in done.err.splitlines()) != 1:
        faults.append(f"not one line that says what is wrong: {done.err.strip()[-300:]!r}")
    outside = {path: text for path, text in _listing(scratch).items() if "case/data/" not in path}
    if changed := {p for p in {*outside, *before} if outside.get(p) != before.get(p)} - STREAMS:
        faults.append(f"written outside: {', '.join(sorted(changed))}")
    size = sum(p.lstat().st_size for p in (folder / "data").rglob("*") if p.is_file())
    if size > 64 * MEBI:
        faults.append(f"{size} bytes on the disk")
    if links := [str(p) for p in (folder / "data").rglob("*") if p.is_symlink()]:
        faults.append(f"links were unpacked: {links[:3]}")
    if done.code and [p for p in (folder / "data").iterdir() if p.name != ".downloads"]:
        faults.append("something was left of a refused archive")
    if inputs and not done.code and differing(results(folder / "data/MSRS"), results(inputs.data / "MSRS")):
        faults.append("other bytes than the server's file has")
    outcome = "refused in one line" if done.code else "whole in the end" if inputs else "unpacked, without harm"
    return Verdict(group, name, outcome, tuple(faults), {"seconds": round(done.seconds, 2), "said": done.err[-200:]})


STREAMS = {"case/.stdout", "case/.stderr"}


def _faster() -> None:
    from fusionbench.data import download

    for name, value in FAST.items():
        setattr(download, name, value)


def _digest(inputs: Inputs) -> str:
    import hashlib

    return hashlib.sha256(inputs.archive.read_bytes()).hexdigest()


def _listing(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text(errors="replace") if p.is_file() and not p.is_symlink() else ""
        for p in folder.rglob("*")
        if not str(p.relative_to(folder)).startswith("served")
    }


# ---------------------------------------------------------------- archives

OUT = (
    "../../../escaped",
    "/{}/escaped",
    "a/../../../escaped",
    "..\\..\\escaped",
    "C:\\escaped",
    "a/\0/../x",
    "//{}/escaped",
)


def archives(good: bytes) -> dict[str, Make]:
    """Makers of archives by name."""
    return {
        "zip, names that lead outside": lambda draw, at: _zip({n.format(at): b"x" for n in draw.sample(OUT, 3)}),
        "tar, names that lead outside": lambda draw, at: _tar([_member(n.format(at)) for n in draw.sample(OUT, 3)]),
        "tar, a link and a file through it": _through_link,
        "tar, a hard link to a file of ours": _hard_link,
        "tar, devices and pipes": lambda draw, at: _tar([_special(k) for k in (tarfile.CHRTYPE, tarfile.FIFOTYPE)]),
        "zip, a link": lambda draw, at: _zip_link(str(at / "case/own.txt")),
        "zip, 2 GB of zeros": lambda draw, at: _zip(
            {"a.png": bytes(64 * MEBI)} | {f"{i}": bytes(64 * MEBI) for i in range(31)}
        ),
        "tar.gz, zeros": lambda draw, at: gzip.compress(_tar([_member("a", bytes(256 * MEBI))]), 1),
        "tar.xz, zeros": lambda draw, at: lzma.compress(_tar([_member("a", bytes(64 * MEBI))]), preset=0),
        "tar.bz2, zeros": lambda draw, at: bz2.compress(_tar([_member("a", bytes(64 * MEBI))])),
        "tar, a long name": lambda draw, at: draw.choice(list(COMPRESS.values()))(long_name(32 * MEBI)),
        "tar, long attributes": lambda draw, at: draw.choice(list(COMPRESS.values()))(pax(32 * MEBI)),
        "tar, many attributes": lambda draw, at: gzip.compress(many_global(32 * MEBI)),
        "tar, a size that is a lie": lambda draw, at: header(b"a", 8**11 - 1, b"0") + bytes(1024),
        "tar, a negative size": lambda draw, at: _negative(),
        "zip, bytes changed": lambda draw, at: spoilt(good, draw),
        "zip, cut": lambda draw, at: good[: draw.randrange(len(good))],
        "zip, of many empty files": lambda draw, at: _zip({f"{i}": b"" for i in range(20_000)}),
        "zip, two files of one name": _twice,
        "zip, an offset that is a lie": lambda draw, at: _offsets(good, draw),
        "zip, encrypted": lambda draw, at: _encrypted(good),
        "zip in a zip": lambda draw, at: _zip({"a.zip": good}),
        "a program": lambda draw, at: b"#!/bin/sh\ntouch " + os.fsencode(at / "executed") + b"\n",
        "a page": lambda draw, at: b"<html>quota exceeded</html>",
        "nothing": lambda draw, at: b"",
        "names of no text and of 300 characters": lambda draw, at: _tar([_member("é" * 300), _member("a\x1b[2Jb")]),
    }


def _zip(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return made.getvalue()


def _tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _member(name: str, data: bytes = b"x", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def _special(kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return _member("dev", b"", type=kind, devmajor=1, devminor=5)


def _through_link(_draw: random.Random, at: Path) -> bytes:
    link = _member("way", b"", type=tarfile.SYMTYPE, linkname=str(at))
    return _tar([link, _member("way/escaped", b"x")])


def _hard_link(_draw: random.Random, at: Path) -> bytes:
    link = _member("own", b"", type=tarfile.LNKTYPE, linkname=str(at / "case/own.txt"))
    return _tar([link, _member("own", b"overwritten")])


def _zip_link(target: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, target)
        archive.writestr("link/x", b"x")
    return made.getvalue()


def _twice(_draw: random.Random, _at: Path) -> bytes:
    import warnings

    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
        warnings.simplefilter("ignore")
        for data in (b"one", b"two"):
            archive.writestr("a/x.png", data)
        archive.writestr("A/X.png", b"three")
    return made.getvalue()


def _negative() -> bytes:
    block = bytearray(header(b"a", 0, b"0"))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def _offsets(good: bytes, draw: random.Random) -> bytes:
    """The table of contents begins elsewhere."""
    at = good.rindex(b"PK\x05\x06")
    changed = bytearray(good)
    changed[at + 12 : at + 20] = struct.pack("<II", draw.choice((0, 2**31, 2**32 - 1)), draw.choice((0, 7, 2**32 - 1)))
    return bytes(changed)


def _encrypted(good: bytes) -> bytes:
    changed, at = bytearray(good), 0
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = 0
        while (at := good.find(mark, at)) >= 0:
            changed[at + place] |= 1
            at += 4
    return bytes(changed)


# ---------------------------------------------------------------- servers


def servers(good: bytes) -> dict[str, Plan]:
    """What servers do, by name."""
    count = len(good)

    def whole(handler: Handler, **headers: object) -> None:
        """The file, or the asked part of it where the version is said to be the same."""
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        if start and handler.headers.get("If-Range") in (None, headers.get("ETag")):
            span = f"bytes {start}-{count - 1}/{count}"
            handler.head(206, Content_Length=count - start, Content_Range=span, **headers)
            handler.wfile.write(good[start:])
        else:
            handler.whole(good, **headers)

    def breaks(handler: Handler, etag: str) -> None:
        if handler.headers.get("Range"):
            whole(handler, ETag=etag)
        else:
            handler.head(200, Content_Length=count, ETag=etag)
            handler.wfile.write(good[: count // 2])

    def wrong(length: object) -> Plan:
        def plan(handler: Handler) -> None:
            handler.head(200, Content_Length=length)
            handler.wfile.write(good)

        return plan

    def moved(where: str) -> Plan:
        return lambda handler: handler.head(302, Location=where)

    def range_of(text: str) -> Plan:
        def plan(handler: Handler) -> None:
            if handler.headers.get("Range"):
                handler.head(206, Content_Range=text, Content_Length=10)
                handler.wfile.write(b"0123456789")
            else:
                handler.head(200, Content_Length=count, ETag='"1"')
                handler.wfile.write(good[: count // 2])

        return plan

    def unframed(handler: Handler) -> None:
        handler.head(200)
        handler.wfile.write(good)

    def endless(handler: Handler) -> None:
        handler.head(200)
        while True:
            handler.wfile.write(bytes(MEBI))

    def trickle(handler: Handler) -> None:
        handler.head(200, Content_Length=count)
        slowly(handler)

    def headers(handler: Handler) -> None:
        handler.send_response(200)
        for number in range(500):
            handler.send_header(f"X-{number}", "x" * 1000)
        handler.end_headers()

    def raw(data: bytes) -> Plan:
        return lambda handler: handler.wfile.write(data) and None

    plans: dict[str, Plan] = {
        "whole": whole,
        "no-length": unframed,
        "too-long-a-length": wrong(count + 1000),
        "too-short-a-length": wrong(count // 2),
        "negative-length": wrong(-5),
        "huge-length": wrong(2**63),
        "length-of-letters": wrong("many"),
        "strong-etag": lambda handler: breaks(handler, '"1"'),
        "weak-etag": lambda handler: breaks(handler, 'W/"1"'),
        "odd-etag": lambda handler: breaks(handler, '"\xe9 \x1b[31m"'),
        "endless": endless,
        "trickle": trickle,
        "silent": lambda handler: time.sleep(3),
        "many-headers": headers,
        "long-header": lambda handler: handler.head(200, X="x" * 200_000),
        "not-http": raw(b"220 ftp ready\r\n"),
        "nothing-at-all": raw(b""),
        "odd-status": raw(b"HTTP/1.1 abc\r\n\r\n"),
        "endless-chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n" + bytes(MEBI)),
        "broken-chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc"),
        "moved-to-a-file": moved("file:///etc/passwd"),
        "moved-to-ftp": moved("ftp://127.0.0.1/a"),
        "moved-to-itself": moved("/moved-to-itself/a.zip"),
        "moved-to-nothing": moved("http://"),
        "moved-to-data": moved("data:text/plain,hello"),
        "moved-to-no-port": moved("http://127.0.0.1:99999/"),
        "range-of-another": range_of("bytes 5-14/99"),
        "range-of-letters": range_of("bytes a-b/c"),
        "range-below-zero": range_of("bytes -5--1/-1"),
        "gone": lambda handler: handler.head(404, Content_Length=0),
        "forbidden": lambda handler: handler.head(403, Content_Length=0),
        "broken": lambda handler: handler.head(500, Content_Length=0),
        "not-satisfiable": lambda handler: handler.head(416, Content_Length=0),
        "gzip-encoded": lambda handler: handler.whole(gzip.compress(good), Content_Encoding="gzip"),
        "cookie-and-refresh": lambda handler: whole(handler, Set_Cookie="a=b", Refresh="0; url=file:///etc/passwd"),
        "other-file": lambda handler: handler.whole(b"x" * count),
    }
    return plans
