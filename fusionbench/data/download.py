"""Fetching archives: resumed, bounded, verified; and unpacking them so that nothing lands outside the target."""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fusionbench.errors import DataError
from fusionbench.plugins.cards import Card

if TYPE_CHECKING:
    from fusionbench.data import Dataset

BLOCK = 1 << 20
OURS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}  # not the archive's fault
Progress = Callable[[int, int | None], None]


class TargetError(DataError):
    """The place to unpack to is at fault and not the archive, which is worth keeping."""


def instructions(entry: Card) -> str:
    """How to get a dataset, as text: where from, under what terms, and the folders to build."""
    data = entry.data
    lines = [f"{entry.title}: {entry.summary}", f"Licence: {data.get('licence', 'none stated')}"]
    lines += [f"Source:  {url}" for url in data.get("urls", ())]
    lines += [data["get"].strip()] if data.get("get") else []
    lines += ["Folders:", data["tree"].strip("\n")] if data.get("tree") else []
    return "\n".join(lines)


# ---------------------------------------------------------------- downloading


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        kinds = ("https",) if req.full_url.lower().startswith("https:") else ("http", "https")
        if urlsplit(newurl).scheme.lower() not in kinds:
            raise DataError(f"{req.full_url}: redirects to {newurl}, which is not {' or '.join(kinds)}; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _sha256(path: Path) -> str:
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
    pause: float = 1.0,
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
        pause: seconds before the second attempt; doubled each time.
        timeout: seconds to wait for the server.

    Raises:
        DataError: one line: another scheme, a refusal by the server, no complete file after all attempts, or a
            file of the wrong length or hash (which is removed).
    """
    target = Path(target)
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise DataError(f"{url}: only http and https addresses are downloaded")
    if target.is_file():
        if sha256 is None or _sha256(target) == sha256.lower():
            return target
        raise DataError(f"{target} exists with another sha256 than {sha256}; move it away and try again")
    _make(target.parent)
    part = target.with_name(target.name + ".part")
    tag = target.with_name(target.name + ".part.etag")
    if sha256 is None and not tag.is_file():
        part.unlink(missing_ok=True)  # nothing could tell whether the rest belongs to this beginning
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(pause * 2 ** (attempt - 1), 60))
        try:
            reason = _attempt(url, part, tag, size, progress, timeout)
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 425, 429):
                why = "needs a login or is not public" if error.code in (401, 403) else "is wrong"
                raise DataError(f"{url}: {reason}; the address {why}, look it up and give it with --url") from None
        except (OSError, urllib.error.URLError, EOFError, ValueError) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        except Exception as error:  # http.client raises its own kinds
            if type(error).__module__ != "http.client":
                raise
            reason = f"the connection broke off ({type(error).__name__})"
        if not reason:
            return _verified(url, part, tag, target, sha256, size)
    raise DataError(f"{url}: download failed: {reason}; run it again to go on from where it stopped")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None


def _attempt(url: str, part: Path, tag: Path, size: int | None, progress: Progress | None, timeout: float) -> str:
    """One connection. Returns "" when the file is complete, else why it is not."""
    start = part.stat().st_size if part.exists() else 0
    if size is not None and start == size:
        return ""
    request = urllib.request.Request(url, headers={"User-Agent": "fusionbench", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag.is_file():
            request.add_header("If-Range", tag.read_text().strip())
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # the part is as long as the file, or longer
            whole = error.headers.get("Content-Range", "").rpartition("/")[2]
            if whole == str(start):
                return ""
            part.unlink()
            return "the server has no more bytes than the part at hand, which was dropped"
        raise
    with response:
        length = response.headers.get("Content-Length")
        if response.status == 206:
            answer = response.headers.get("Content-Range", "")
            if not answer.startswith(f"bytes {start}-"):
                part.unlink()
                return f"asked for bytes from {start}, the server sent {answer or 'others'}; the part was dropped"
        else:
            start = 0  # the server sends everything again
        total = None if length is None else start + int(length)
        if size is not None and total is not None and total != size:
            raise DataError(f"{url}: the server offers {total} bytes, expected are {size}; is the address right?")
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - start > free:
            raise DataError(f"{part.parent}: {total - start} bytes to download, only {free} free")
        if etag := response.headers.get("ETag", ""):
            tag.write_text("" if etag.startswith("W/") else etag)
        got = start
        with open(part, "ab" if start else "wb") as file:
            while block := response.read(BLOCK):
                got += len(block)
                if size is not None and got > size:
                    raise DataError(f"{url}: the server sends more than the expected {size} bytes; stopped")
                file.write(block)
                if progress:
                    progress(got, total if total is not None else size)
    expected = total if total is not None else size
    return "" if expected is None or got == expected else f"it ended after {got} of {expected} bytes"


def _verified(url: str, part: Path, tag: Path, target: Path, sha256: str | None, size: int | None) -> Path:
    got = part.stat().st_size
    wrong = f"has {got} bytes, expected are {size}" if size is not None and got != size else ""
    if not wrong and sha256 is not None and (have := _sha256(part)) != sha256.lower():
        wrong = f"has sha256 {have}, expected is {sha256.lower()}"
    tag.unlink(missing_ok=True)
    if wrong:
        part.unlink()
        raise DataError(f"{url}: the file {wrong}; it was removed")
    os.replace(part, target)
    return target


# ---------------------------------------------------------------- unpacking


def extract(
    archive: str | Path,
    target: str | Path,
    *,
    max_bytes: int = 200 << 30,
    max_files: int = 1_000_000,
    max_ratio: float = 100.0,
    find: Callable[[Path], Path | None] | None = None,
) -> Path:
    """Unpack a zip or tar archive.

    Only plain files and folders are made, none outside ``target``. Everything is unpacked beside the target first,
    so that a refused or broken archive leaves nothing behind.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz.
        target: the folder; may exist, but no file in it is overwritten.
        max_bytes: most bytes it may unpack to.
        max_files: most entries it may have.
        max_ratio: most bytes it may unpack to for each byte of the archive (beyond the first 64 MiB).
        find: picks the folder to move to the target from what was unpacked; None for all of it.

    Raises:
        DataError: one line: not an archive, broken, something in it that is refused, or a file that is there already.
    """
    archive, target = Path(archive), Path(target)
    if not archive.is_file():
        raise DataError(f"{archive}: no such file")
    _make(target.parent)
    limit = min(max_bytes, max(int(archive.stat().st_size * max_ratio), min(max_bytes, 64 << 20)))
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise TargetError(f"{target.parent}: cannot be written ({error.strerror}); choose another folder") from None
    try:
        try:
            _unpack(archive, temporary / "all", limit, max_files)
        except BROKEN as error:
            raise DataError(f"{archive}: broken or unsupported archive ({error}); fetch it again") from None
        except OSError as error:
            kind = TargetError if error.errno in OURS else DataError
            raise kind(f"{archive}: cannot be unpacked: {error}") from None
        root = find(temporary / "all") if find else temporary / "all"
        if root is None:
            raise DataError(f"{archive}: the archive does not hold the expected folders; get and unpack it by hand")
        try:
            _move(root, target)
        except OSError as error:
            raise TargetError(f"{target}: cannot be written ({error.strerror}); choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)


def _unpack(archive: Path, folder: Path, limit: int, max_files: int) -> None:
    folder.mkdir()
    written = 0
    for count, (name, size, is_folder, open_entry) in enumerate(_entries(archive), 1):
        path = folder / _safe(archive, name)
        if count > max_files:
            raise DataError(f"{archive}: more than {max_files} entries; refused")
        if is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        if written + size > limit:
            raise DataError(f"{archive}: unpacks to more than {limit} bytes; refused")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_entry() as source, open(path, "wb") as file:
            while block := source.read(BLOCK):
                written += len(block)
                if written > limit:  # the header lied
                    raise DataError(f"{archive}: unpacks to more than {limit} bytes; refused")
                file.write(block)


_Entry = tuple[str, int, bool, Callable[[], Any]]


def _entries(archive: Path) -> Iterator[_Entry]:
    """Name, stated size, whether it is a folder, and how to open each entry; anything else is refused."""
    return _zip_entries(archive) if zipfile.is_zipfile(archive) else _tar_entries(archive)


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {info.filename!r} is a link or a device; refused")
            if info.flag_bits & 1:
                raise DataError(f"{archive}: {info.filename!r} is encrypted; unpack it by hand")
            yield info.filename, info.file_size, info.is_dir(), partial(bundle.open, info)


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    try:
        bundle = tarfile.open(archive)  # noqa: SIM115 - closed below
    except tarfile.ReadError:
        raise DataError(f"{archive}: neither a zip nor a tar archive; unpack it by hand") from None
    with bundle:
        for member in bundle:
            if not (member.isdir() or member.isreg()):
                raise DataError(f"{archive}: {member.name!r} is a link or a device; refused")
            yield member.name, member.size, member.isdir(), partial(bundle.extractfile, member)


def _safe(archive: Path, name: str) -> Path:
    plain = name.replace("\\", "/")
    pure = PurePosixPath(plain)
    if not plain or pure.is_absolute() or ".." in pure.parts or "\0" in plain or plain[1:2] == ":":
        raise DataError(f"{archive}: {name!r} would land outside the target; refused")
    return Path(*pure.parts)


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        os.replace(source, target)
        return
    files = [p for p in source.rglob("*") if p.is_file()]
    for path in files:
        if (target / path.relative_to(source)).exists():
            raise TargetError(f"{target / path.relative_to(source)} is there already; unpack into an empty folder")
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)


def fetch(
    entry: Card,
    base: str | Path,
    url: str | None = None,
    sha256: str | None = None,
    progress: Callable[[str, int, Any], None] | None = None,
) -> Path:
    """Download a dataset's archive and unpack it under a data root.

    Args:
        entry: its card; ``[download]`` there may give ``url``, ``sha256`` and ``size``.
        base: the data root.
        url: another address; then the card's hash and size do not count.
        sha256: of the archive.
        progress: called as (what, bytes so far, bytes in all or None).

    Returns:
        The dataset's folder.

    Raises:
        DataError: when no address is known (the text goes on with the instructions), and as `download`, `extract`.
    """
    from fusionbench.data import Dataset

    known = {} if url else entry.data.get("download", {})
    url = url or known.get("url")
    if not url:
        raise DataError(f"{entry.name}: no direct address is known; give one with --url, or:\n{instructions(entry)}")
    what = f"downloading {entry.title}"
    report = None if progress is None else lambda done, total: progress(what, done, total)
    # Named after the address: what is left of another one under the same file name must not be taken for it.
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{Path(urlsplit(url).path).name or entry.name}"
    hash_ = sha256 or known.get("sha256")
    archive = Path(base) / ".downloads" / name
    for above in (Path(base), *Path(base).parents):
        if above.is_file():
            raise DataError(f"{above}: a file, not a folder; name a folder with --data-root")
    if hash_ and archive.is_file() and _sha256(archive) != hash_.lower():
        archive.unlink()  # left over from a run with another hash
    download(url, archive, hash_, known.get("size"), report)

    def find(folder: Path) -> Path | None:
        below = sorted(p for p in folder.glob("*") if p.is_dir())
        root = next((p for p in [folder, *below] if Dataset(p, entry).present()), None)
        if root is not None and not hash_:
            _verify_content(Dataset(root, entry), url)
        return root

    try:
        root = extract(archive, Path(base, *(entry.data.get("folders") or [entry.name])[:1]), find=find)
    except TargetError as error:
        raise DataError(f"{error}; the archive is kept as {archive}") from None
    except DataError as error:
        archive.unlink(missing_ok=True)
        raise DataError(f"{error}; the archive was removed, the same command downloads it again") from None
    archive.unlink(missing_ok=True)
    with suppress(OSError):  # others may be in it
        archive.parent.rmdir()
    return root


def _verify_content(dataset: Dataset, url: str) -> None:
    """Compare the images with the card's content hashes: an archive that is made on request has no hash of its own."""
    for rules in dataset.card.data.get("splits", []):
        released = rules.get("content_sha256")
        if released and (found := dataset.content_hash(rules["name"])) != released:
            raise DataError(
                f"{url}: split {rules['name']} does not hold the released images (content hash {found[:12]}, "
                f"released {released[:12]}); nothing was unpacked"
            )
