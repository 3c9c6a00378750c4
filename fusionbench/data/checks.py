"""Checking a dataset on disk: counts, pairs, sizes, labels, unreadable files, and frames shared by train and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.data import Dataset, Sample
from fusionbench.data.download import instructions
from fusionbench.errors import DataError
from fusionbench.pixels.images import grey

# Cosine from which two visible images count as one scene. Measured: consecutive frames of M3FD 0.62, one LLVIP camera
# 0.66 to 0.85; among the 64,980 pairs of MSRS test images fewer than 10 exceed 0.4.
ALIKE = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        level: ``damage`` (cannot be used as it is), ``missing`` (not there) or ``note`` (worth knowing).
        text: one line.
        split: the split it was found in.
        id: the image, or "".
    """

    level: str
    text: str
    split: str
    id: str = ""


@dataclass
class Report:
    """What `check` found.

    Attributes:
        name: the dataset's name.
        root: its folder.
        counts: split to (images there, images expected or None).
        findings: everything found, damage first.
        instructions: how to get what is missing: source, licence, the tree to build.
        complete: whether missing parts count as a failure.
    """

    name: str
    root: Path
    counts: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    instructions: str = ""
    complete: bool = False

    def of(self, level: str) -> list[Finding]:
        """Findings of one level."""
        return [f for f in self.findings if f.level == level]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "dataset": self.name,
            "root": str(self.root),
            "splits": {name: {"present": here, "expected": known} for name, (here, known) in self.counts.items()},
            "findings": [asdict(f) for f in self.findings],
            "exit_code": self.exit_code(),
        }

    def text(self) -> str:
        """For reading: counts, findings with the worst first, and how to get what is missing."""
        lines = [f"{self.name} in {self.root}"]
        for name, (here, known) in self.counts.items():
            lines.append(f"  {name:<16} {here} of {'any number of' if known is None else known} images")
        lines += [f"{f.level}: {f.text}" for f in self.findings] or ["nothing to report"]
        return "\n".join([*lines, "", self.instructions] if self.instructions else lines)

    def exit_code(self, complete: bool | None = None) -> int:
        """1 for damage, and with ``complete`` also for anything missing; else 0. Notes never fail."""
        fatal = ("damage", "missing") if (self.complete if complete is None else complete) else ("damage",)
        return int(any(f.level in fatal for f in self.findings))


def check(
    dataset: Dataset,
    splits: Sequence[str] | None = None,
    complete: bool = False,
    jobs: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Read every image and label of the splits and say what is wrong with them.

    Args:
        dataset: the dataset.
        splits: names; all when None.
        complete: whether `Report.exit_code` counts missing images and labels.
        jobs: reading threads.
        progress: called as (what, done, total).
    """
    names = list(splits) if splits is not None else dataset.splits()
    report = Report(dataset.name, dataset.root, complete=complete)
    todo: dict[tuple[str, str], tuple[str, str]] = {}  # folder and id to where it was first named
    places: dict[tuple[str, str], tuple[str, str]] = {}
    for name in names:
        spec, ids = dataset.split(name), dataset.ids(name)
        report.counts[name] = (len(ids), spec.count)
        for ident in ids:
            place = _place(dataset, name, ident)
            places[name, ident] = place
            todo.setdefault(place, (name, ident))
        report.findings += _counted(dataset, name, len(ids)) + _content(dataset, name)
    if dataset.origin:
        made = f"{dataset.origin['generator']}, seed {dataset.origin.get('seed')}"
        report.findings.append(Finding("note", f"generated images ({made}), not the real {dataset.card.title}", ""))
    signatures: dict[tuple[str, str], np.ndarray] = {}
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(_inspect, repeat(dataset), todo.values())
        for number, (place, (found, code)) in enumerate(zip(todo, done, strict=True), 1):
            report.findings += found
            if code is not None:
                signatures[place] = code
            if progress:
                progress(f"checking {dataset.name}", number, len(todo))
    for name in names:
        report.findings += _unlabelled(dataset, name)
        if (other := name.replace("train", "test")) != name and other in names:
            coded = [
                {i: signatures[places[s, i]] for i in dataset.ids(s) if places[s, i] in signatures}
                for s in (name, other)
            ]
            report.findings += _leaks(dataset, name, other, *coded)
    order = ("damage", "missing", "note")
    report.findings.sort(key=lambda f: order.index(f.level))
    if report.of("missing") or report.of("damage"):
        report.instructions = instructions(dataset.card)
    return report


def _place(dataset: Dataset, split: str, ident: str) -> tuple[str, str]:
    try:
        files = dataset.files(split, ident)
    except DataError:
        return split, ident
    return str(files.ir), str(files.vis)


def _counted(dataset: Dataset, name: str, here: int) -> list[Finding]:
    spec, found = dataset.split(name), []
    if dataset.origin:
        made = dataset.origin.get("counts", {}).get(name, here)
        lost = Finding("damage", f"{name}: {here} of the {made} images that were generated", name)
        return [lost] if here < made else []
    of_tasks = {split for splits in dataset.card.data.get("tasks", {}).values() for split in splits.values()}
    if name in of_tasks:
        return []  # parts of another split, which says what is missing
    if spec.count is not None and here < spec.count:
        absent = dataset.missing(name)
        first = f" (first: {', '.join(absent[:3])})" if absent and here else ""
        found.append(Finding("missing", f"{name}: {here} of {spec.count} images{first}", name))
    elif spec.count is None and not here:
        found.append(Finding("missing", f"{name}: no images", name))
    if spec.count is not None and here > spec.count:
        found.append(Finding("note", f"{name}: {here} images where {spec.count} are known; copies or additions?", name))
    if name in dataset.listed_on_card:
        every = {i for f in spec.folders for role in ("ir", "vis") for i in dataset.layout.index(role, f)}
        declared = {i for n in dataset.splits() for i in dataset.split(n).ids or ()}
        if extra := sorted(every - declared):
            text = f"{name}: {len(extra)} images in the folder are in no list and ignored (first: {extra[0]})"
            found.append(Finding("note", text, name))
    return found


def _content(dataset: Dataset, name: str) -> list[Finding]:
    """Whether a complete split holds the released files, where the card knows their hash."""
    released = next((s.get("content_sha256") for s in dataset.card.data.get("splits", []) if s["name"] == name), None)
    if not released or len(dataset.ids(name)) != dataset.split(name).count:
        return []
    try:
        found = dataset.content_hash(name)
    except DataError:
        return []  # an unreadable pair is reported already
    if found == released:
        return [Finding("note", f"{name}: byte for byte the released images (content hash {found[:12]})", name)]
    text = f"{name}: not byte for byte the released images (content hash {found[:12]}, released {released[:12]})"
    return [Finding("note", text, name)]


def _unlabelled(dataset: Dataset, name: str) -> list[Finding]:
    found = []
    ids = [i for i in dataset.ids(name) if _place(dataset, name, i) != (name, i)]
    for role in ("mask", "boxes", "saliency"):
        if not ids or not dataset.layout.has(role):
            continue
        without = [i for i in ids if getattr(dataset.files(name, i), role) is None]
        if without:
            folder = dataset.layout.official(role, dataset.split(name).folders[0])
            word = {"boxes": "box file", "saliency": "ground truth"}.get(role, role)
            text = f"{name}: {len(without)} of {len(ids)} images have no {word} in {folder} (first: {without[0]})"
            found.append(Finding("missing", text, name))
    return found


def _inspect(dataset: Dataset, where: tuple[str, str]) -> tuple[list[Finding], np.ndarray | None]:
    """Findings of one sample and the signature of its visible image."""
    split, ident = where
    try:
        sample = dataset.pair(split, ident)
    except DataError as error:
        return [Finding("damage", str(error), split, ident)], None
    code, found = signature(sample.vis), _oddities(dataset, sample)
    try:
        found += _stray_boxes(dataset, dataset.read_labels(sample))
    except DataError as error:
        found.append(Finding("damage", str(error), split, ident))
    return found, code


def _oddities(dataset: Dataset, sample: Sample) -> list[Finding]:
    if np.array_equal(sample.ir, grey(sample.vis)):
        text = f"{dataset.name} {sample.id}: the infrared image is the visible image; one folder copied to both?"
        return [Finding("note", text, sample.split, sample.id)]
    return []


def _stray_boxes(dataset: Dataset, sample: Sample) -> list[Finding]:
    if sample.boxes is None or not len(sample.boxes):
        return []
    (height, width), xyxy = sample.ir.shape[1:], sample.boxes.xyxy
    outside = (xyxy[:, :2] < -1).any(1) | (xyxy[:, 2] > width + 1) | (xyxy[:, 3] > height + 1)
    if not outside.any():
        return []
    text = f"{dataset.name} {sample.id}: {int(outside.sum())} of {len(xyxy)} boxes leave the {width}x{height} image"
    return [Finding("note", text, sample.split, sample.id)]


# ---------------------------------------------------------------- near-duplicates


def signature(image: np.ndarray) -> np.ndarray:
    """What two pictures of one scene share: local contrast on a 16x16 grid, as a float32 unit vector ``[256]``.

    Args:
        image: uint8 ``[C,H,W]``.
    """
    from PIL import Image

    small = Image.fromarray(grey(image)[0]).resize((16, 16), Image.Resampling.BOX)
    grid = np.asarray(small, np.float64)
    ringed = np.pad(grid, 1, "edge")
    around = np.mean([ringed[y : y + 16, x : x + 16] for y in range(3) for x in range(3)], axis=0)
    local = grid - around
    local = (np.sign(local) * np.sqrt(np.abs(local))).ravel()  # the root keeps one lamp from deciding alone
    return (local / max(np.linalg.norm(local), 1e-9)).astype(np.float32)


def near_duplicates(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], alike: float = ALIKE
) -> list[tuple[int, int, float]]:
    """Nearest signature of ``first`` for each one of ``second``.

    Returns:
        (index in first, index in second, cosine) where the cosine reaches ``alike``.
    """
    if not first or not second:
        return []
    ours, found = np.stack(first), []
    for start in range(0, len(second), 256):
        cosines = np.stack(second[start : start + 256]) @ ours.T
        best = cosines.argmax(1)
        found += [(int(b), start + i, float(cosines[i, b])) for i, b in enumerate(best) if cosines[i, b] >= alike]
    return found


def _leaks(
    dataset: Dataset, train: str, test: str, train_codes: dict[str, np.ndarray], test_codes: dict[str, np.ndarray]
) -> list[Finding]:
    found = []
    both = dataset.split(train).ids and dataset.split(test).ids
    shared = [i for i in dataset.split(test).ids or () if i in set(dataset.split(train).ids or ())] if both else []
    if shared and dataset.split(train).folders == dataset.split(test).folders:
        found.append(Finding("note", f"{len(shared)} images are in {train} and in {test} (first: {shared[0]})", test))
    near = near_duplicates(list(train_codes.values()), list(test_codes.values()))
    if near:
        old, new = list(train_codes), list(test_codes)
        near.sort(key=lambda n: -n[2])
        shown = ", ".join(f"{new[t]} and {old[s]}" for s, t, _ in near[:3])
        text = (
            f"{len(near)} of {len(new)} {test} images look like a {train} image ({shown}): "
            f"frames of one scene; scores on {test} flatter what was trained on {train}"
        )
        found.append(Finding("note", text, test))
    return found
