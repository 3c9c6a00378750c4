"""Runs a plan: fuse once, score many, keep everything that is finished.

Each image is its own unit of work with one torch thread, whatever is left to do and however many workers there are:
so an interrupted run that is started again ends with the same bytes as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation import oddities
from fusionbench.evaluation.entries import Entry, Skip
from fusionbench.evaluation.fuser import BadPair, CannotWrite, Fuser, entry_folder, in_batches
from fusionbench.evaluation.outcome import Column, FailedImage, Outcome, verb_of
from fusionbench.evaluation.parallel import parallel
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.scoring import ImageScores, Picture, Scorer, reason_of
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.source_pairs import Progress as Progress
from fusionbench.evaluation.source_pairs import SourcePairs, hashed
from fusionbench.plugins.fingerprint import named_code
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.results.records import SOURCE, SOURCE_NAME, Case, Failures, Made
from fusionbench.results.store import Fused, Score, Store, storage_error
from fusionbench.runtime.files import sweep


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
    began, started = time.perf_counter(), provenance.now()
    work = _Work(plan, store, progress, started)
    for name in {m.card.name for s in plan.sources for m in s.metrics}:
        resolve("metric", name)  # a metric that cannot be imported is reported before anything is fused
    with one_thread():
        for source in plan.sources:
            work.read(source)
            store.put_board(source.board(), work.hashes[source.label].items(), source.dataset.ids(source.split))
        work.fuse_all()
        for source in plan.sources:
            work.score(source)
            work.outcome.odd += oddities.of_source(source, work.hashes[source.label])
            failures = work.failures[source.label]
            store.set_failures(source.label, source.split, failures, {e.key for e in plan.entries})
    outcome = work.finished()
    outcome.seconds = time.perf_counter() - began
    run = provenance.collect(
        provenance.session(command, started), outcome.seconds, plan.summary(), outcome.new, outcome.scored
    )
    store.put_run(run)
    return outcome


def fuse_only(plan: Plan, store: Store, progress: Progress = lambda *_: None) -> tuple[dict[str, str], Outcome]:
    """Fuse what is missing of a plan with one source, and score nothing; no board is registered.

    Returns:
        Image id to the hash of its pair, and what was done and failed.
    """
    (source,) = plan.sources
    work = _Work(plan, store, progress, provenance.now())
    with one_thread():
        work.read(source)
        work.fuse_all()
    return work.hashes[source.label], work.finished()


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread for each unit of work, so that numbers do not depend on the machine's processors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Work:
    """A run in progress.

    Attributes:
        outcome: what was done so far.
        hashes: source label to image id to hash of the pair, for pairs that can be read.
        failures: source label to what failed.
        pairs: reads them.
        made: number of what computes here, for the store.
        only_of: it and its like where only their results are kept; None for all.
    """

    def __init__(self, plan: Plan, store: Store, progress: Progress, started: str) -> None:
        self.plan, self.store, self.progress, self.started = plan, store, progress, started
        self.outcome = Outcome(skipped=list(plan.skipped), replaced=list(store.notes))
        self.hashes: dict[str, dict[str, str]] = {}
        self.failures: dict[str, Failures] = {}
        self.pairs = SourcePairs()
        self.made = self._signed(provenance.made_here(plan.device))
        self.only_of = store.alike(provenance.made_here(plan.device)) if plan.fresh_versions else None

    def finished(self) -> Outcome:
        """The outcome, with entries named by their ids."""
        names = {e.key: e.id for e in self.plan.entries} | {SOURCE: SOURCE_NAME}
        for label, failures in self.failures.items():
            for (key, image), reason in failures.items():
                self.outcome.failures[FailedImage(names[key], label, image)] = reason
        return self.outcome

    def read(self, source: Source) -> None:
        """Hash every source pair; pairs that cannot be read at all are failures of the source."""
        hashes, failures = hashed(source, self.plan.jobs, self.progress)
        self.hashes.setdefault(source.label, {}).update(hashes)
        self.failures.setdefault(source.label, {}).update(failures)

    def fuse_all(self) -> None:
        """Fuse what is missing of every entry."""
        for part in self.pairs.parts(self.plan.sources):
            for entry in self.plan.entries:
                self.fuse(entry, [source for source in self.plan.sources_of(entry) if source in part])

    def fuse(self, entry: Entry, sources: list[Source]) -> None:
        """Fuse what is missing of one entry, over some sources, with the method loaded once."""
        self.store.put_entry(entry.key, entry.info())
        made_of = self._made_of(entry)
        cached = self._cached(entry, made_of)
        todo = [
            (source, image, pair)
            for source in sources
            for image, pair in self.hashes[source.label].items()
            if (source.label, image) not in cached
        ]
        self.outcome.cached += sum(len(self.hashes[s.label]) for s in sources) - len(todo)
        if not todo:
            return
        try:
            method = entry.build(self.plan.device)
        except (FusionbenchError, OSError) as error:
            reason = "the method did not start: " + reason_of(error)
            if (skip := Skip(entry.id, reason_of(error))) not in self.outcome.skipped:  # it may be another part's turn
                self.outcome.skipped.append(skip)
            for source, image, _ in todo:
                self.failures[source.label][Case(entry.key, image)] = reason
            return
        for source in self.plan.sources:
            sweep(self.store.folder / entry_folder(entry, source), ".*.tmp")
        fuser = Fuser(entry, method, self.plan.device, self.store, self.pairs)
        earlier = {s.label: self._stored(entry, s) for s in self.plan.sources}
        made: dict[str, set[str]] = {s.label: set() for s in self.plan.sources}
        batches = parallel(self.plan.jobs, fuser, in_batches(todo, entry.batch))
        each = (found for jobs, future in batches for found in zip(jobs, future.result(), strict=True))
        for done, ((source, image, pair), saved) in enumerate(each, 1):
            if isinstance(saved, CannotWrite):
                raise storage_error(self.store.folder, saved.cause)
            if isinstance(saved, BaseException):
                key = SOURCE if isinstance(saved, BadPair) else entry.key
                self.failures[source.label][Case(key, image)] = reason_of(saved)
            else:
                self.store.put_fused(entry.key, source.label, source.split, image, Fused(pair, *saved, made_of))
                made[source.label].add(image)
                self.outcome.count(entry)
            self.progress(f"{verb_of(entry)} {entry.id} on {source.label}", done, len(todo))
        self.outcome.odd += oddities.of_pictures(entry.id, fuser.odd, earlier)
        for source in sources if entry.precomputed else ():
            self._drop_replaced(entry, source, earlier[source.label], made[source.label])

    def _made_of(self, entry: Entry) -> int:
        """What makes an entry's pictures here, by its number in the store."""
        if not named_code(entry.card, entry.options):
            return self.made
        return self._signed(provenance.made_here(self.plan.device, tasks=True))

    def _signed(self, made: Made) -> int:
        return self.store.put_maker(provenance.signed(made, self.started))

    def _stored(self, entry: Entry, source: Source) -> dict[str, Fused]:
        """What the store has of an entry's pictures of a source, by image id."""
        return self.store.fused(entry.key, source.label, source.split, self.hashes[source.label])

    def _cached(self, entry: Entry, made: int) -> set[tuple[str, str]]:
        """(source label, image id) of pictures that need not be made; none of another program's, which may change.

        What an entry made of the same pair under the same id for another split counts, and is recorded here.
        """
        if entry.precomputed:
            return set()
        alike = self.store.alike(self.store.makers()[made])
        known = [p for p in self.store.pictures(entry.key) if self.only_of is None or p.made in alike]
        paths = self.store.shelf.there(p.path for p in known)
        there = [p for p in known if p.path in paths]
        own = {(p.dataset, p.split, p.id): p.pair for p in there}
        same = {(p.pair, p.id): Fused(p.pair, p.image, p.path, p.made) for p in there}
        cached = set()
        for source in self.plan.sources:
            for image, pair in self.hashes[source.label].items():
                if (pair, image) in same:
                    if own.get((source.label, source.split, image)) != pair:
                        self.store.put_fused(entry.key, source.label, source.split, image, same[pair, image])
                    cached.add((source.label, image))
        return cached

    def _drop_replaced(self, entry: Entry, source: Source, earlier: dict[str, Fused], made: set[str]) -> None:
        """One name is one set of pictures: where they are not those of an earlier run, none of the earlier ones stay.

        Args:
            entry: pictures of another program.
            source: where they were read.
            earlier: what an earlier run read, by image id.
            made: ids of the images that were read now.
        """
        now = self._stored(entry, source)
        changed = [i for i, picture in earlier.items() if i in made and now[i].image != picture.image]
        pictures = self.store.pictures(entry.key)
        stored = {p.id for p in pictures if (p.dataset, p.split) == (source.label, source.split)}
        self.store.drop_fused(
            entry.key, source.label, source.split, stored - made if changed else self.hashes[source.label].keys() - made
        )
        if changed:
            folder = entry.options[entry.card.facts.path_options[0]]
            self.outcome.replaced.append(
                f"{entry.id} on {source.label}: {counted(len(changed), 'picture', 'are')} not those of an earlier run, "
                f"e.g. {changed[0]}; its row is now that of {folder}"
            )

    def score(self, source: Source) -> None:
        """Compute the missing scores of one source, image by image, all entries of an image together."""
        hashes, failures = self.hashes[source.label], self.failures[source.label]
        codes = {m.id: m.code for m in source.metrics}
        stored = self.store.scores(codes, self.only_of)
        fused = {entry.key: self._stored(entry, source) for entry in self.plan.entries}
        jobs = []
        for image, pair in hashes.items():
            pictures = []
            for entry in self.plan.entries:
                if image in fused[entry.key] and not {Case(entry.key, image), Case(SOURCE, image)} & failures.keys():
                    _, saved, path, _ = fused[entry.key][image]
                    if metrics := tuple(m for m in source.metrics if (saved, pair, m.id) not in stored):
                        pictures.append(Picture(entry, saved, path, metrics))
            if pictures:
                jobs.append((image, pictures))
        scorer = Scorer(source, self.store, self.plan.device, self.pairs.last)
        for done, ((image, _), future) in enumerate(parallel(self.plan.jobs, scorer, jobs), 1):
            if error := future.exception():
                failures[Case(SOURCE, image)] = reason_of(error)
            else:
                result = future.result()
                stored.update(self._record(source, image, result, codes))
                failures.update((Case(key, image), reason) for key, reason in result.unread.items())
            self.progress(f"scoring {source.label}", done, len(jobs))
        self._note_undefined(source, fused, stored)

    def _record(
        self, source: Source, image: str, result: ImageScores, codes: dict[str, str]
    ) -> dict[tuple[str, str, str], float]:
        """Store the scores of one image and return them, as the store does."""
        pair = self.hashes[source.label][image]
        for key, reason in result.changed.items():
            self.store.drop_fused(key, source.label, source.split, [image])
            self.failures[source.label][Case(key, image)] = reason
        scores = [Score(saved, pair, m, codes[m], v, self.made) for (saved, m), v in result.values.items()]
        self.store.put_scores(scores)
        self.outcome.scored += len(result.values)
        self.outcome.broken.update(result.broken)
        return {(saved, pair, m): value for (saved, m), value in result.values.items()}

    def _note_undefined(
        self,
        source: Source,
        fused: dict[str, dict[str, Fused]],
        scores: dict[tuple[str, str, str], float],
    ) -> None:
        for entry in self.plan.entries:
            for image, pair in self.hashes[source.label].items():
                if image in fused[entry.key] and Case(entry.key, image) not in self.failures[source.label]:
                    for m in source.metrics:
                        if math.isnan(scores.get((fused[entry.key][image].image, pair, m.id), 0.0)):
                            column = Column(entry.id, source.label, m.id)
                            self.outcome.undefined.setdefault(column, []).append(image)
