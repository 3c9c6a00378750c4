"""Servers that send too much, too slowly or another version; passwords in addresses; lists that take long to read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fusionbench.data import download as module
from fusionbench.data import lists
from fusionbench.data.download import download
from fusionbench.errors import DataError
from tests.conftest import fusionbench

OLD, NEW = b"o" * 3_000_000, b"n" * 3_000_000


class Server(ThreadingHTTPServer):
    """What it was asked, and the headers of its next answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.body = OLD
        self.headers: dict[str, str] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Misbehaves as the path says."""

    server: Server

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append(dict(self.headers))
        plan = self.path.strip("/").partition("/")[0].partition("?")[0]
        if plan == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/whole")
            self.end_headers()
            return
        if plan == "silent":
            time.sleep(3)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        same = self.headers.get("If-Range") in (None, *self.server.headers.values())
        start = start if same or plan == "ignores" else 0
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.server.body) - 1}/{len(self.server.body)}")
        if plan not in ("endless", "trickle"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if plan == "endless":
                while True:
                    self.wfile.write(bytes(1 << 20))
            if plan == "trickle":
                for _ in range(300):
                    self.wfile.write(b"x")
                    time.sleep(0.01)
            breaks = plan in ("breaks", "ignores") and len(self.server.asked) == 1
            self.wfile.write(body[: len(body) // 2] if breaks else body)
            if breaks:
                self.server.body = NEW
                self.server.headers = {name: value.replace("1", "2") for name, value in self.server.headers.items()}
        except OSError:
            pass
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE", 0.0)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_length_the_size_is_bounded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 5 << 20)
    with pytest.raises(DataError, match=r"the server sends more than the allowed 5242880 bytes; stopped"):
        download(f"{server.url}/endless", tmp_path / "a")
    assert len(server.asked) == 1
    assert (tmp_path / "a.part").stat().st_size <= 5 << 20


def test_without_a_length_the_disk_is_not_filled(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": module.RESERVE - 1})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"bytes are free after \d+; free some space"):
        download(f"{server.url}/endless", tmp_path / "a")


@pytest.mark.parametrize("plan", ["trickle", "silent"])
def test_a_byte_now_and_then(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"the server sends less than 1048576 bytes in 0.5 s; run it again later"):
        download(f"{server.url}/{plan}", tmp_path / "a")
    assert time.monotonic() - began < 2
    assert len(server.asked) == 1


@pytest.mark.parametrize("plan", ["breaks", "ignores"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"1"'}, {"ETag": '"1"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:01 GMT"}],
    ids=["none", "weak", "strong", "date"],
)
def test_two_versions_are_never_spliced(server: Server, tmp_path: Path, plan: str, headers: dict[str, str]) -> None:
    """The file changes on the server while the connection breaks off; without a hash nothing else would tell."""
    server.headers = headers
    assert download(f"{server.url}/{plan}", tmp_path / "a").read_bytes() == NEW


def test_a_weak_etag_of_an_earlier_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(NEW[:1000])
    (tmp_path / "a.part.etag").write_text("")
    server.headers = {"ETag": 'W/"1"'}
    assert download(f"{server.url}/whole", tmp_path / "a").read_bytes() == OLD


SECRETS = [
    "http://me:hunter2@127.0.0.1:9/a.zip",
    "https://me:hunter2@h/a?x=1",
    "http://me:hun/ter2@h/a",
    "ftp://me:hunter2@h/a",
]
SECRETS += [
    "http://127.0.0.1:9/a?token=hunter2&x=1",
    "http://127.0.0.1:9/a?x=1&X-Amz-Signature=hunter2",
    "//me:hunter2@h",
]


@pytest.mark.parametrize("url", SECRETS)
def test_passwords_are_not_shown(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE", 0.0)
    done = fusionbench("data", "download", "msrs", "--url", url, "--data-root", tmp_path)
    assert done.returncode == 2
    assert "hunter2" not in done.stderr + done.stdout
    assert "ter2" not in done.stderr + done.stdout
    assert "internal error" not in done.stderr


def test_a_password_goes_to_its_server_and_no_other(server: Server, tmp_path: Path) -> None:
    download(f"http://me:p%40ss@127.0.0.1:{server.server_port}/elsewhere", tmp_path / "a")
    first, second = server.asked
    assert first["Authorization"] == "Basic bWU6cEBzcw=="
    assert "Authorization" not in second


@pytest.mark.parametrize(
    "path",
    ["a" * 300, "ü" * 10, "a?" + "b" * 5000, "%00", "a\nb", "a b", "..", "\x1b[31m"],
    ids=range(8),
)
def test_odd_addresses(server: Server, tmp_path: Path, path: str) -> None:
    """Those that are none are refused; for the others an archive that is none is."""
    done = fusionbench("data", "download", "msrs", "--url", f"{server.url}/{path}", "--data-root", tmp_path)
    assert done.returncode == 2
    assert "internal error" not in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("url", ["http://[::1", "http://h:port/", "http://", "http:///a", "", "https:a", "http://\0/"])
def test_no_addresses(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError) as caught:
        download(url, tmp_path / "a", attempts=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "x " + "1," * 300_000,
        "x" + " 1,2,3,4,5" * 60_000 + " y",
        " " * 600_000 + "y",
        "x " + "1.1" * 300_000,
        "1 " * 400_000,
    ],
    ids=range(5),
)
def test_a_list_is_read_in_linear_time(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text(line)
    began = time.process_time()  # whatever else the machine does
    lists.read_list(tmp_path / "a.txt")
    assert time.process_time() - began < 10  # a quadratic one takes minutes


def test_boxes_behind_a_name_are_skipped(tmp_path: Path) -> None:
    lines = ["a.png", "b.png 1,2,3,4,0", "c d 1,2,3,4,0\t-1.5,2,3,4,1  ", " e.jpg", "f 1,2,3,4", "7,8,9,10,11", "# no"]
    (tmp_path / "a.txt").write_text("\ufeff" + "\r\n".join(lines))
    assert lists.read_list(tmp_path / "a.txt") == ("a", "b", "c d", "e", "f", "7")


def test_a_list_is_bounded(tmp_path: Path) -> None:
    with open(tmp_path / "a.txt", "wb") as file:
        file.truncate(lists.MAX_BYTES + 1)
    with pytest.raises(DataError, match="bytes, over the limit of"):
        lists.read_list(tmp_path / "a.txt")
    (tmp_path / "b.txt").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        lists.read_list(tmp_path / "b.txt")
