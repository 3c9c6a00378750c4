"""Runs a plan: fuse once, score many, keep everything that is finished.

Each image is its own unit of work with one torch thread, whatever is left to do and however many workers there are:
so an interrupted run that is started again ends with the same bytes as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import RELEASED, Entry, Skip
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.plan import Plan, Source
from fusionbench.evaluation.scoring import Scorer, digest, reason_of
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.results.records import EntryInfo
from fusionbench.results.store import Score, Store, storage_error

T = TypeVar("T")
R = TypeVar("R")
SOURCE = ""  # the entry key under which a failure of the source pair itself is kept


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        fused, kept, scored: numbers of images fused in this run and kept from earlier ones, and of values computed.
        failures: (entry id or "source", dataset, image id) to reason.
        undefined: (entry id, dataset, metric) to image ids where the metric has no value.
        skipped: entries that could not start.
        broken: metric id to what it raised; such a metric has no column.
    """

    fused: int = 0
    kept: int = 0
    scored: int = 0
    seconds: float = 0.0
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)
    undefined: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]  # (what, done, total)


def run(plan: Plan, store: Store, command: str = "", progress: Progress = lambda *_: None) -> Outcome:
    """Fuse and score everything in the plan that is not in the store yet.

    Args:
        plan: from :func:`fusionbench.evaluation.plan.make_plan`.
        store: where results go; one per output directory.
        command: kept in the provenance.
        progress: called as work proceeds.

    Returns:
        What was done and what failed; a bad image or method never stops the rest.

    Raises:
        FusionbenchError: when results cannot be written.
    """
    import torch

    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    began, started, threads = time.perf_counter(), provenance.now(), torch.get_num_threads()
    outcome = Outcome(skipped=list(plan.skipped))
    for name in {m.card.name for s in plan.sources for m in s.metrics}:
        resolve("metric", name)  # a metric that cannot be imported is told before anything is fused
    torch.set_num_threads(1)
    try:
        _run(plan, store, outcome, progress)
    finally:
        torch.set_num_threads(threads)
    outcome.seconds = time.perf_counter() - began
    run = provenance.collect(
        provenance.session(command, started), outcome.seconds, plan.summary(), outcome.fused, outcome.scored
    )
    store.put_run(run)
    return outcome


def fuse_only(plan: Plan, store: Store, progress: Progress = lambda *_: None) -> tuple[dict[str, str], Outcome]:
    """Fuse what is missing of a plan with one source, and score nothing; no board is registered.

    Returns:
        Image id to the hash of its pair, and what was done and failed.
    """
    import torch

    (source,) = plan.sources
    outcome, threads = Outcome(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        hashes, failed = _hash(plan, source, progress)
        for entry in plan.entries:
            store.put_entry(entry.key, msgspec.convert(entry.info(), EntryInfo))
            _fuse(plan, entry, store, {source.label: hashes}, {source.label: failed}, outcome, progress)
    finally:
        torch.set_num_threads(threads)
    ids = {e.key: e.id for e in plan.entries} | {SOURCE: "source"}
    outcome.failures = {(ids[key], source.label, ident): why for (key, ident), why in failed.items()}
    return hashes, outcome


def _run(plan: Plan, store: Store, outcome: Outcome, progress: Progress) -> None:
    hashes: dict[str, dict[str, str]] = {}
    failures: dict[str, dict[tuple[str, str], str]] = {}
    for source in plan.sources:
        hashes[source.label], failures[source.label] = _hash(plan, source, progress)
        store.put_board(source.board(), hashes[source.label].items(), source.dataset.ids(source.split))
    for entry in plan.entries:
        store.put_entry(entry.key, msgspec.convert(entry.info(), EntryInfo))
        _fuse(plan, entry, store, hashes, failures, outcome, progress)
    for source in plan.sources:
        _score(plan, source, store, hashes[source.label], failures[source.label], outcome, progress)
        store.set_failures(source.label, source.split, failures[source.label], {e.key for e in plan.entries})
        names = {e.key: e.id for e in plan.entries} | {SOURCE: "source"}
        for (key, ident), reason in failures[source.label].items():
            outcome.failures[names[key], source.label, ident] = reason


def _parallel(plan: Plan, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, Future[R]]]:
    """Results in the order of `items`, at most a few waiting; on an error or Ctrl-C nothing further is begun."""
    with ThreadPoolExecutor(plan.jobs) as pool:
        waiting: list[tuple[T, Future[R]]] = []
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= 4 * plan.jobs:
                    pair = waiting.pop(0)
                    _wait(pair[1])
                    yield pair
            while waiting:
                pair = waiting.pop(0)
                _wait(pair[1])
                yield pair
        finally:
            for _, future in waiting:
                future.cancel()


def _wait(future: Future[Any]) -> None:
    future.exception()  # waits; what was raised is looked at by the caller, also a plugin's SystemExit


def _hash(plan: Plan, source: Source, progress: Progress) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Hash of every source pair; pairs that cannot be read at all are failures of the source."""
    found: dict[str, str] = {}
    failed: dict[tuple[str, str], str] = {}
    total = len(source.ids)
    for done, (ident, future) in enumerate(
        _parallel(plan, lambda i: source.dataset.hash(source.split, i), source.ids), 1
    ):
        if error := future.exception():
            failed[SOURCE, ident] = reason_of(error)
        else:
            found[ident] = future.result()
        progress(f"reading {source.label}", done, total)
    return found, failed


def _fuse(
    plan: Plan,
    entry: Entry,
    store: Store,
    hashes: dict[str, dict[str, str]],
    failures: dict[str, dict[tuple[str, str], str]],
    outcome: Outcome,
    progress: Progress,
) -> None:
    """Fuse what is missing of one entry, over all sources, with the method loaded once."""
    kept = {} if entry.precomputed else store.fused(entry.key)
    todo = [
        (source, ident, pair)
        for source in plan.sources
        for ident, pair in hashes[source.label].items()
        if pair not in kept or not (store.folder / str(kept[pair][1])).is_file()
    ]
    outcome.kept += sum(len(h) for h in hashes.values()) - len(todo)
    if not todo:
        return
    try:
        method = entry.build(plan.device)
    except (FusionbenchError, OSError) as error:
        outcome.skipped.append(Skip(entry.id, reason_of(error)))
        for source, ident, _ in todo:
            failures[source.label][entry.key, ident] = "the method did not start: " + reason_of(error)
        return
    worker = _Fuser(entry, method, plan.device, store)
    for done, ((source, ident, pair), future) in enumerate(_parallel(plan, worker, todo), 1):
        problem = future.exception()
        if problem is None:
            image, path = future.result()
            store.put_fused(entry.key, pair, image, path)
            outcome.fused += 1
        elif isinstance(problem, _CannotWrite):
            raise storage_error(store.folder, problem.cause)
        elif isinstance(problem, _BadPair):
            failures[source.label][SOURCE, ident] = str(problem)
        else:
            failures[source.label][entry.key, ident] = reason_of(problem)
        progress(f"fusing {entry.id}", done, len(todo))


class _Fuser:
    """Fuses one image and saves it the way a user would."""

    def __init__(self, entry: Entry, method: Any, device: str, store: Store) -> None:
        from fusionbench.pixels.output_rule import RULES, OutputRule

        self.entry, self.method, self.device, self.store = entry, method, device, store
        # Finished pictures are scored as they are, whatever rule the methods share.
        own = entry.rule == RELEASED or entry.precomputed
        self.rule = OutputRule(**entry.card.data.get("output", {})) if own else RULES[entry.rule]

    def __call__(self, job: tuple[Source, str, str]) -> tuple[str, str]:
        """Returns the SHA-256 of the saved picture and its path below the output directory."""
        from fusionbench.pixels.images import write_image

        source, ident, _ = job
        try:
            sample = source.dataset.pair(source.split, ident)
        except DataError as error:
            raise _BadPair(reason_of(error)) from None
        picture = fuse_pair(
            self.method, self.rule, sample.ir, sample.vis, self.device, ident, source.label, source.split
        )
        path = f"fused/{self.entry.folder}/{source.label}-{source.split}/{ident}.png"
        try:
            write_image(self.store.folder / path, picture)
        except OSError as error:
            raise _CannotWrite(error) from None
        return digest(picture), path


class _BadPair(Exception):
    """The source pair cannot be used, by any method."""


class _CannotWrite(Exception):
    """The picture cannot be saved."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _score(
    plan: Plan,
    source: Source,
    store: Store,
    hashes: dict[str, str],
    failed: dict[tuple[str, str], str],
    outcome: Outcome,
    progress: Progress,
) -> None:
    """Compute the missing scores of one source, image by image, all entries of an image together."""
    codes = {m.id: m.code for m in source.metrics}
    kept = store.scores(codes)
    fused = {entry.key: store.fused(entry.key) for entry in plan.entries}
    jobs = []
    for ident, pair in hashes.items():
        todo = []
        for entry in plan.entries:
            if pair not in fused[entry.key] or (entry.key, ident) in failed or (SOURCE, ident) in failed:
                continue
            image, path = fused[entry.key][pair]
            if metrics := [m for m in source.metrics if (image, pair, m.id) not in kept]:
                todo.append((entry, image, path, metrics))
        if todo:
            jobs.append((ident, pair, todo))
    scorer = Scorer(source, store, plan.device)
    for done, ((ident, pair, _), future) in enumerate(_parallel(plan, scorer, jobs), 1):
        if error := future.exception():
            failed[SOURCE, ident] = reason_of(error)
        else:
            values, broken, changed = future.result()
            for key in changed:
                store.drop_fused(key, pair)
            scores = [Score(image, pair, m, codes[m], value) for image, m, value in values]
            store.put_scores(scores)
            kept.update({(s.image, s.pair, s.metric): s.value for s in scores})
            outcome.scored += len(scores)
            outcome.broken.update(broken)
            failed.update({(key, ident): reason for key, reason in changed.items()})
        progress(f"scoring {source.label}", done, len(jobs))
    for entry in plan.entries:
        for ident, pair in hashes.items():
            if pair in fused[entry.key] and (entry.key, ident) not in failed:
                for metric in source.metrics:
                    if math.isnan(kept.get((fused[entry.key][pair][0], pair, metric.id), 0.0)):
                        outcome.undefined.setdefault((entry.id, source.label, metric.id), []).append(ident)
