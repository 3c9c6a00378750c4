"""Downloads that break off, lie or are hostile."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from _data_samples import card_of

from fusionbench.data import download as module
from fusionbench.data.acquire import fetch
from fusionbench.data.download import download
from fusionbench.errors import DataError

BODY = bytes(range(256)) * 4000
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY under /PLAN, where PLAN names how it misbehaves."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, plan = self.server, self.path.strip("/").partition(".")[0]
        server.asked.append(self.headers.get("Range"))
        body, start, status = server.body, 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, server.etag)
        if plan == "gone" or (plan == "busy" and len(server.asked) < 3):
            self.send_error(404 if plan == "gone" else 503)
            return
        if plan.startswith("redirect"):
            self.send_response(302)
            self.send_header(
                "Location",
                {"redirect": "/good", "redirect-file": "file:///etc/passwd", "redirect-ftp": "ftp://127.0.0.1/x"}[plan],
            )
            self.end_headers()
            return
        if wanted and plan != "norange" and same:
            start, status = int(wanted[1]), 206
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        said = body[start:]
        sent = said
        if plan in ("breaks", "norange") and len(server.asked) < 3:
            sent = said[: len(said) // 3]
        if plan == "short":
            sent = said[:-10]
        self.send_response(status)
        if status == 206:
            first = start + 5 if plan == "shifted" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(said)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.etag, server.body = [], "", BODY
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "*")


def fails(pattern, *args, **options):
    with pytest.raises(DataError, match=pattern) as caught:
        download(*args, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plan", ["good", "redirect", "breaks", "norange", "busy"])
def test_gets_there(server, tmp_path, plan):
    seen = []
    path = download(f"{server.url}/{plan}.zip", tmp_path / "new" / "a.zip", SHA, len(BODY), lambda *a: seen.append(a))
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]
    assert seen[-1] == (len(BODY), len(BODY))
    if plan == "breaks":
        assert server.asked[0] is None
        assert all(re.fullmatch(r"bytes=\d+-", a) for a in server.asked[1:])


def test_goes_on_from_an_earlier_run(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(BODY[:1000])
    assert download(f"{server.url}/good", tmp_path / "a.zip", SHA).read_bytes() == BODY
    assert server.asked == ["bytes=1000-"]


def test_part_is_already_whole(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(BODY)
    assert download(f"{server.url}/good", tmp_path / "a.zip", SHA).read_bytes() == BODY


def test_part_is_too_long(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    assert download(f"{server.url}/good", tmp_path / "a.zip", SHA).read_bytes() == BODY


def test_without_a_hash_nothing_is_glued_together(server, tmp_path):
    """A beginning of unknown origin is dropped; one with the server's tag goes on; one with another tag does not."""
    target = tmp_path / "a.zip"
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    assert download(f"{server.url}/good", target).read_bytes() == BODY
    for tag, first in (('"1"', "bytes=1000-"), ('"0"', "bytes=1000-")):
        target.unlink()
        server.etag, server.asked = '"1"', []
        (tmp_path / "a.zip.part").write_bytes(BODY[:1000] if tag == '"1"' else b"x" * 1000)
        (tmp_path / "a.zip.part.etag").write_text(tag)
        assert download(f"{server.url}/good", target).read_bytes() == BODY
        assert server.asked == [first]
        assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_complete_file_is_not_fetched_again(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(BODY)
    assert download(f"{server.url}/good", tmp_path / "a.zip", SHA.upper())
    assert server.asked == []
    (tmp_path / "a.zip").write_bytes(b"other")
    fails("exists with another sha256 than", f"{server.url}/good", tmp_path / "a.zip", SHA)
    assert (tmp_path / "a.zip").read_bytes() == b"other"


def test_wrong_hash(server, tmp_path):
    url = f"{server.url}/good"
    fails(f"^{url}: the file has sha256 {SHA}, expected is 0+; it was removed$", url, tmp_path / "a", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_lies_about_its_length(server, tmp_path):
    url = f"{server.url}/short"
    fails(
        rf"^{url}: download failed: it ended after \d+ of {len(BODY)} bytes; run it again to go on",
        url,
        tmp_path / "a",
        SHA,
        attempts=2,
    )
    assert not (tmp_path / "a").exists()


def test_wrong_size_is_refused_before_it_is_sent(server, tmp_path):
    fails(f"offers {len(BODY)} bytes, expected are 7", f"{server.url}/good", tmp_path / "a", None, 7)


def test_bytes_from_elsewhere(server, tmp_path):
    (tmp_path / "a.part").write_bytes(BODY[:1000])
    download(f"{server.url}/shifted", tmp_path / "a", SHA)
    assert server.asked == ["bytes=1000-", None]


def test_gone(server, tmp_path):
    fails("the server answered 404 .*; the address is wrong", f"{server.url}/gone", tmp_path / "a")
    assert len(server.asked) == 1, "no second try after a final answer"


def test_attempts_are_bounded(server, tmp_path, monkeypatch):
    fails("the server answered 503", f"{server.url}/busy", tmp_path / "a", attempts=2)
    assert len(server.asked) == 2
    server.shutdown()
    server.server_close()
    fails("download failed: ", f"{server.url}/good", tmp_path / "a", attempts=2)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a", "/etc/passwd", "a.zip"])
def test_only_http(tmp_path, url):
    fails("only http and https addresses are downloaded", url, tmp_path / "a")


def test_redirect_elsewhere(server, tmp_path):
    fails("Redirection to url 'file:///etc/passwd' is not allowed", f"{server.url}/redirect-file", tmp_path / "a")
    fails("redirects to ftp://127.0.0.1/x, which is not http or https", f"{server.url}/redirect-ftp", tmp_path / "a")


def test_full_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    fails(f"{len(BODY)} bytes to download, only 10 are free; free some space", f"{server.url}/good", tmp_path / "a")


def entry(tmp_path, **data):
    """A dataset's card as it is read from a file."""
    return card_of(tmp_path, folders=["Mine"], layout={"ir": "{split}/ir", "vis": "{split}/vi"}, **data)


def bundle(tmp_path, prefix):
    import zipfile

    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("test/ir/a.png", "test/vi/a.png"):
            archive.writestr(prefix + name, b"x")
    return path.read_bytes()


@pytest.mark.parametrize("prefix", ["", "Mine-main/"])
def test_fetch(server, tmp_path, prefix):
    """From the card or from another address, unpacked to the dataset's folder whatever the archive calls it."""
    server.body = bundle(tmp_path, prefix)
    sha, seen = hashlib.sha256(server.body).hexdigest(), []
    address = {"url": f"{server.url}/good.zip", "sha256": sha, "size": len(server.body)}
    got = fetch(entry(tmp_path, download=address), tmp_path / "one", progress=lambda *a: seen.append(a))
    assert got == tmp_path / "one" / "Mine"
    assert (got / "test" / "ir" / "a.png").read_bytes() == b"x"
    assert seen[-1] == ("downloading Mine", len(server.body), len(server.body))
    other = entry(tmp_path, download={"url": "http://127.0.0.1:9/", "sha256": "0", "size": 3})
    got = fetch(other, tmp_path / "two", f"{server.url}/good.zip", sha)
    assert (got / "test" / "vi" / "a.png").exists()
    assert [p.name for p in (tmp_path / "two").iterdir()] == ["Mine"], "the archive is gone"


def test_a_broken_archive_is_fetched_again(server, tmp_path):
    whole = bundle(tmp_path, "")
    server.body = whole[: len(whole) // 2]
    with pytest.raises(DataError, match="the archive was removed, the same command downloads it again"):
        fetch(entry(tmp_path), tmp_path / "one", f"{server.url}/good.zip")
    server.body = whole
    assert fetch(entry(tmp_path), tmp_path / "one", f"{server.url}/good.zip").is_dir()


def test_an_archive_is_kept_when_the_target_is_in_the_way(server, tmp_path):
    server.body = bundle(tmp_path, "")
    (tmp_path / "one" / "Mine" / "test" / "ir").mkdir(parents=True)
    (tmp_path / "one" / "Mine" / "test" / "ir" / "a.png").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"is there already; .*; the archive is kept as .*-good\.zip"):
        fetch(entry(tmp_path), tmp_path / "one", f"{server.url}/good.zip")


def test_the_same_file_name_at_two_addresses(server, tmp_path):
    """What one address left behind is not taken for the other's."""
    server.body = bundle(tmp_path, "")
    seen = []
    for where in ("good/a.zip", "good./a.zip"):
        seen.append(len(server.asked))
        (tmp_path / "one" / "Mine").mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / "Mine").rename(tmp_path / f"old{len(seen)}")
        (tmp_path / "one" / "Mine").write_text("in the way")
        with pytest.raises(DataError, match="the archive is kept"):
            fetch(entry(tmp_path), tmp_path / "one", f"{server.url}/{where}")
        (tmp_path / "one" / "Mine").unlink()
    assert len(list((tmp_path / "one" / ".downloads").iterdir())) == 2


def test_the_data_root_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: a file, not a folder; name a folder with data_root="):
        fetch(entry(tmp_path), tmp_path / "file", "http://127.0.0.1:9/a.zip")


def test_fetch_something_else(server, tmp_path):
    server.body = bundle(tmp_path, "deep/down/here/")
    with pytest.raises(DataError, match="expected folders; get and unpack it by hand; the archive was removed"):
        fetch(entry(tmp_path), tmp_path / "one", f"{server.url}/good.zip")
    assert [p for p in (tmp_path / "one").rglob("*") if p.is_file()] == []


def test_fetch_without_an_address(tmp_path):
    with pytest.raises(DataError, match=r"mine: no direct address is known; give one with url=, or by hand: `[^\n]*$"):
        fetch(entry(tmp_path), tmp_path)


def test_an_archive_without_a_hash_is_verified_by_its_images(server, tmp_path):
    server.body = bundle(tmp_path, "")
    pair = hashlib.sha256(b"x" + b"x").hexdigest()
    good = hashlib.sha256(f"a {pair}\n".encode()).hexdigest()
    for content, where in ((good, "one"), ("0" * 64, "two")):
        card = entry(tmp_path, splits=[{"name": "test", "content_sha256": content}])
        if content == good:
            assert fetch(card, tmp_path / where, f"{server.url}/good.zip").is_dir()
        else:
            with pytest.raises(DataError, match="split test does not hold the released images"):
                fetch(card, tmp_path / where, f"{server.url}/good.zip")
            assert not list((tmp_path / where).rglob("*.png")), "verified before it is moved in place"
