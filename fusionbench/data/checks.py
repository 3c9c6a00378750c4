"""Checking a dataset on disk: counts, pairs, sizes, labels, unreadable files, and frames shared by train and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations, repeat
from pathlib import Path
from typing import TypedDict

import numpy as np

from fusionbench.counting import counted
from fusionbench.data import Dataset, Sample
from fusionbench.data.acquire import instructions
from fusionbench.data.beforehand import look_at
from fusionbench.data.leaks import alike_text, shared_text, signature, tested
from fusionbench.data.looks import warnings
from fusionbench.errors import DataError

HALF_PIXEL = 0.5  # less is rounding
Key = tuple[str, str]  # the paths of a pair's two files; split and id where the files cannot be told


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        level: ``damage`` (cannot be used as it is), ``missing`` (not there) or ``note`` (worth knowing).
        text: one line.
        split: the split it concerns.
        id: the image, or "".
    """

    level: str
    text: str
    split: str
    id: str = ""


class SplitCount(TypedDict):
    """Images of a split: on disk, and how many there should be."""

    present: int
    expected: int | None


class ReportDict(TypedDict):
    """A report as plain data."""

    dataset: str
    root: str
    splits: dict[str, SplitCount]
    findings: list[dict[str, str]]
    exit_code: int


@dataclass
class Report:
    """The result of `check`.

    Attributes:
        name: the dataset's name.
        root: its folder.
        counts: split to (images there, images expected or None).
        findings: damage first, then what is missing, then notes.
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

    def to_dict(self) -> ReportDict:
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
    todo: dict[Key, tuple[str, str]] = {}  # a pair of files to the split and id that first named it
    keys: dict[tuple[str, str], Key] = {}  # split and id to their pair of files
    for name in names:
        spec, ids = dataset.split(name), dataset.ids(name)
        report.counts[name] = (len(ids), spec.count)
        looked = _first_look(dataset, name, ids)
        unusable = any(finding.level == "damage" for finding in looked)
        for ident in ids:
            key = keys[name, ident] = _key(dataset, name, ident)
            if not unusable:
                todo.setdefault(key, (name, ident))
        report.findings += [finding for finding in looked if finding not in report.findings]
        report.findings += _counted(dataset, name, len(ids)) + _content(dataset, name)
    if dataset.origin:
        text = f"generated images ({dataset.origin.source}), not the real {dataset.card.title}"
        report.findings.append(Finding("note", text, ""))
    signatures: dict[Key, np.ndarray] = {}
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(_inspect, repeat(dataset), todo.values())
        for number, (key, (findings, code)) in enumerate(zip(todo, results, strict=True), 1):
            report.findings += findings
            if code is not None:
                signatures[key] = code
            if progress:
                progress(f"checking {dataset.name}", number, len(todo))
    for name in names:
        report.findings += _unlabelled(dataset, name) + _oddities(dataset, name)
        if (other := tested(name)) != name and other in names:
            report.findings += _leaks(dataset, name, other, keys, signatures)
    own = [name for name in names if _is_own(dataset, name)]
    for first, second in combinations(own, 2):
        if first not in (tested(second), second) and second != tested(first):
            report.findings += _shared(dataset, first, second, keys)
    order = ("damage", "missing", "note")
    once: dict[tuple[str, str], Finding] = {}  # what all images share is told of the first
    for finding in _once(report.findings):
        once.setdefault((finding.level, finding.text), finding)
    report.findings = sorted(once.values(), key=lambda f: order.index(f.level))
    if report.of("missing") or report.of("damage"):
        report.instructions = instructions(dataset.card)
    return report


def _first_look(dataset: Dataset, name: str, ids: Sequence[str]) -> list[Finding]:
    """How files were paired, or why none of them can be read."""
    try:
        notes = look_at(dataset, name, ids)
    except DataError as error:
        return [Finding("damage", str(error), name)]
    return [Finding("note", text, "") for text in notes if not text.startswith("warning: ")]  # those are found below


def _key(dataset: Dataset, split: str, ident: str) -> Key:
    """What tells a pair from others, so that one that is in several splits is read once."""
    try:
        files = dataset.files(split, ident)
    except DataError:
        return split, ident
    return str(files.ir), str(files.vis)


def _counted(dataset: Dataset, name: str, here: int) -> list[Finding]:
    if dataset.origin:
        generated = dataset.origin.counts.get(name, here)
        lost = Finding("damage", f"{name}: {here} of the {generated} images that were generated", name)
        return [lost] if here < generated else []
    if any(name in (splits.train, splits.test) for splits in dataset.card.facts.tasks.values()):
        return []  # part of another split, whose count names what is missing
    spec, findings = dataset.split(name), []
    if spec.count is not None and here < spec.count:
        absent = dataset.missing(name)
        first = f" (first: {', '.join(absent[:3])})" if absent and here else ""
        text = dataset.unmatched(name) or f"{name}: {here} of {spec.count} images{first}"
        findings.append(Finding("missing", text, name))
    elif spec.count is None and not here:
        findings.append(Finding("missing", f"{name}: no images", name))
    if spec.count is not None and here > spec.count:
        findings.append(
            Finding("note", f"{name}: {here} images where {spec.count} are known; copies or additions?", name)
        )
    if name in dataset.listed_on_card:
        every = {i for f in spec.folders for role in ("ir", "vis") for i in dataset.layout.index(role, f)}
        declared = {i for n in dataset.splits() for i in dataset.split(n).ids or ()}
        if extra := sorted(every - declared):
            text = f"{name}: {counted(len(extra), 'image')} in the folder but in no list, ignored (first: {extra[0]})"
            findings.append(Finding("note", text, name))
    return findings


def _content(dataset: Dataset, name: str) -> list[Finding]:
    """Whether a complete split holds the released files, where the card knows their hash."""
    released = next((split.content_sha256 for split in dataset.card.facts.splits if split.name == name), "")
    if not released or len(dataset.ids(name)) != dataset.split(name).count:
        return []
    try:
        content = dataset.content_hash(name)
    except DataError:
        return []  # an unreadable pair is reported already
    if content == released:
        return [Finding("note", f"{name}: byte for byte the released images (content hash {content[:12]})", name)]
    text = f"{name}: not byte for byte the released images (content hash {content[:12]}, released {released[:12]})"
    return [Finding("note", text, name)]


def _unlabelled(dataset: Dataset, name: str) -> list[Finding]:
    findings = []
    ids = [i for i in dataset.ids(name) if _key(dataset, name, i) != (name, i)]
    for role in ("mask", "boxes", "saliency"):
        if not ids or not dataset.layout.has(role):
            continue
        without = [i for i in ids if getattr(dataset.files(name, i), role) is None]
        if without:
            folder = dataset.layout.official(role, dataset.split(name).folders[0])
            word = {"boxes": "box file", "saliency": "ground truth"}.get(role, role)
            text = f"{name}: {len(without)} of {len(ids)} images have no {word} in {folder} (first: {without[0]})"
            if role == "boxes":
                text += _other_boxes(dataset, name, without)
            findings.append(Finding("missing", text, name))
    return findings


def _other_boxes(dataset: Dataset, split: str, ids: Sequence[str]) -> str:
    """Box files of the other format that lie where those of these images were looked for."""
    wanted, other = (".xml", ".txt") if dataset.layout.voc else (".txt", ".xml")
    formats = {".txt": ("yolo", "YOLO"), ".xml": ("voc", "Pascal VOC")}
    stems = set(ids)
    for folder in dataset.split(split).folders:
        for path in dataset.layout.folders("boxes", folder):
            if there := sorted(p for p in path.iterdir() if p.suffix.lower() == other and p.stem in stems):
                return (
                    f": looked for {formats[wanted][1]} files (*{wanted}), {len(there)} {formats[other][1]} files "
                    f'lie there, e.g. {there[0]}; for these the card says box_format = "{formats[other][0]}"'
                )
    return ""


def _inspect(dataset: Dataset, split_and_id: tuple[str, str]) -> tuple[list[Finding], np.ndarray | None]:
    """Findings of one sample and the signature of its visible image."""
    split, ident = split_and_id
    try:
        sample = dataset.pair(split, ident)
    except DataError as error:
        return [Finding("damage", str(error), split, ident)], None
    code, findings = signature(sample.vis), list[Finding]()
    try:
        findings += _stray_boxes(dataset, dataset.read_labels(sample))
    except DataError as error:
        findings.append(Finding("damage", str(error), split, ident))
    return findings, code


def _oddities(dataset: Dataset, name: str) -> list[Finding]:
    """What is odd about the pictures of a split, each kind once; `dataset` noted it when they were read."""
    looks = {ident: odd for (split, ident), odd in dataset.looks.items() if split == name}
    found = warnings(looks, dataset.card.facts.expected, dataset.card.facts.sources).values()
    return [Finding("note", f"{name}: {text}", name, ids[0]) for text, ids in found]


def _stray_boxes(dataset: Dataset, sample: Sample) -> list[Finding]:
    if sample.boxes is None or not len(sample.boxes):
        return []
    (height, width), xyxy = sample.ir.shape[1:], sample.boxes.xyxy
    beyond = np.maximum(-xyxy[:, :2], xyxy[:, 2:] - (width, height)).max(1)  # pixels
    outside = beyond > HALF_PIXEL
    if not outside.any():
        return []
    return [_Stray("note", "", sample.split, sample.id, int(outside.sum()), float(beyond.max()))]


@dataclass(frozen=True)
class _Stray(Finding):
    """Boxes of one image that leave it: how many, and how far the farthest does, in pixels."""

    count: int = 0
    beyond: float = 0.0


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Findings with boxes that leave their images told once for each split."""
    strays: dict[str, list[_Stray]] = {}
    for finding in findings:
        if isinstance(finding, _Stray):
            strays.setdefault(finding.split, []).append(finding)
    kept = [finding for finding in findings if not isinstance(finding, _Stray)]
    for split, own in strays.items():
        worst = max(own, key=lambda stray: stray.beyond)
        many = f"{counted(sum(stray.count for stray in own), 'box')} of {counted(len(own), 'image')}"
        by = counted(f"{worst.beyond:.4g}", "pixel")
        text = f"{split}: {many} beyond the edge, by up to {by} (in {worst.id})"
        kept.append(Finding("note", text, split, worst.id))
    return kept


def _is_own(dataset: Dataset, name: str) -> bool:
    """Whether the user gave a split's list."""
    return name in dataset.lists or name not in dataset.splits()


def _shared(dataset: Dataset, first: str, second: str, keys: Mapping[tuple[str, str], Key]) -> list[Finding]:
    """Images that are in two splits, by their files: damage where the user's list says so, else the dataset's own."""
    files = {keys[first, i] for i in dataset.ids(first)}
    shared = [i for i in dataset.ids(second) if keys[second, i] in files]
    if not shared:
        return []
    text = shared_text(first, second, shared, len(dataset.ids(second)))
    if second == tested(first) and (_is_own(dataset, first) or _is_own(dataset, second)):
        return [Finding("damage", f"{text}; take them out of one of the lists", second)]
    return [Finding("note", text, second)]


def _leaks(
    dataset: Dataset,
    train: str,
    test: str,
    keys: Mapping[tuple[str, str], Key],
    signatures: Mapping[Key, np.ndarray],
) -> list[Finding]:
    """Images of a split to test on that are in the one to train on, or look as if they were."""
    trained = {keys[train, i]: i for i in dataset.ids(train)}
    known = {i: signatures[key] for key, i in trained.items() if key in signatures}
    new = {
        i: keys[test, i] for i in dataset.ids(test) if keys[test, i] not in trained
    }  # the others are told of as such
    text = alike_text(train, test, known, {i: signatures[key] for i, key in new.items() if key in signatures})
    return _shared(dataset, train, test, keys) + ([Finding("note", text, test)] if text else [])
