"""Downloading one file: resumed where it broke off, bounded in size, verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit

from fusionbench.data.archives import BLOCK, make_folder
from fusionbench.data.urls import Address, address_of, shown_of
from fusionbench.errors import DataError

PAUSE = 1.0  # seconds before the second attempt; doubled each time
PATIENCE = 300.0  # seconds for an answer, and for each block: 1 MiB
MAX_BYTES = 200 << 30  # of a file whose size nobody states
RESERVE = 256 << 20  # bytes that stay free on the disk then
Progress = Callable[[int, int | None], None]
T = TypeVar("T")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirection away from http(s), and none from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        schemes = ("https",) if req.full_url.lower().startswith("https:") else ("http", "https")
        if urlsplit(newurl).scheme.lower() not in schemes:
            shown = shown_of(newurl)
            raise DataError(
                f"{shown_of(req.full_url)}: redirects to {shown}, which is not {' or '.join(schemes)}; refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(
    url: str,
    target: str | Path,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
) -> Path:
    """Download a file, going on where an earlier attempt broke off.

    Args:
        url: http or https; a user name and password in it are sent to that server alone.
        target: the file to make. Until it is complete and verified it is ``target.part``.
        sha256: what it must hash to; None accepts any content.
        size: bytes it must have.
        progress: called with (bytes so far, bytes in all or None).
        attempts: how often to connect at most.
        timeout: seconds to wait for the server.

    Raises:
        DataError: one line: another scheme, a refusal by the server, no complete file after all attempts, or a
            file of the wrong length or hash (which is removed).
    """
    target = Path(target)
    address = address_of(url)
    if target.is_file():
        if sha256 is None or sha256_of(target) == sha256.lower():
            return target
        raise DataError(f"{target} exists with another sha256 than {sha256}; move it away and try again")
    make_folder(target.parent)
    transfer = _Transfer(
        address=address,
        verified=sha256 is not None,
        part=target.with_name(target.name + ".part"),
        tag=target.with_name(target.name + ".part.etag"),
        size=size,
        timeout=timeout,
        progress=progress,
    )
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(PAUSE * 2 ** (attempt - 1), 60))
        reason = transfer.attempt()
        if not reason:
            transfer.verify(sha256)
            os.replace(transfer.part, target)
            return target
    raise DataError(f"{address.shown}: download failed: {reason}; run it again to go on from where it stopped")


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """One file on its way.

    Attributes:
        address: where it is.
        verified: whether its hash is compared at the end.
        part: what has arrived.
        tag: holds what tells the version that `part` belongs to: the server's strong ETag, else its date.
        size: bytes it must have, or None.
        timeout: seconds to wait for the server.
        progress: called with (bytes so far, bytes in all or None).
    """

    address: Address
    verified: bool
    part: Path
    tag: Path
    size: int | None
    timeout: float
    progress: Progress | None

    def attempt(self) -> str:
        """Connect once. Returns "" when the file is complete, else why it is not.

        Raises:
            DataError: another attempt would end the same way.
        """
        try:
            return self._resume()
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 425, 429):
                why = "needs a login or is not public" if error.code in (401, 403) else "is wrong"
                raise DataError(
                    f"{self.address.shown}: {reason}; the address {why}, look it up and give it with url="
                ) from None
            return reason
        except (OSError, EOFError, ValueError) as error:  # URLError is an OSError
            return str(getattr(error, "reason", None) or error) or type(error).__name__
        except http.client.HTTPException as error:
            return f"the connection broke off ({type(error).__name__})"

    def _resume(self) -> str:
        version = self.tag.read_text(encoding="latin-1").strip() if self.tag.is_file() else ""
        if not (version or self.verified):
            self.part.unlink(missing_ok=True)  # nothing could tell whether the rest belongs to this beginning
        start = self.part.stat().st_size if self.part.exists() else 0
        if self.size is not None and start == self.size:
            return ""
        request = self.address.request()
        if start:
            request.add_header("Range", f"bytes={start}-")
            if version:
                request.add_header("If-Range", version)
        opener = urllib.request.build_opener(_Redirects)
        try:
            response: HTTPResponse = self._within(partial(opener.open, request, timeout=self.timeout))
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:
                raise
            # the part is as long as the file, or longer
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return ""
            self.part.unlink()
            return "the server has no more bytes than the part at hand, which was dropped"
        result = self._receive(response, start, version)
        response.close()  # not where a reader still waits in it
        return result

    def _within(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Raises:
            DataError: it takes too long: a server may send a byte now and then for ever.
        """
        done: Queue[tuple[T | None, BaseException | None]] = Queue(1)

        def run() -> None:
            try:
                done.put((work(), None))
            except BaseException as error:
                done.put((None, error))

        Thread(target=run, daemon=True).start()
        try:
            result, error = done.get(timeout=PATIENCE)
        except Empty:
            raise DataError(
                f"{self.address.shown}: the server sends less than {BLOCK} bytes in {PATIENCE:g} s; "
                "run it again later, it goes on from where it stopped"
            ) from None
        if error is not None:
            raise error
        return cast(T, result)

    def _receive(self, response: HTTPResponse, start: int, version: str) -> str:
        length = response.headers.get("Content-Length")
        if response.status == 206:
            answer = response.headers.get("Content-Range", "")
            if not answer.startswith(f"bytes {start}-"):
                self.part.unlink()
                return f"asked for bytes from {start}, the server sent {answer or 'others'}; the part was dropped"
            if version and (now := _version(response.headers)) not in ("", version):
                self.part.unlink()
                return "the file has changed on the server; the part was dropped"
        else:
            start = 0  # the server sends everything again
        total = None if length is None else start + int(length)
        if self.size is not None and total is not None and total != self.size:
            raise DataError(
                f"{self.address.shown}: the server offers {total} bytes, expected are {self.size}; "
                "is the address right?"
            )
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise DataError(
                f"{self.part.parent}: {total - start} bytes to download, only {free} are free; free some space"
            )
        if now := _version(response.headers):
            self.tag.write_text(now, encoding="latin-1", errors="replace")
        else:
            self.tag.unlink(missing_ok=True)
        expected = total if total is not None else self.size
        got = self._append(response, start, expected)
        return "" if expected is None or got == expected else f"it ended after {got} of {expected} bytes"

    def _append(self, response: HTTPResponse, start: int, expected: int | None) -> int:
        """Write what the server sends behind the first `start` bytes; the bytes there are then."""
        got = start
        with open(self.part, "ab" if start else "wb") as file:
            while block := self._within(partial(response.read, BLOCK)):
                got += len(block)
                if got > (most := MAX_BYTES if self.size is None else self.size):
                    what = "expected" if self.size is not None else "allowed"
                    raise DataError(
                        f"{self.address.shown}: the server sends more than the {what} {most} bytes; stopped"
                    )
                if expected is None and shutil.disk_usage(self.part.parent).free < RESERVE:
                    raise DataError(f"{self.part.parent}: under {RESERVE} bytes are free after {got}; free some space")
                file.write(block)
                if self.progress:
                    self.progress(got, expected)
        return got

    def verify(self, sha256: str | None) -> None:
        """Compare length and hash of the complete part; a wrong one is removed.

        Raises:
            DataError: it is another file than was asked for.
        """
        got = self.part.stat().st_size
        wrong = f"has {got} bytes, expected are {self.size}" if self.size is not None and got != self.size else ""
        if not wrong and sha256 is not None and (actual := sha256_of(self.part)) != sha256.lower():
            wrong = f"has sha256 {actual}, expected is {sha256.lower()}"
        self.tag.unlink(missing_ok=True)
        if wrong:
            self.part.unlink()
            raise DataError(f"{self.address.shown}: the file {wrong}; it was removed")


def _version(headers: HTTPMessage) -> str:
    """What tells one version of a file from another, byte by byte; a weak ETag does not."""
    tag: str = headers.get("ETag", "")
    if tag:
        return "" if tag.startswith("W/") else tag
    return headers.get("Last-Modified", "")
