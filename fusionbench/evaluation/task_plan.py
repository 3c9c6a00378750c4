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
from typing import Any

import msgspec

from fusionbench.data import Dataset
from fusionbench.errors import DataError
from fusionbench.evaluation.entries import Entry, one_entry
from fusionbench.evaluation.keys import task_code
from fusionbench.evaluation.pictures import Pictures
from fusionbench.evaluation.plan import Plan, Source
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.trainable import training
from fusionbench.plugins.weights import sha256
from fusionbench.results.records import TaskTest
from fusionbench.results.store import Store
from fusionbench.runtime.locations import Locations, current
from fusionbench.training.config import load_config, plain_config
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import facts_of, portable, weights_file

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
        options: changes to the recipes' settings.
    """

    tasks: tuple[str, ...]
    networks: Mapping[str, str] = field(default_factory=dict)
    protocols: tuple[str, ...] = PROTOCOLS
    seeds: tuple[int, ...] = (0, 1, 2)
    size: str | None = None
    frozen_on: str = "visible"
    frozen: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()

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
        """Whether networks of a task are trained here, as none is given."""
        return not any(facts_of(path).get("task") == task for path in self.frozen)

    def draft(self, task: Any, dataset: Dataset, device: str, seed: int) -> TrainRequest:
        """The training of one network, without a folder."""
        default = training(task.networks[0]).config_file(dataset.name)
        return TrainRequest(
            name=self.networks.get(task.name) or load_config(default, size=self.size).network,
            datasets=(f"{dataset.name}={dataset.root}",),
            size=self.size,
            options=(*self.options, *QUIET, f"train.seed={seed}"),
            device=device,
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run and the pictures to score with it; plain data, so that a process of its own can do it.

    Attributes:
        request: what to train, or None for a network that is given.
        weights: folder or file of the trained network.
        train: pictures of the training split.
        scored: entry key to the pictures of the test split.
        task: its name.
        dataset: ``name=folder``.
        lists: the user's own splits of it.
        split: the test split.
        device: where it is computed.
        results: (entry key, facts of the result) of everything that is wanted.
        locations: folders of the process that planned it.
    """

    request: TrainRequest | None
    weights: Path
    train: Mapping[str, Path]
    scored: Mapping[str, Mapping[str, Path]]
    task: str
    dataset: str
    lists: Mapping[str, Path]
    split: str
    device: str
    results: tuple[tuple[str, dict[str, Any]], ...] = ()
    locations: Locations = field(default_factory=current)


def check(plan: Plan, request: TaskRequest) -> None:
    """Make every recipe's settings once, so that a wrong size or option is refused before anything is fused.

    Raises:
        FusionbenchError: a network without recipe, a size or a setting that its recipe does not have, no such entry.
    """
    learnt = [name for name in request.tasks if request.trains(name)]
    if "frozen" in request.protocols and learnt:
        one_entry(request.frozen_on)
    for source in plan.sources:
        for name in learnt:
            task = resolve("task", name)()
            try:
                task.classes(source.dataset)
            except DataError:
                continue  # said when the tasks run
            request.draft(task, source.dataset, plan.device, 0).settings_text()


@dataclass(kw_only=True)
class TaskPlanner:
    """Collects the jobs of one task on one source; results that the store has are left out.

    Attributes:
        train: entry key to its pictures of the training split.
        test: likewise of the test split.
    """

    plan: Plan
    request: TaskRequest
    store: Store
    source: Source
    task: Any
    command: str
    train_split: str
    test_split: str
    train: Mapping[str, Pictures]
    test: Mapping[str, Pictures]

    def __post_init__(self) -> None:
        self.code = task_code(self.task.name)
        self.jobs: dict[Path, Job] = {}

    def retrained(self) -> None:
        """A network for each entry and seed."""
        for seed in self.request.seeds:
            for entry in self.plan.entries:
                if entry.key in self.train and entry.key in self.test:
                    self._trained("retrained", entry, seed, [entry.key])

    def frozen(self, entry: Entry) -> None:
        """A network for each seed, trained on this entry's pictures, for all entries."""
        for seed in self.request.seeds:
            self._trained("frozen", entry, seed, list(self.test))

    def given(self) -> None:
        """The networks of this task that the user gave, for all entries."""
        for number, path in enumerate(self.request.frozen):
            facts = facts_of(path)
            if facts.get("task") != self.task.name:
                continue
            about = {
                "protocol": "frozen",
                "seed": number,
                "recipe": self.request.given,
                "network": facts["name"],
                "trained_on": facts["trained_on"],
            }
            self._add(self._job(path), about, sha256(weights_file(path)), list(self.test))

    def _trained(self, protocol: str, entry: Entry, seed: int, keys: list[str]) -> None:
        pictures = self.train[entry.key]
        draft = self.request.draft(self.task, self.source.dataset, self.plan.device, seed)
        settings = json.dumps(portable(plain_config(draft.config)), default=str)
        digest = hashlib.sha256((settings + pictures.digest + self.code).encode()).hexdigest()[:8]
        name = f"{draft.name}-{self.source.label}-{entry.id}-seed{seed}-{digest}"
        folder = self.store.folder / "tasks" / re.sub(r"[^A-Za-z0-9._+-]+", "_", name)
        other = protocol == "frozen" and self.request.frozen_on != TaskRequest.frozen_on
        about = {
            "protocol": protocol,
            "seed": seed,
            "recipe": f"{self.request.recipe}+on={entry.id}" if other else self.request.recipe,
            "network": draft.name,
            "trained_on": f"{entry.id} pictures of {self.source.label} {self.train_split}",
        }
        job = replace(self._job(folder), request=replace(draft, folder=folder, entry=entry.id), train=pictures.files)
        self._add(job, about, pictures.digest, keys)

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
            split=self.test_split,
            device=self.plan.device,
        )

    def _add(self, job: Job, about: dict[str, Any], learnt_from: str, keys: list[str]) -> None:
        """Plan what is missing of one network; networks that two protocols share are trained once."""
        facts = {
            **about,
            "task": self.task.name,
            "code": self.code,
            "test_split": self.test_split,
            "command": self.command,
        }
        for key in keys:
            pictures = hashlib.sha256((learnt_from + self.test[key].digest).encode()).hexdigest()
            result = {**facts, "pictures": pictures}
            if not self.store.has_task(key, self.source.label, self.source.split, msgspec.convert(result, TaskTest)):
                job = self.jobs.get(job.weights, job)
                scored = {**job.scored, key: self.test[key].files}
                self.jobs[job.weights] = replace(job, scored=scored, results=(*job.results, (key, result)))
