"""A network that learned elsewhere, trained on in folds: each pair is tested by a network that has not seen it.

Every pair with labels takes part, where the task's own split into training and test leaves few to test on. The fold of
a pair follows from its place among the sorted ids: with six folds, the first tests the first id, the seventh and so on.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.adopted import narrowed
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.keys import labels_said
from fusionbench.evaluation.pictures import Pictures, fused_pictures, labelled
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.task_jobs import Fold
from fusionbench.evaluation.task_plan import SplitPictures, TaskPlanner, TaskRequest, TaskRun
from fusionbench.evaluation.task_training import restore, trained_by
from fusionbench.plugins.weights import sha256
from fusionbench.tasks.task import Task
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import convention_of, facts_of, portable, recorded, weights_file


def draft(request: TaskRequest, source: Source, task: Task, device: str, seed: int) -> TrainRequest:
    """The training of one fold, without a folder."""
    assert request.start is not None
    own = request.draft(task, source.dataset, device, seed)
    split = source.dataset.lists.get(source.split, source.split)
    return replace(own, options=(*own.options, f"split={split}"), start=str(request.start))


def check_folds(request: TaskRequest, source: Source, task: Task, device: str) -> TaskRequest:
    """Look for what would fail later.

    Returns:
        The request with the size as the recipe spells it.

    Raises:
        FusionbenchError: the network is of another task or cannot tell the dataset's classes; too few pairs; a size or
            setting that its recipe does not have.
    """
    assert request.start is not None
    facts = facts_of(request.start)
    if facts.get("task") != task.name:
        raise FusionbenchError(
            f"{request.start}: holds {facts.get('task') or 'no task'} network, not one of {task.name}"
        )
    if request.networks.get(task.name, facts["name"]) != facts["name"]:
        raise FusionbenchError(f"task_from={request.start}: holds {facts['name']}, not {request.networks[task.name]}")
    request = replace(request, networks={**request.networks, task.name: str(facts["name"])})
    task.places(tuple(facts["classes"]), source.dataset)
    if 0 < (count := len(labelled(source, source.split, task.needs).ids)) < request.folds:
        raise FusionbenchError(
            f"folds={request.folds}: {source.label} {source.split} has {counted(count, 'pair')} with {task.needs}"
        )
    asked = draft(request, source, task, device, 0).canonical()
    asked.settings_text()
    return replace(request, size=asked.size)


def folded(run: TaskRun, source: Source, task: Task, failures: list[str]) -> TaskPlanner:
    """The jobs of one task on one source: for each entry and seed a network for each fold.

    Raises:
        DataError: no pair has the label, or one cannot be read.
    """
    pairs = labelled(source, source.split, task.needs)
    if not pairs.ids:
        raise DataError(f"{source.label} {source.split}: no pair here has {task.needs}; there is nothing to fold")
    pictures, gaps = fused_pictures(run.plan, run.plan.entries, run.store, pairs, task, run.progress)
    failures += [f"{task.name} on {source.label}, {ident}: no row, {reason}" for ident, reason in gaps.items()]
    planner = _FoldPlanner(run, source, task, SplitPictures("", {}), SplitPictures(source.split, pictures))
    start = narrowed(run.request.start, source.dataset, run.store.folder / "given") if run.request.start else None
    for seed in run.request.seeds:
        for entry in run.plan.entries:
            if start and entry.key in pictures:
                planner.add(entry, seed, start)
    return planner


def parts(ids: list[str], count: int) -> list[list[str]]:
    """The ids that each fold tests."""
    return [sorted(ids)[first::count] for first in range(count)]


class _FoldPlanner(TaskPlanner):
    """Collects them."""

    def add(self, entry: Entry, seed: int, start: Path) -> None:
        """One entry and seed."""
        request, pictures, dataset = self.run.request, self.test.entries[entry.key], self.source.dataset
        plan = replace(draft(request, self.source, self.task, self.run.plan.device, seed), start=str(start))
        assert request.start is not None
        begun, facts = sha256(weights_file(request.start)), facts_of(request.start)
        learned = json.dumps(portable(recorded(plan.settings))) + begun + pictures.digest + labels_said(dataset)
        digest = hashlib.sha256(f"{request.folds} {learned}".encode()).hexdigest()[:8]
        name = f"{plan.name}-{self.source.label}-{entry.id}-folds{request.folds}-seed{seed}-{digest}"
        home = self.run.store.folder / "tasks" / re.sub(r"[^A-Za-z0-9._+-]+", "_", name)
        folds = tuple(self._folds(plan, entry, home, pictures))
        for fold in folds:
            restore(fold.request.out)
        finished = [trained_by(fold.request.out) for fold in folds if weights_file(fold.request.out).is_file()]
        again = self.run.plan.fresh_versions and any(trained != self.by for trained in finished)
        if not again and any(trained.code != self.by.code for trained in finished):
            self.earlier.add(home)
        said = self.task.said(convention) if (convention := convention_of(request.start)) else ("", "")
        token = [request.recipe, f"from={facts['name']}@{begun[:8]}", f"folds={request.folds}", *filter(None, said[:1])]
        test = self._test(
            protocol="retrained",
            seed=seed,
            recipe="+".join(token),
            network=plan.name,
            trained_on="; ".join(filter(None, [self._said(str(facts["trained_on"])), said[1]])),
            pictures=pictures.digest,
        )
        self._add(replace(self._job(home), folds=folds, again=again), test, [entry.key])

    def _said(self, first: str) -> str:
        where, folds = f"{self.source.label} {self.source.split}", self.run.request.folds
        return f"{first}, then each entry's own pictures of {where} in {folds} folds, so on none that it is tested on"

    def _folds(self, plan: TrainRequest, entry: Entry, home: Path, pictures: Pictures) -> list[Fold]:
        folds = []
        for number, tested in enumerate(parts(list(pictures.files), self.run.request.folds), 1):
            train = {i: path for i, path in pictures.files.items() if i not in set(tested)}
            request = replace(plan, folder=home / f"fold{number}", entry=entry.id)
            folds.append(Fold(request, train, {i: pictures.files[i] for i in tested}))
        return folds
