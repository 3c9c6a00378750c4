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
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from fusionbench.data.archives import BLOCK, make_folder
from fusionbench.errors import DataError

PAUSE = 1.0  # seconds before the second attempt; doubled each time
Progress = Callable[[int, int | None], None]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirection away from http(s), and none from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        schemes = ("https",) if req.full_url.lower().startswith("https:") else ("http", "https")
        if urlsplit(newurl).scheme.lower() not in schemes:
            raise DataError(f"{req.full_url}: redirects to {newurl}, which is not {' or '.join(schemes)}; refused")
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
        url: http or https.
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
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise DataError(f"{url}: only http and https addresses are downloaded")
    if target.is_file():
        if sha256 is None or sha256_of(target) == sha256.lower():
            return target
        raise DataError(f"{target} exists with another sha256 than {sha256}; move it away and try again")
    make_folder(target.parent)
    transfer = _Transfer(
        url=url,
        part=target.with_name(target.name + ".part"),
        tag=target.with_name(target.name + ".part.etag"),
        size=size,
        timeout=timeout,
        progress=progress,
    )
    if sha256 is None and not transfer.tag.is_file():
        transfer.part.unlink(missing_ok=True)  # nothing could tell whether the rest belongs to this beginning
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(PAUSE * 2 ** (attempt - 1), 60))
        reason = transfer.attempt()
        if not reason:
            transfer.verify(sha256)
            os.replace(transfer.part, target)
            return target
    raise DataError(f"{url}: download failed: {reason}; run it again to go on from where it stopped")


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """One file on its way.

    Attributes:
        url: its address.
        part: what has arrived.
        tag: holds the server's name (ETag) of the version that `part` belongs to.
        size: bytes it must have, or None.
        timeout: seconds to wait for the server.
        progress: called with (bytes so far, bytes in all or None).
    """

    url: str
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
                raise DataError(f"{self.url}: {reason}; the address {why}, look it up and give it with url=") from None
            return reason
        except (OSError, EOFError, ValueError) as error:  # URLError is an OSError
            return str(getattr(error, "reason", None) or error) or type(error).__name__
        except http.client.HTTPException as error:
            return f"the connection broke off ({type(error).__name__})"

    def _resume(self) -> str:
        start = self.part.stat().st_size if self.part.exists() else 0
        if self.size is not None and start == self.size:
            return ""
        request = urllib.request.Request(self.url, headers={"User-Agent": "fusionbench", "Accept-Encoding": "identity"})
        if start:
            request.add_header("Range", f"bytes={start}-")
            if self.tag.is_file():
                request.add_header("If-Range", self.tag.read_text().strip())
        try:
            response = urllib.request.build_opener(_Redirects).open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:
                raise
            # the part is as long as the file, or longer
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return ""
            self.part.unlink()
            return "the server has no more bytes than the part at hand, which was dropped"
        with response:
            return self._receive(response, start)

    def _receive(self, response: HTTPResponse, start: int) -> str:
        length = response.headers.get("Content-Length")
        if response.status == 206:
            answer = response.headers.get("Content-Range", "")
            if not answer.startswith(f"bytes {start}-"):
                self.part.unlink()
                return f"asked for bytes from {start}, the server sent {answer or 'others'}; the part was dropped"
        else:
            start = 0  # the server sends everything again
        total = None if length is None else start + int(length)
        if self.size is not None and total is not None and total != self.size:
            raise DataError(
                f"{self.url}: the server offers {total} bytes, expected are {self.size}; is the address right?"
            )
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise DataError(f"{self.part.parent}: {total - start} bytes to download, only {free} free")
        if etag := response.headers.get("ETag", ""):
            self.tag.write_text("" if etag.startswith("W/") else etag)
        expected = total if total is not None else self.size
        got = self._append(response, start, expected)
        return "" if expected is None or got == expected else f"it ended after {got} of {expected} bytes"

    def _append(self, response: HTTPResponse, start: int, expected: int | None) -> int:
        """Write what the server sends behind the first `start` bytes; the bytes there are then."""
        got = start
        with open(self.part, "ab" if start else "wb") as file:
            while block := response.read(BLOCK):
                got += len(block)
                if self.size is not None and got > self.size:
                    raise DataError(f"{self.url}: the server sends more than the expected {self.size} bytes; stopped")
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
            raise DataError(f"{self.url}: the file {wrong}; it was removed")
