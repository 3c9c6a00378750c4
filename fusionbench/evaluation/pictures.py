"""The fused pictures of a split with labels, which task networks are trained on and scored with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.data.label_checks import check_labels
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import Entry, one_entry
from fusionbench.evaluation.outcome import FailedImage
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.runner import Progress, fuse_only
from fusionbench.evaluation.source import Source
from fusionbench.pixels.images import MAX_BYTES
from fusionbench.results.records import SOURCE_NAME
from fusionbench.results.store import Fused, Store
from fusionbench.runtime.files import read_regular
from fusionbench.tasks.task import Task, task
from fusionbench.training.request import TrainRequest


class BrokenPair(DataError):
    """A pair that a task needs and that cannot be read."""


@dataclass(frozen=True)
class Pictures:
    """Fused pictures of one entry over one split.

    Attributes:
        files: image id to file.
        digest: hash of all of them with the labels.
    """

    files: Mapping[str, Path]
    digest: str


def labelled(source: Source, split: str, label: str) -> Source:
    """A source on another split, with the ids that have a label (``mask``, ``boxes``, ``saliency``)."""
    dataset = source.dataset
    ids = source.ids if split == source.split else dataset.ids(split) if split in dataset.splits() else []
    ids = [i for i in ids if getattr(dataset.files(split, i), label) is not None]
    return replace(source, protocol=replace(source.protocol, split=split), ids=tuple(ids), metrics=())


def fused_pictures(
    plan: Plan, entries: Iterable[Entry], store: Store, source: Source, task: Task, progress: Progress
) -> tuple[dict[str, Pictures], dict[str, str]]:
    """Fuse what is missing.

    Returns:
        Entry key to its pictures; and the id of each entry that has not all of them to why.

    Raises:
        BrokenPair: a pair that cannot be read.
    """
    every = tuple({e.key: e for e in entries if (e.id, source.label) not in plan.absent}.values())
    pairs, outcome = fuse_only(replace(plan, entries=every, sources=(source,)), store, progress)
    for ident in source.ids:  # scores over fewer pairs would be of another test
        reason = outcome.failures.get(FailedImage(SOURCE_NAME, source.label, ident))
        if reason or ident not in pairs:
            reason = reason or "its files are not all there"
            raise BrokenPair(f"{source.label} {source.split}: pair {ident} is needed for {task.name}: {reason}")
    labels = hashlib.sha256()
    for ident in source.ids:
        path = getattr(source.dataset.files(source.split, ident), task.needs)
        labels.update(read_regular(path, "the labels", MAX_BYTES))
    complete: dict[str, Pictures] = {}
    missing: dict[str, str] = {}
    for entry in every:
        failed = {f.image: why for f, why in outcome.failures.items() if f.entry == entry.id}
        fused = store.fused(entry.key, source.label, source.split, pairs)
        have = {i: picture for i, picture in fused.items() if i not in failed}
        if len(have) == len(source.ids):
            text = "".join(f"{i} {picture.image}\n" for i, picture in sorted(have.items())) + labels.hexdigest()
            try:
                files = {i: _file(store, picture) for i, picture in have.items()}
            except FusionbenchError as error:  # kept at an address that cannot be reached
                missing[entry.id] = str(error)
                continue
            complete[entry.key] = Pictures(files, hashlib.sha256(text.encode()).hexdigest())
        else:
            ident = next(i for i in source.ids if i not in have)
            missing[entry.id] = f"{source.split} pair {ident}: {failed.get(ident, 'no picture')}"
    return complete, missing


def _file(store: Store, picture: Fused) -> Path:
    """Where a fused picture lies as a file, or (pictures that another program made) where they are."""
    path = Path(picture.path)
    return path if path.is_absolute() else store.shelf.file(picture.path, picture.image)


def training_pictures(request: TrainRequest, folder: Path, note: Callable[[str], None]) -> dict[str, Path]:
    """The fused training pictures of the entry that a request names, from the cache that `eval` uses too.

    Args:
        request: of a task network, with its ``entry``.
        folder: the results folder that keeps them.
        note: takes remarks.

    Raises:
        FusionbenchError: the entry does not exist or cannot fuse every pair.
    """
    from fusionbench.tasks.recipe import TaskSettings

    settings = request.settings
    assert request.entry is not None
    assert isinstance(settings, TaskSettings)
    (dataset,) = request.opened.values()
    trained = task(request.training.card.name)
    split = settings.split or dataset.task_splits(trained.needs)[0]
    spec = f"{dataset.name}={dataset.root}"
    asked = Request(
        methods=(request.entry,), datasets=(spec,), split=split, device=request.device, reading=request.reading
    )
    plan = make_plan(asked)
    entry = one_entry(request.entry).on(request.device)
    with Store(folder) as store:
        source = labelled(plan.sources[0], plan.sources[0].split, trained.needs)
        check_labels(dataset, split, source.ids)
        pictures, missing = fused_pictures(plan, [entry], store, source, trained, lambda *_: None)
    for name, reason in missing.items():
        raise FusionbenchError(f"{name} has not every picture of {dataset.name} {split}: {reason}")
    note(f"training on {counted(len(pictures[entry.key].files), 'picture')} of {entry.id}")
    return dict(pictures[entry.key].files)
