"""Which task networks are to be trained, and which pictures each of them scores.

Two protocols stand side by side. ``retrained``: a network is trained on each entry's fused training set by one fixed
recipe. ``frozen``: one network, trained on a stated entry's pictures (or given as a file), scores all entries.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from fusionbench.data import Dataset
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.keys import labels_said, task_code, training_code
from fusionbench.evaluation.pictures import Pictures
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.runner import Progress
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.task_jobs import Job
from fusionbench.evaluation.task_training import Trained, restore, trained_by
from fusionbench.plugins.weights import sha256
from fusionbench.results.provenance import made_here
from fusionbench.results.records import TaskResult, TaskTest
from fusionbench.results.store import Store
from fusionbench.tasks.task import Task
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import facts_of, portable, recorded, weights_file

PROTOCOLS = ("retrained", "frozen")
QUIET = ("train.tensorboard=false", "train.picture_every=0")


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What is asked of the tasks.

    Attributes:
        tasks: their names.
        networks: task to network; by default the one of the recipe for the dataset.
        protocols: of :data:`PROTOCOLS`.
        seeds: of the training runs.
        size: of the recipes.
        frozen_on: the entry on whose pictures the frozen networks are trained.
        frozen: run folders or weight files of task networks to score with, in place of networks trained here.
        configs: the OpenMMLab config of those that other programs trained by one.
        options: changes to the recipes' settings.
        start: a network that learned elsewhere, which is trained on in folds.
        folds: in how many; 0 for none.
    """

    tasks: tuple[str, ...]
    networks: Mapping[str, str] = field(default_factory=dict)
    protocols: tuple[str, ...] = PROTOCOLS
    seeds: tuple[int, ...] = (0, 1, 2)
    size: str | None = None
    frozen_on: str = "visible"
    frozen: tuple[Path, ...] = ()
    configs: Mapping[Path, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    start: Path | None = None
    folds: int = 0

    @property
    def recipe(self) -> str:
        """Size and changed settings in one token."""
        return "+".join([self.size or "full", *map(portable, self.options)])

    @property
    def given(self) -> str:
        """The networks that were given, in one token."""
        hashes = sorted(sha256(weights_file(path)) for path in self.frozen)
        return f"given-{hashlib.sha256(''.join(hashes).encode()).hexdigest()[:8]}"

    def trains(self, task: str) -> bool:
        """Whether networks of a task are trained here on the training split, as none is given."""
        return not self.folds and not any(facts_of(path).get("task") == task for path in self.frozen)

    def draft(self, task: Task, dataset: Dataset, device: str, seed: int) -> TrainRequest:
        """The training of one network, without a folder."""
        return TrainRequest(
            name=self.networks.get(task.name) or task.networks[0],
            datasets=(f"{dataset.name}={dataset.root}",),
            size=self.size,
            options=(*self.options, *QUIET, f"train.seed={seed}"),
            device=device,
            reading=dataset.reading,
        )


def splits_of(source: Source, task: Task) -> tuple[str, str]:
    """The splits to train and to test on; the user's own is tested on."""
    train, test = source.dataset.task_splits(task.needs)
    return train, source.split if source.protocol.other_split else test


def tested_splits(source: Source, task: Task, request: TaskRequest) -> list[str]:
    """The splits to test on, the task's own last; before it the table's, for given networks that learned elsewhere."""
    own = splits_of(source, task)[1]
    facts = [facts_of(path) for path in request.frozen]
    elsewhere = any(f.get("task") == task.name and f.get("convention") for f in facts)
    return [source.split, own] if elsewhere and source.split != own else [own]


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A run of downstream tasks: what is asked, and where results go.

    Attributes:
        plan: entries and datasets.
        request: what is asked of the tasks.
        store: where results go.
        command: kept with the results.
        progress: called as work proceeds.
        devices: where several networks are trained at once.
    """

    plan: Plan
    request: TaskRequest
    store: Store
    command: str = ""
    progress: Progress = lambda *_: None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitPictures:
    """A split and every entry's pictures of it, by entry key."""

    split: str
    entries: Mapping[str, Pictures]


class TaskPlanner:
    """Collects the jobs of one task on one source; results that the store has are left out.

    Attributes:
        jobs: weights of the network to what is to be done with it.
        earlier: finished networks that stay in use, though the code that trains such a one is another now.
        own: whether the test split is the task's own, on which no network that learned here has learned.
    """

    def __init__(self, run: TaskRun, source: Source, task: Task, train: SplitPictures, test: SplitPictures) -> None:
        self.run, self.source, self.task, self.train, self.test = run, source, task, train, test
        self.own = test.split == splits_of(source, task)[1]
        self.code = task_code(task.name, source.dataset)
        self.by = Trained(code=training_code(task.name), made=made_here(run.plan.device, tasks=True))
        self.jobs: dict[Path, Job] = {}
        self.earlier: set[Path] = set()
        self._hashes: dict[Path, str] = {}

    def retrained(self) -> None:
        """A network for each entry and seed."""
        for seed in self.run.request.seeds:
            for entry in self.run.plan.entries:
                if entry.key in self.train.entries and entry.key in self.test.entries:
                    self._trained("retrained", entry, seed, [entry.key])

    def frozen(self, entry: Entry) -> None:
        """A network for each seed, trained on this entry's pictures, for all entries."""
        for seed in self.run.request.seeds:
            self._trained("frozen", entry, seed, list(self.test.entries))

    def given(self) -> None:
        """The networks of this task that the user gave, for all entries."""
        for number, path in enumerate(self.run.request.frozen):
            facts = facts_of(path)
            if facts.get("task") == self.task.name and (self.own or facts.get("convention")):
                test = self._test(
                    protocol="frozen",
                    seed=number,
                    recipe=self._given(facts),
                    network=facts["name"],
                    trained_on=self._trained_on(facts),
                    pictures=sha256(weights_file(path)),
                )
                self._add(self._job(path), test, list(self.test.entries))

    def _given(self, facts: Mapping[str, object]) -> str:
        """The networks that were given; of one of others also how it sees, what of it counts, and the split."""
        if not (convention := facts.get("convention")):
            return self.run.request.given
        return "+".join([self.run.request.given, self.task.said(str(convention))[0], self.test.split])

    def _trained_on(self, facts: Mapping[str, object]) -> str:
        """The same in words, behind what it was trained on."""
        convention = facts.get("convention")
        return "; ".join([str(facts["trained_on"]), *([self.task.said(str(convention))[1]] if convention else [])])

    def _trained(self, protocol: str, entry: Entry, seed: int, keys: list[str]) -> None:
        request, pictures = self.run.request, self.train.entries[entry.key]
        draft = request.draft(self.task, self.source.dataset, self.run.plan.device, seed)
        learned = json.dumps(portable(recorded(draft.settings))) + pictures.digest + labels_said(self.source.dataset)
        digest = hashlib.sha256(learned.encode()).hexdigest()[:8]
        name = f"{draft.name}-{self.source.label}-{entry.id}-seed{seed}-{digest}"
        folder = self.run.store.folder / "tasks" / re.sub(r"[^A-Za-z0-9._+-]+", "_", name)
        other = protocol == "frozen" and request.frozen_on != TaskRequest.frozen_on
        test = self._test(
            protocol=protocol,
            seed=seed,
            recipe=f"{request.recipe}+on={entry.id}" if other else request.recipe,
            network=draft.name,
            trained_on=f"{entry.id} pictures of {self.source.label} {self.train.split}",
            pictures=pictures.digest,
        )
        restore(folder)  # a run that trained it again was cut off
        trained, there = trained_by(folder), bool(self._hash(folder))
        again = there and self.run.plan.fresh_versions and trained != self.by
        if there and not again and trained.code != self.by.code:
            self.earlier.add(folder)
        request_here = replace(draft, folder=folder, entry=entry.id)
        self._add(replace(self._job(folder), request=request_here, train=pictures.files, again=again), test, keys)

    def _test(self, *, protocol: str, seed: int, recipe: str, network: str, trained_on: str, pictures: str) -> TaskTest:
        """A test whose ``pictures`` are, for now, only those that the network was trained on."""
        return TaskTest(
            task=self.task.name,
            network=network,
            protocol=protocol,
            recipe=recipe,
            seed=seed,
            code=self.code,
            pictures=pictures,
            trained_on=trained_on,
            test_split=self.test.split,
            command=self.run.command,
        )

    def _job(self, weights: Path) -> Job:
        dataset = self.source.dataset
        return Job(
            request=None,
            weights=weights,
            train={},
            scored={},
            task=self.task.name,
            dataset=f"{dataset.name}={dataset.root}",
            lists=dataset.lists,
            reading=dataset.reading,
            split=self.test.split,
            device=self.run.plan.device,
            by=self.by,
            config=self.run.request.configs.get(weights, ""),
        )

    def _hash(self, weights: Path) -> str:
        """SHA-256 of a network that is at hand, or ""."""
        if weights not in self._hashes:
            file = weights_file(weights)
            self._hashes[weights] = sha256(file) if file.is_file() else ""
        return self._hashes[weights]

    def _kept(self, job: Job, result: TaskResult | None) -> bool:
        """Whether a stored result is what the job would bring: of this very network, where that is at hand."""
        if result is None or (self._hash(job.weights) or result.weights) != result.weights:
            return False
        if not self.run.plan.fresh_versions:
            return True
        trained = Trained(code=result.training_code, made=result.trained_with)
        return result.made.unsigned == self.by.made and (job.request is None or trained == self.by)

    def _add(self, job: Job, test: TaskTest, keys: list[str]) -> None:
        """Plan what is missing of one network; networks that two protocols share are trained once."""
        for key in keys:
            pictures = self.test.entries[key]
            digest = hashlib.sha256((test.pictures + pictures.digest).encode()).hexdigest()
            wanted = msgspec.structs.replace(test, pictures=digest)
            if not self._kept(job, self.run.store.task(key, self.source.label, self.source.split, wanted)):
                job = self.jobs.get(job.weights, job)
                scored = {**job.scored, key: pictures.files}
                self.jobs[job.weights] = replace(job, scored=scored, tests=(*job.tests, (key, wanted)))
