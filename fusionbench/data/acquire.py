"""Getting a dataset: what to do by hand, or its archive downloaded and unpacked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from fusionbench.data.archives import TargetError, extract
from fusionbench.data.dataset import Dataset
from fusionbench.data.download import download, sha256_of
from fusionbench.data.urls import address_of, shown_of
from fusionbench.errors import DataError
from fusionbench.plugins.cards import DatasetCard
from fusionbench.runtime.files import short_name

Progress = Callable[[str, int, int | None], None]


def instructions(entry: DatasetCard) -> str:
    """How to get a dataset, as text: where from, under what terms, and the folders to build."""
    facts = entry.facts
    lines = [f"{entry.title}: {entry.summary}", f"Licence: {facts.licence or 'none stated'}"]
    lines += [f"Source:  {shown_of(url)}" for url in facts.urls]
    lines += [facts.get.strip()] if facts.get else []
    lines += ["Folders:", facts.tree.strip("\n")] if facts.tree else []
    return "\n".join(lines)


def fetch(
    entry: DatasetCard,
    base: str | Path,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
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
        DataError: when no address is known, and as `download`, `extract`.
    """
    known = None if url else entry.facts.download
    url = known.url if known else url
    if not url:
        how = f"`fusionbench show {entry.name}` says how to get it"
        raise DataError(f"{entry.name}: no direct address is known; give one with url=, or by hand: {how}")
    address_of(url)  # refuses what is none
    for above in (Path(base), *Path(base).parents):
        if above.is_file():
            raise DataError(f"{above}: a file, not a folder; name a folder with data_root=")
    expected = sha256 or (known.sha256 if known else None)
    archive = Path(base) / ".downloads" / _archive_name(url, entry.name)
    if expected and archive.is_file() and sha256_of(archive) != expected.lower():
        archive.unlink()  # left over from a run with another hash
    what = f"downloading {entry.title}"
    report = None if progress is None else lambda done, total: progress(what, done, total)
    download(url, archive, expected, known.size if known else None, report)
    target = Path(base, entry.facts.folders[0] if entry.facts.folders else entry.name)
    try:
        root = extract(archive, target, find=lambda folder: _find(folder, entry, url, verify=not expected))
    except TargetError as error:
        raise DataError(f"{error}; the archive is kept as {archive}") from None
    except DataError as error:
        archive.unlink(missing_ok=True)
        raise DataError(f"{error}; the archive was removed, the same command downloads it again") from None
    archive.unlink(missing_ok=True)
    with suppress(OSError):  # other archives may be in it
        archive.parent.rmdir()
    return root


def _archive_name(url: str, otherwise: str) -> str:
    """Named after the address: the rest of another archive of the same file name must not be taken for this one's."""
    name = PurePosixPath(urlsplit(address_of(url).plain).path).name.replace("\0", "") or otherwise
    return short_name(f"{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}-{name}")


def _find(folder: Path, entry: DatasetCard, url: str, *, verify: bool) -> Path | None:
    """The dataset's own folder in what was unpacked, verified by its images if asked to."""
    below = sorted(p for p in folder.glob("*") if p.is_dir())
    root = next((p for p in [folder, *below] if Dataset(p, entry).present()), None)
    if root is not None and verify:
        _verify_content(Dataset(root, entry), url)
    return root


def _verify_content(dataset: Dataset, url: str) -> None:
    """Compare the images with the card's content hashes: an archive that is made on request has no hash of its own."""
    for split in dataset.card.facts.splits:
        released = split.content_sha256
        if released and (content := dataset.content_hash(split.name)) != released:
            raise DataError(
                f"{shown_of(url)}: split {split.name} does not hold the released images (content hash {content[:12]}, "
                f"released {released[:12]}); nothing was unpacked"
            )
