"""An evaluation in units: what is missing is given out, what comes back is checked and merged, the rest is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionbench.cluster.engines import Ended, Engine
from fusionbench.cluster.parcels import ENOUGH, Parcel, parcel_of, weight_of
from fusionbench.cluster.trying import do_all
from fusionbench.cluster.units import Networks, Pairs, Place, heard
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation import runner
from fusionbench.evaluation.outcome import FailedImage, Outcome
from fusionbench.evaluation.plan import Plan, Request
from fusionbench.evaluation.runner import Progress
from fusionbench.evaluation.shards import Shard
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.source_pairs import hashed
from fusionbench.evaluation.task_plan import TaskRequest
from fusionbench.evaluation.task_run import Problems, run_tasks
from fusionbench.evaluation.task_training import RECORD
from fusionbench.results.merge import Content, content, merge
from fusionbench.results.records import SOURCE, SOURCE_NAME, Case, Failures
from fusionbench.results.schema import BoardRow, FailureRow, FusedRow, GapRow, PairRow, TaskRow
from fusionbench.results.sources import LocalStore
from fusionbench.results.store import Store
from fusionbench.training.trained import WEIGHTS

ROUNDS = 3  # units for each place, so that none waits long for the last one
MOST_RUNS = 100  # of a unit's store, and of what computed it
FEWEST, MOST = 8, 1024  # pairs, pictures of a unit: less costs more to begin than to do, more is much to lose


@dataclass(kw_only=True)
class Gathering:
    """An evaluation that is done in units.

    Attributes:
        request: what was asked.
        plan: made of it.
        store: where everything comes together.
        place: where this process finds things.
        command: for the provenance.
        threads: of each unit.
        send: whether pairs go with their units, for workers that lack them.
        note: takes remarks, a line each.
        progress: called as units end.
    """

    request: Request
    plan: Plan
    store: Store
    place: Place
    command: str
    threads: int
    send: bool = False
    note: Callable[[str], None]
    progress: Progress = lambda *_: None
    outcome: Outcome = field(default_factory=Outcome)
    problems: Problems = field(default_factory=Problems)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    unread: dict[str, Failures] = field(default_factory=dict)
    failures: dict[str, Failures] = field(default_factory=dict)

    def run(self, engine: Engine, tasks: Sequence[tuple[Plan, TaskRequest]]) -> tuple[Outcome, Problems]:
        """Do everything that the store lacks.

        Args:
            engine: where.
            tasks: parts of the task networks, see :func:`fusionbench.evaluation.shards.task_parts`.

        Raises:
            FusionbenchError: results cannot be written.
        """
        began = time.monotonic()
        self.outcome.skipped = list(self.plan.skipped)
        for source in self.plan.sources:
            self._begin(source)
        self._do(engine, [unit for source in self.plan.sources for unit in self._pairs(source, engine.slots)])
        networks = [self._networks(part, request) for part, request in tasks]
        self._do(engine, [unit for unit in networks if unit.keys])
        self._pictures_of_others(tasks)
        for source in self.plan.sources:
            self._end(source)
        self.outcome.seconds = time.monotonic() - began
        return self.outcome, self.problems

    def _pictures_of_others(self, tasks: Sequence[tuple[Plan, TaskRequest]]) -> None:
        """Score pictures that other programs made here, as they lie on this machine."""
        here = tuple(entry for entry in self.plan.entries if entry.precomputed)
        if not here:
            return
        outcome = runner.run(replace(self.plan, entries=here, skipped=()), self.store, self.command, self.progress)
        self.outcome.add(outcome)
        for part, request in tasks:
            own = replace(part, entries=tuple(entry for entry in part.entries if entry.precomputed))
            if own.entries:
                self.problems.add(run_tasks(own, request, self.store, self.command, self.progress))

    def missing(self, slots: int) -> list[Pairs]:
        """The units of pairs that would be given out, by an engine that does so many at once; nothing is written."""
        for source in self.plan.sources:
            self.hashes[source.label], _ = hashed(source, self.plan.jobs, self.progress)
        return [unit for source in self.plan.sources for unit in self._pairs(source, slots)]

    def _begin(self, source: Source) -> None:
        """Read the pairs, which workers' pairs have to be, and forget what failed before."""
        hashes, self.unread[source.label] = hashed(source, self.plan.jobs, self.progress)
        self.hashes[source.label], self.failures[source.label] = hashes, {}
        for entry in self.plan.entries:
            self.store.put_entry(entry.key, entry.info())
        self.store.put_board(source.board(), hashes.items(), source.dataset.ids(source.split))
        self.store.set_failures(source.label, source.split, {}, {e.key for e in self.plan.entries})

    def _pairs(self, source: Source, slots: int) -> list[Pairs]:
        """Units of what is missing of a source: all entries that lack something, on slices of the pairs they lack."""
        hashes, codes = self.hashes[source.label], {m.id: m.code for m in source.metrics}
        scores = self.store.scores(codes)
        keys: dict[str, str] = {}
        lacking: set[str] = set()
        for entry in self.plan.entries_of(source):
            if entry.precomputed:
                continue
            there = self.store.fused(entry.key, source.label, source.split, hashes)
            whole = {i for i, p in there.items() if all((p.image, p.pair, m) in scores for m in codes)}
            self.outcome.cached += len(there)
            if own := hashes.keys() - whole:
                keys[entry.key] = entry.id
                lacking |= own
        ids = [i for i in source.ids if i in lacking]
        if not ids:
            return []
        size = min(max(FEWEST, -(-len(ids) // (ROUNDS * slots))), max(1, MOST // len(keys)))
        if self.send:
            size = min(size, max(1, ENOUGH // weight_of(source, ids)))
        count = -(-len(ids) // size)
        slices = [Shard(number, count).of(ids) for number in range(1, count + 1)]
        return [Pairs(**self._common(source, keys, own), parcel=self._parcel(source, own)) for own in slices]

    def _parcel(self, source: Source, ids: Sequence[str]) -> Parcel | None:
        """The pairs of a unit, where they are to be sent."""
        if not self.send:
            return None
        return parcel_of(source, ids, self.hashes[source.label], self.request.split)

    def _networks(self, part: Plan, request: TaskRequest) -> Networks:
        """The unit of a part of the task networks."""
        (source,) = part.sources
        keys = {entry.key: entry.id for entry in part.entries if not entry.precomputed}
        known = self.store.tasks(source.label, source.split)
        return Networks(
            **self._common(source, keys, source.ids),
            tasks=replace(request, frozen=tuple(path.absolute() for path in request.frozen)),
            known=tuple((key, result) for key, result in known if key in keys and result.task in request.tasks),
            split=source.split,
        )

    def _common(self, source: Source, keys: dict[str, str], ids: Sequence[str]) -> dict[str, Any]:
        """What units of a source have in common."""
        asked = self.request
        specs = [spec.partition("=") for spec in asked.datasets if spec.partition("=")[0] in _names(source)]
        request = replace(
            asked,
            datasets=tuple(f"{name}={Path(text).absolute()}" if text else name for name, _, text in specs)
            or (source.dataset.name,),
            split=str(Path(asked.split).absolute()) if asked.split and Path(asked.split).is_file() else asked.split,
            images=(),
            images_root=None,
            jobs=self.threads,
        )
        name = f"{source.label} {source.split}, {counted(len(ids), 'pair')}, {', '.join(keys.values())}"
        own = {"name": name, "place": self.place, "device": self.plan.device, "command": self.command}
        return {**own, "request": request, "source": source.label, "keys": keys, "ids": tuple(ids)}

    def _do(self, engine: Engine, units: Sequence[Pairs]) -> None:
        """Do units; those that always die, by entry."""
        ended: list[str] = []

        def take(unit: Pairs, how: Ended, folder: Path) -> None:
            self._take(unit, how, folder)
            ended.append(unit.name)
            self.progress("units", len(ended), max(len(ended), len(units)))

        here = [self.plan.device] * (self.plan.jobs if self.plan.device == "cpu" else 1)
        do_all(engine, units, self.store.folder, take, self.note, here, _by_entry)

    def _take(self, unit: Pairs, ended: Ended, folder: Path) -> None:
        """Merge a unit's store, or note why there is none."""
        reason = ended.reason
        try:
            if not reason:
                self._check(unit, folder)
                said = heard(folder)
                _, conflicts = merge(self.store, [LocalStore(folder, str(folder), whole=True)])
                for line in conflicts:
                    self.note(f"warning: conflict: {unit.name}: {line.removeprefix(f'{folder}: ')}")
                self.outcome.add(said.outcome())
                self.problems.add(said.problems())
                keep_networks(folder, self.store.folder)
        except FusionbenchError as error:
            reason = str(error).replace(f"{folder}/", "")
        if isinstance(unit, Networks):
            if reason:
                self.problems.failures.append(f"{', '.join(unit.tasks.tasks)}, {unit.name}: {reason}")
            return
        source = next(source for source in self.plan.sources if source.label == unit.source)
        there = self.store.failures(source.label, source.split)
        for key in unit.keys:
            fused = self.store.images(key, source.label, source.split, self.hashes[source.label])
            for ident in unit.ids:
                if ident not in fused and not {Case(key, ident), Case(SOURCE, ident)} & there.keys():
                    why = reason or "the worker returned nothing of it"
                    self.failures[source.label][Case(key, ident)] = f"not done by a worker: {why}"

    def _check(self, unit: Pairs, folder: Path) -> None:
        """Refuse results of other work than the unit's, and of other pairs than ours.

        Raises:
            FusionbenchError: they are.
        """
        (source,) = (source for source in self.plan.sources if source.label == unit.source)
        own, place = self.hashes[unit.source], (source.label, source.split)
        with Store(folder, create=False) as store:
            held = content(store)
            pairs = store.pairs(*place)
        made: list[FusedRow | FailureRow | TaskRow] = [*held.fused, *held.failures, *held.tasks]
        every: list[BoardRow | PairRow | GapRow | FusedRow | FailureRow | TaskRow]
        every = [*held.boards, *held.pairs, *held.gaps, *made]
        entries = {row.key for row in held.entries} | {row.entry for row in made}
        places = {(row.dataset, row.split) for row in every}
        if not entries <= {*unit.keys, SOURCE} or not places <= {place}:
            raise FusionbenchError("the worker returned results of other work")
        if len(held.runs) + len(held.makers) > MOST_RUNS:
            raise FusionbenchError(f"the worker returned {len(held.runs)} runs of {len(held.makers)} makers")
        if isinstance(unit, Networks):  # the key of theirs is a hash of all pictures and labels
            if held.boards or held.pairs or held.fused or held.scores:
                raise FusionbenchError("the worker returned other results than those of task networks")
            return
        if lacking := [ident for ident in unit.ids if ident not in pairs]:
            raise FusionbenchError(f"{len(lacking)} of {len(unit.ids)} pairs are not there, e.g. {lacking[0]}")
        if other := sorted(ident for ident, pair in pairs.items() if own.get(ident) != pair):
            raise FusionbenchError(f"{len(other)} of {len(pairs)} pairs are other files there, e.g. {other[0]}")
        if _more(unit, held, pairs, {metric.id: metric.code for metric in source.metrics}):
            raise FusionbenchError("the worker returned more than it was asked for")

    def _end(self, source: Source) -> None:
        """Record what failed, and where."""
        names = {entry.key: entry.id for entry in self.plan.entries} | {SOURCE: SOURCE_NAME}
        known = self.store.failures(source.label, source.split)
        every = self.unread[source.label] | known | self.failures[source.label]
        own = {case: reason for case, reason in every.items() if case.entry in names}
        self.store.set_failures(source.label, source.split, own, {e.key for e in self.plan.entries})
        for (key, ident), reason in own.items():
            self.outcome.failures[FailedImage(names[key], source.label, ident)] = reason


def _names(source: Source) -> tuple[str, str]:
    """What a dataset may be called where it is asked for: itself, or with its corruption."""
    return source.dataset.name, f"{source.dataset.name}+{source.dataset.corruption}"


def _more(unit: Pairs, held: Content, pairs: Mapping[str, str], metrics: Mapping[str, str]) -> bool:
    """Whether a store holds more than pictures of a unit's pairs and scores of these pictures."""
    ids = {*pairs, *(row.id for row in held.fused), *(row.id for row in held.failures)}
    pictures = {(row.image, row.pair) for row in held.fused}
    return bool(
        held.tasks
        or held.gaps
        or not ids <= set(unit.ids)
        or any(row.pair != pairs.get(row.id) for row in held.fused)
        or not {(row.image, row.pair) for row in held.scores} <= pictures
        or not set(held.variants.values()) <= set(metrics.items())
    )


def _by_entry(unit: Pairs) -> list[Pairs]:
    """A unit for each entry of one, so that what kills a worker takes nothing else with it; none of one entry."""
    if isinstance(unit, Networks) or len(unit.keys) == 1:
        return []
    return [replace(unit, name=f"{unit.name}: {ident} alone", keys={key: ident}) for key, ident in unit.keys.items()]


def keep_networks(folder: Path, target: Path) -> None:
    """Networks that a worker trained come to lie where one machine's would, without anything that lies beside them.

    Args:
        folder: of the unit.
        target: of the results.
    """
    for own in sorted((folder / "tasks").glob("[!.]*")):  # what begins with a dot is a network that waits
        place, files = target / "tasks" / own.name, [own / RECORD, own / WEIGHTS]
        if not place.exists() and all(file.is_file() and not file.is_symlink() for file in files):
            place.mkdir(parents=True)
            for file in files:
                shutil.move(file, place / file.name)
