"""Stores at an address: the same merge as of folders, within bounds, and nothing of what opens an address is shown."""

from __future__ import annotations

import functools
import http.server
import resource
import sqlite3
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from fusionbench.errors import FusionbenchError
from fusionbench.results import remote, sources
from fusionbench.results.merge import merge
from fusionbench.results.sources import source
from fusionbench.results.store import Store
from tests.conftest import fusionbench
from tests.faults.conftest import SECRET, put
from tests.faults.test_merge import change, everything, files, make, pixels


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server that hands out `tmp_path`, and lists nothing."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def list_directory(self, *_: object) -> None:
            self.send_error(403)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def merged(target: Path, *places: str, most: int = remote.MOST_BYTES) -> tuple[dict[str, int], list[str]]:
    with ExitStack() as stack:
        store = stack.enter_context(Store(target))
        return merge(store, [stack.enter_context(source(place, most)) for place in places])


def test_as_a_folder(memory: Any, tmp_path: Path) -> None:
    make(tmp_path / "other", seed=3)
    put(memory, tmp_path / "other", "/ada/run 1")
    here = merged(tmp_path / "a", str(tmp_path / "other"))
    assert here == merged(tmp_path / "b", "memory://ada/run 1")
    assert here == merged(tmp_path / "c", f"file://{tmp_path}/other")
    assert everything(tmp_path / "a") == everything(tmp_path / "b") == everything(tmp_path / "c")
    pictures = {f for f in files(tmp_path / "a") if f.endswith(".png")}
    assert len(pictures) == 2
    for name in pictures:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_s3_of_two_people(s3: Any, tmp_path: Path) -> None:
    """By the command; the second's pictures of the same images are others, which is said and not settled."""
    put(s3, make(tmp_path / "ada"), "lab/ada")
    put(s3, make(tmp_path / "bo", seed=9, idents="abc"), "lab/bo")
    done = fusionbench("merge", "s3://lab/ada", "s3://lab/bo/", "--out", tmp_path / "all")
    assert done.returncode == 1
    assert "conflict: s3://lab/bo: fused images of gff on d test: 2 pictures differ, e.g. a, kept ours" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    with Store(tmp_path / "all", create=False) as store:
        assert len(store.fused("k", "d", "test", store.pairs("d", "test"))) == 3


def test_of_the_web(web: str, tmp_path: Path) -> None:
    make(tmp_path / "plain", idents="a#%?")
    added, conflicts = merged(tmp_path / "all", f"{web}/plain")
    assert (added["fused"], conflicts) == (4, [])
    assert len([f for f in files(tmp_path / "all") if f.endswith(".png")]) == 4


def test_scores_at_an_address_are_verified(memory: Any, tree: Path, tmp_path: Path) -> None:
    from tests.faults.stores import change_scores

    words = ("--methods=average", "--metrics=en", "--datasets=msrs", "--data-root", tree)
    assert fusionbench("eval", *words, "--out", tmp_path / "other").returncode == 0
    put(memory, tmp_path / "other", "/good")
    done = fusionbench("merge", "memory://good", "--verify=2", "--data-root", tree, "--out", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert "2 scores of memory://good computed again, 0 of them are wrong" in done.stderr
    change_scores(tmp_path / "other", lambda v: v + 1e-9, "en@bits")
    put(memory, tmp_path / "other", "/bad")
    done = fusionbench("merge", "memory://bad", "--verify=1", "--data-root", tree, "--out", tmp_path / "none")
    assert done.returncode == 1
    assert "wrong: memory://bad: average on MSRS test" in done.stdout.replace("msrs", "MSRS")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "path", ["../../escape.png", "/etc/escape.png", "fused/../../../escape.png", "fused/x/.hidden.png", "results.db"]
)
def test_no_path_of_a_row_is_fetched_unless_safe(memory: Any, tmp_path: Path, path: str) -> None:
    make(tmp_path / "other", idents="a")
    change(tmp_path / "other", f"UPDATE fused SET path='{path}'")
    put(memory, tmp_path / "other", "/x")
    asked: list[str] = []
    memory_open, cls = type(memory).open, type(memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, "open", lambda self, p, *a, **k: (asked.append(p), memory_open(self, p, *a, **k))[1])
        _, (line,) = merged(tmp_path / "all", "memory://x")
    assert "1 picture refused (its path is not one of a fused picture)" in line
    assert asked == ["/x/results.db", "/x/results.db-wal"]
    assert {f for f in files(tmp_path / "all") if not f.startswith("results.db")} == set()


def test_bounds(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, make(tmp_path / "other"), "/x")
    with pytest.raises(FusionbenchError, match=r"^memory://x: over the limit of .* most=GIB allows more"):
        merged(tmp_path / "a", "memory://x", most=1000)
    with monkeypatch.context() as small:
        small.setattr(sources, "LARGEST_STORE", 1000)
        with pytest.raises(FusionbenchError, match=r"results\.db: over the limit of 1000 bytes for a store"):
            merged(tmp_path / "b", "memory://x")
    with monkeypatch.context() as small:
        small.setattr(remote, "MOST_FILES", 2)
        with pytest.raises(FusionbenchError, match="over the limit of 2 files"):
            merged(tmp_path / "c", "memory://x")
    with monkeypatch.context() as small:
        small.setattr(sources, "LARGEST_PICTURE", 10)
        _, (line,) = merged(tmp_path / "d", "memory://x")
    assert "2 pictures refused (too large)" in line
    done = fusionbench("merge", "memory://x", "--most", "1e-6", "--out", tmp_path / "e")
    assert (done.returncode, "--most GIB allows more" in done.stderr) == (2, True)


def test_a_file_that_never_ends(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the other side says of its size, reading stops at the limit."""

    class Endless:
        read_so_far = 0

        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, count: int) -> bytes:
            Endless.read_so_far += count
            return bytes(count)

    monkeypatch.setattr(sources, "LARGEST_STORE", 5 << 20)
    monkeypatch.setattr(type(memory), "open", lambda *_a, **_k: Endless())
    with pytest.raises(FusionbenchError, match="for a store"):
        merged(tmp_path / "a", "memory://x")
    assert Endless.read_so_far <= 7 << 20


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """A server whose answers a test gives: path to (status, headers, body); and what was asked of it."""
    asked: list[str] = []
    answers: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked, answers
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "file:///etc/passwd"}, b""),
        (302, {"Location": "/x/results.db"}, b""),  # for ever
        (302, {"Location": "ftp://127.0.0.1:9/results.db"}, b""),
        (200, {"Content-Length": str(10**18)}, b"SQLite format 3\0" * 100),
        (200, {"Content-Length": "-5"}, b"SQLite format 3\0"),
        (200, {"Content-Encoding": "gzip"}, b"not packed"),
        (200, {}, b"root:x:0:0"),
        (500, {}, b""),
    ],
)
def test_a_server_that_means_harm(
    hostile: tuple[str, list[str], dict[str, Any]], tmp_path: Path, status: int, headers: dict[str, str], body: bytes
) -> None:
    address, asked, answers = hostile
    answers["/x/results.db"] = status, headers, body
    done = fusionbench("merge", f"{address}/x", "--out", tmp_path / "all")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {address}/x/results.db")
    assert done.stderr.count("\n") == 1
    assert set(asked) <= {"/x/results.db", "/x/results.db-wal"}
    assert not (tmp_path / "all").exists()


def test_what_unpacks_to_very_much(
    hostile: tuple[str, list[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gibibyte in a mebibyte of gzip: counted as it comes."""
    address, _, answers = hostile
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    answers["/x/results.db"] = 200, {"Content-Encoding": "gzip"}, body
    monkeypatch.setattr(sources, "LARGEST_STORE", 5 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FusionbenchError, match=r"results\.db: (over the limit of 5242880|cannot be read)"):
        merged(tmp_path / "all", f"{address}/x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_a_picture_that_unpacks_to_very_much(memory: Any, tmp_path: Path) -> None:
    put(memory, make(tmp_path / "other"), "/x")
    data = zlib.compress(bytes(30_001 * 30_000 // 8 + 30_000), 9)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    text = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    memory.pipe("/x/fused/gff-k/d-test/a.png", b"\x89PNG\r\n\x1a\n" + text)
    added, (line,) = merged(tmp_path / "all", "memory://x")
    assert "1 picture refused (no readable picture)" in line
    assert added["fused"] == 1


def test_a_picture_that_is_not_there_is_made_anew(memory: Any, tmp_path: Path) -> None:
    put(memory, make(tmp_path / "other"), "/x")
    memory.rm("/x/fused/gff-k/d-test/a.png")
    added, conflicts = merged(tmp_path / "all", "memory://x")
    assert (added["fused"], conflicts) == (2, [])


def test_a_changed_picture_is_refused(memory: Any, tmp_path: Path) -> None:
    from fusionbench.pixels.images import write_image

    make(tmp_path / "other")
    write_image(tmp_path / "other/fused/gff-k/d-test/a.png", pixels(77))
    put(memory, tmp_path / "other", "/x")
    added, (line,) = merged(tmp_path / "all", "memory://x")
    assert "1 picture refused (its pixels are not those of its record)" in line
    assert added["fused"] == 1


def test_a_run_that_is_not_finished(memory: Any, tmp_path: Path) -> None:
    make(tmp_path / "other")
    with closing(sqlite3.connect(tmp_path / "other/results.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("INSERT INTO runs VALUES('now','{}')")
        db.commit()
        put(memory, tmp_path / "other", "/x")
    with pytest.raises(FusionbenchError, match=r"^memory://x: a run is writing there, or was cut off"):
        merged(tmp_path / "all", "memory://x")


@pytest.mark.parametrize("damage", [b"", b"no database at all, but long enough to be read as one" * 99])
def test_damage_is_told_by_the_address(memory: Any, tmp_path: Path, damage: bytes) -> None:
    memory.pipe("/x/results.db", damage)
    with pytest.raises(FusionbenchError) as caught:
        merged(tmp_path / "all", "memory://x")
    assert str(caught.value).startswith("memory://x/results.db: ")
    assert "/tmp" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("memory://nothing", "memory://nothing/results.db: no results store"),
        (f"s3://me:{SECRET}@lab/x", "s3://lab/x: an address holds no credentials"),
        (f"https://me:{SECRET}@host/x", "https://host/x: an address holds no credentials"),
        (f"https://host/x?X-Amz-Signature={SECRET}", "https://host/x?X-Amz-Signature=***: an address holds no cred"),
        ("simplecache::s3://lab/x", "an address begins with file://, memory://, s3://"),
        ("ssh://host/x", "ssh://host/x: an address begins with file://"),
        ("reference://x", "reference://x: an address begins with file://"),
        ("file://host/x", "file://host/x: a file:// address has three slashes"),
        ("gs://lab/x", "gs://lab/x: needs gcsfs, which is not installed: pip install gcsfs"),
    ],
)
def test_addresses_that_are_not_read(tmp_path: Path, address: str, line: str) -> None:
    done = fusionbench("merge", address, "--out", tmp_path / "all")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert line in done.stderr
    assert SECRET not in done.stderr
    assert not (tmp_path / "all").exists()


def test_denied_and_gone(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied(PermissionError):
        """As botocore words it, with what it was asked for."""

    def denied(*_a: object, **_k: object) -> None:
        raise Denied(f"Access denied for {SECRET}")

    with monkeypatch.context() as patch:
        patch.setattr(type(s3), "open", denied)
        done = fusionbench("merge", "s3://lab/x", "--out", tmp_path / "all")
    assert "error: s3://lab/x/results.db: access is denied; credentials come from the variables" in done.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(s3).clear_instance_cache()
    gone = fusionbench("merge", "s3://lab/x", "--out", tmp_path / "all")
    assert gone.returncode == 2
    assert "error: s3://lab/x/results.db: cannot be read (" in gone.stderr
    assert SECRET not in done.stderr + gone.stderr


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    done = fusionbench("merge", "s3://lab/x", "--out", tmp_path / "all")
    assert done.returncode == 2
    assert (
        "error: s3://lab/x: addresses need fsspec, which is not installed: pip install 'ivif-fusionbench[remote]'"
        in (done.stderr)
    )


def test_nothing_stays_of_what_was_fetched(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    put(memory, make(tmp_path / "other"), "/x")
    merged(tmp_path / "all", "memory://x")
    assert list(scratch.iterdir()) == []
