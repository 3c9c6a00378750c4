"""A checkpoint as its authors released it: one file, or several that belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionbench.errors import WeightsError
from fusionbench.plugins.cards import MethodCard
from fusionbench.plugins.records import WeightFacts
from fusionbench.runtime.files import check_regular, sha256

LARGEST = 2 << 30  # bytes of a file that is looked at when a folder is searched


@dataclass(frozen=True)
class Released:
    """The files of one checkpoint.

    Attributes:
        files: in the order of the card's parts.
        names: what they hold, as the card says; empty for one file.
        sha256: of the file; of several, of their hashes in order, a line each.
        listed: what the card says of it, or None.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    sha256: str
    listed: WeightFacts | None


def combined(hashes: Sequence[str]) -> str:
    """The hash of a checkpoint from those of its files."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(f"{h}\n" for h in hashes).encode()).hexdigest()


def released(entry: MethodCard, files: Sequence[Path]) -> Released:
    """Look at the files of a checkpoint; those that the card knows may come in any order.

    Of a method whose checkpoints are several files, one that training wrote holds all of them.

    Raises:
        WeightsError: a file cannot be read, or the method's checkpoints have another number of files.
    """
    hashes = {}
    for file in files:
        if not file.is_file():
            raise WeightsError(f"{file}: no such file")
        try:
            check_regular(file, "the checkpoint")
            hashes[file] = sha256(file)
        except OSError as error:
            raise WeightsError(f"{file}: cannot be read ({error.strerror})") from None
    for listed in entry.facts.weights:
        if listed.parts and sorted(hashes.values()) == sorted(p.sha256 for p in listed.parts):
            order = [next(f for f, h in hashes.items() if h == part.sha256) for part in listed.parts]
            return Released(tuple(order), entry.facts.files, listed.sha256, listed)
    digest = combined(list(hashes.values()))
    names = () if len(files) == 1 and _trained(files[0]) else entry.facts.files
    if len(files) != (len(names) or 1):
        wanted = f"{len(names)} files, in this order: {', '.join(names)}" if names else "one file"
        raise WeightsError(f"{files[0]}: a checkpoint of {entry.name} is {wanted}")
    known = next((w for w in entry.facts.weights if w.sha256 == digest), None)
    return Released(tuple(files), names, digest, known)


def _trained(file: Path) -> bool:
    """Whether `fusionbench train` wrote it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as held:
            return "fusionbench" in (held.metadata() or {})
    except (SafetensorError, OSError):
        return False


def found(entries: Sequence[MethodCard], folder: Path) -> list[tuple[MethodCard, WeightFacts, tuple[Path, ...]]]:
    """Checkpoints that cards list and whose files lie anywhere below a folder, known by their hashes.

    Raises:
        WeightsError: no such folder.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder")
    wanted = {h for e in entries for w in e.facts.weights for h in (w.sha256, *(p.sha256 for p in w.parts))}
    here: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= LARGEST:
            digest = sha256(path)
            if digest in wanted:
                here.setdefault(digest, path)
    rows = []
    for entry in entries:
        for listed in entry.facts.weights:
            hashes = [p.sha256 for p in listed.parts] or [listed.sha256]
            if all(h in here for h in hashes):
                rows.append((entry, listed, tuple(here[h] for h in hashes)))
    return rows
