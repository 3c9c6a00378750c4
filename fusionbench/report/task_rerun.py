"""What can be verified of published results of task networks: by hashes, by the networks at hand, or by training again.

Without training, the pictures and labels that a network learned from and is tested on are made again and their hash is
compared, as are the settings. A network whose file is at hand scores again. The rest is recorded only, and said to be.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.data import Dataset
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import Entry, one_entry
from fusionbench.evaluation.keys import task_code
from fusionbench.evaluation.pictures import Pictures, fused_pictures, labelled
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.runner import Progress
from fusionbench.evaluation.task_jobs import Job
from fusionbench.evaluation.task_plan import TaskRequest
from fusionbench.evaluation.task_run import run_tasks, work
from fusionbench.plugins.weights import sha256
from fusionbench.report.gaps import alike, gap
from fusionbench.report.task_check import PICTURES, TaskCheck
from fusionbench.report.task_claims import Results
from fusionbench.report.task_tables import group_of, is_folded, is_given
from fusionbench.results.records import TaskResult, TaskTest
from fusionbench.results.store import Store
from fusionbench.tasks.task import Task, task
from fusionbench.training.trained import WEIGHTS, recorded, settings_hash

MOST_SEEDS, LARGEST_SEED, MOST_FILES = 20, 1 << 31, 100_000
DIGITS = 4  # of a task's score in tables


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What the user says of task networks.

    Attributes:
        folders: where trained networks lie, found by their hash.
        retrain: whether those that are not at hand are trained again.
        options: changed settings of their recipes, which a file may not choose.
    """

    folders: tuple[Path, ...] = ()
    retrain: bool = False
    options: tuple[str, ...] = ()

    def at_hand(self) -> dict[str, Path]:
        """SHA-256 to file of every trained network below the folders.

        Raises:
            FusionbenchError: no such folder, or too many files.
        """
        found: dict[str, Path] = {}
        seen = 0
        for folder in self.folders:
            if not folder.is_dir():
                raise FusionbenchError(f"networks={folder}: no such folder")
            for where, _, names in os.walk(folder):
                seen += len(names)
                if seen > MOST_FILES:
                    raise FusionbenchError(f"networks={folder}: more than {MOST_FILES} files; name a narrower folder")
                if WEIGHTS in names:
                    found.setdefault(sha256(Path(where, WEIGHTS)), Path(where, WEIGHTS))
        return found


def check_tasks(
    results: Results,
    empty: Iterable[str],
    plan: Plan,
    store: Store,
    networks: Networks,
    progress: Progress,
    processors: Collection[str] = (),
) -> TaskCheck:
    """Verify the task columns of a table.

    Args:
        results: (entry id, result), free of contradictions.
        empty: tasks that have an empty column.
        plan: what is run of the table: its entries and one source.
        store: of the rerun.
        networks: what the user says of them.
        progress: called as work proceeds.
        processors: that made the table, for results that do not say it.

    Raises:
        FusionbenchError: a folder of networks is none.
    """
    check = TaskCheck(processors=processors)
    files = networks.at_hand()
    for name in empty:
        if _has_labels(task(name), plan):
            check.differences.append(f"task column of {name}: empty, but its labels are here")
    for name in sorted({result.task for _, result in results}):
        own = tuple((entry, result) for entry, result in results if result.task == name)
        try:
            _Check(task(name), plan, store, networks, check, progress).run(own, files)
        except FusionbenchError as error:  # of the data or of an extra that is not installed
            check.differences.append(f"task columns of {name}: not checked: {error}")
    return check


def _has_labels(asked: Task, plan: Plan) -> bool:
    """Whether anything of a source can be scored by a task."""
    (source,) = plan.sources
    try:
        asked.classes(source.dataset)
        return bool(labelled(source, _splits(asked, plan)[1], asked.needs).ids)
    except DataError:
        return False


def _splits(asked: Task, plan: Plan) -> tuple[str, str]:
    """The splits that are trained and tested on, as `eval` chooses them."""
    (source,) = plan.sources
    train, test = source.dataset.task_splits(asked.needs)
    return train, source.split if source.protocol.other_split else test


class _Check:
    """One task of a table."""

    def __init__(
        self, asked: Task, plan: Plan, store: Store, networks: Networks, check: TaskCheck, progress: Progress
    ) -> None:
        self.task, self.plan, self.store, self.networks = asked, plan, store, networks
        self.check, self.progress = check, progress
        (self.source,) = plan.sources
        self.entries = {entry.id: entry for entry in plan.entries}
        self.learners = {entry.id: entry for entry in (one_entry(TaskRequest.frozen_on).on(plan.device), *plan.entries)}
        self.train_split, self.test_split = _splits(asked, plan)

    def run(self, results: Results, files: Mapping[str, Path]) -> None:
        """Verify the hashes, then score with what is at hand; train if that was asked; the rest is recorded only."""
        learners = {self.learner(entry, result) for entry, result in results if not elsewhere(result)}
        splits = {self.split_of(result) for _, result in results}
        tests = {split: self.pictures(split, self.entries.values()) for split in sorted(splits)}
        train = (
            self.pictures(self.train_split, [e for i, e in self.learners.items() if i in learners]) if learners else {}
        )
        left: list[tuple[str, TaskResult]] = []
        for entry, result in results:
            what = f"{entry}, {'/'.join(group_of(result))}, seed {result.seed}"
            learner, test = self.learner(entry, result), tests[self.split_of(result)]
            if entry not in test or (not elsewhere(result) and learner not in train):
                self.check.differences.append(f"{what}: not checked: not every picture of {entry} or {learner} is here")
                continue
            own = None if elsewhere(result) else train[learner]
            self.check.take(what, self.changed(learner, result, own, test[entry]), result, self.plan.device)
            path = files.get(result.weights)
            if is_given(result) and not result.weights:  # the hash of the network is in that of the pictures
                path = next((p for h, p in files.items() if _digest(h, test[entry]) == result.pictures), None)
            if path is None:
                left.append((entry, result))
            else:
                self.compare(what, result, self.scored(path, entry, result, test[entry]))
        if self.networks.retrain:
            left = self.retrained(left)
        self.only_recorded(left)

    def split_of(self, result: TaskResult) -> str:
        """Where it is tested: on the task's own split, or a given network that learned elsewhere on the table's."""
        own = elsewhere(result) and result.test_split == self.source.split
        return self.source.split if own else self.test_split

    def learner(self, entry: str, result: TaskResult) -> str:
        """Id of the entry whose pictures a network learned from; a file chooses none but those of its table."""
        if result.protocol == "retrained":
            return entry
        return result.recipe.partition("+on=")[2] or TaskRequest.frozen_on

    def pictures(self, split: str, entries: Collection[Entry]) -> dict[str, Pictures]:
        """Pictures of entries by their id; fused as far as they are not there.

        Raises:
            BrokenPair: a pair cannot be read.
        """
        source = labelled(self.source, split, self.task.needs)
        made, _ = fused_pictures(self.plan, entries, self.store, source, self.task, self.progress)
        return {entry.id: made[entry.key] for entry in entries if entry.key in made}

    def changed(self, learner: str, result: TaskResult, train: Pictures | None, test: Pictures) -> list[str]:
        """What a result says of its test that is not so."""
        dataset = self.source.dataset
        first = train.digest if train else test.digest if is_folded(result) else result.weights
        facts: dict[str, tuple[object, object]] = {
            "split": (result.test_split, self.split_of(result)),
            "images": (result.images, len(test.files)),
        }
        if first:
            facts[PICTURES] = (result.pictures, _digest(first, test))
        if train:
            where = f"{learner} pictures of {self.source.label} {self.train_split}"
            facts["training"] = (result.trained_on, where)
            facts["classes"] = (result.classes, tuple(self.task.classes(dataset)))
            if result.settings:
                facts["settings"] = (result.settings, self.settings(learner, result))
        return [f"its {what} {then}, here {now}" for what, (then, now) in facts.items() if then != now]

    def settings(self, learner: str, result: TaskResult) -> str:
        """Hash of the settings that the recipe gives here."""
        request = self.request([result])
        draft = request.draft(self.task, self.source.dataset, self.plan.device, result.seed)
        return settings_hash(recorded(replace(draft, entry=learner).settings))

    def request(self, results: list[TaskResult]) -> TaskRequest:
        """The training of some results of one network and recipe.

        Raises:
            FusionbenchError: their recipe has settings that a file may not choose, or seeds without bound.
        """
        first, seeds = results[0], sorted({r.seed for r in results})
        recipe, _, on = first.recipe.partition("+on=")
        size = recipe.partition("+")[0]
        if len(seeds) > MOST_SEEDS or not all(0 <= seed < LARGEST_SEED for seed in seeds):
            raise FusionbenchError(f"{len(seeds)} seeds from {seeds[0]}; not more than {MOST_SEEDS} are trained again")
        request = TaskRequest(
            tasks=(self.task.name,),
            networks={self.task.name: first.network},
            protocols=tuple(sorted({r.protocol for r in results})),
            seeds=tuple(seeds),
            size=None if size == "full" else size,
            frozen_on=on or TaskRequest.frozen_on,
            options=self.networks.options,
        )
        if request.recipe != recipe:
            raise FusionbenchError(f"recipe {recipe}: a file may not choose its settings; name them with task_options=")
        return request

    def scored(self, path: Path, entry: str, result: TaskResult, test: Pictures) -> TaskResult | str:
        """What a network at hand scores, or why it does not."""
        dataset: Dataset = self.source.dataset
        key = self.entries[entry].key
        wanted = TaskTest(**{name: getattr(result, name) for name in TaskTest.__struct_fields__})
        job = Job(
            request=None,
            weights=path,
            train={},
            scored={key: test.files},
            task=self.task.name,
            dataset=f"{dataset.name}={dataset.root}",
            lists=dataset.lists,
            reading=dataset.reading,
            split=self.split_of(result),
            device=self.plan.device,
            tests=((key, wanted),),
        )
        outcome = work(job)
        return outcome if isinstance(outcome, str) else outcome[0][1]

    def retrained(self, results: list[tuple[str, TaskResult]]) -> list[tuple[str, TaskResult]]:
        """Train networks and compare; returns the results that this cannot verify."""
        recipes: dict[tuple[str, str], list[tuple[str, TaskResult]]] = {}
        given = [(entry, result) for entry, result in results if elsewhere(result)]
        for entry, result in results:
            if not elsewhere(result):
                recipes.setdefault((result.network, result.recipe), []).append((entry, result))
        for own in recipes.values():
            request = self.request([result for _, result in own])
            problems = run_tasks(self.plan, request, self.store, "fusionbench reproduce", self.progress)
            self.check.differences += problems.failures
            again = {
                (entry, *group_of(result), result.seed): result
                for entry, result in self.store.tasks(self.source.label, self.source.split)
            }
            for entry, result in own:
                key = (self.entries[entry].key, *group_of(result), result.seed)
                what = f"{entry}, {'/'.join(group_of(result))}, seed {result.seed}"
                self.compare(what, result, again.get(key, "no such result came out"))
        return given

    def compare(self, what: str, result: TaskResult, again: TaskResult | str) -> None:
        """Every score of a result beside those of now."""
        if isinstance(again, str):
            self.check.differences.append(f"{what}: not checked: {again}")
            return
        if missing := sorted(set(result.scores) ^ set(again.scores)):
            self.check.differences.append(f"{what}: scores by {missing[0]} are only on one side")
        self.check.compared += 1
        column, largest = "/".join(group_of(result)), 0.0
        for condition in result.scores.keys() & again.scores.keys():
            then, now = result.scores[condition], again.scores[condition]
            for name in then.keys() | now.keys():
                pair = _number(then.get(name)), _number(now.get(name))
                largest = max(largest, gap(*pair))
                if not alike(*pair, DIGITS):
                    self.check.misprinted.add(column)
        self.check.worst[column] = max(self.check.worst.get(column, 0.0), largest)

    def only_recorded(self, results: list[tuple[str, TaskResult]]) -> None:
        """Say which columns nothing verified but hashes."""
        groups: dict[str, list[TaskResult]] = {}
        for _, result in results:
            groups.setdefault("/".join(group_of(result)), []).append(result)
        code = task_code(self.task.name, self.source.dataset)
        for group, own in groups.items():
            first = own[0]
            how = "name them with networks=" if is_given(first) else "name them with networks=, or retrain=True"
            why = "their networks are not at hand; " + how
            if is_folded(first):
                why = "networks of folds are trained again by the command that made them alone"
            line = f"{group}: {counted(len(own), 'result', 'are')} recorded only: {why}"
            if first.code != code:
                line += "; the task's code has changed since"
            if is_given(first) and not first.weights:
                line += "; the networks' hashes are not recorded, so the tested pictures were not verified"
            self.check.recorded.append(line)


def _number(value: float | None) -> float | None:
    """A score as files hold it."""
    return None if value is None or value != value else value


def elsewhere(result: TaskResult) -> bool:
    """Whether a network did not learn from the training split as the recipe has it, and is not trained again here."""
    return is_given(result) or is_folded(result)


def _digest(first: str, test: Pictures) -> str:
    """As results hold it: what a network learned from (or its own hash), and what it is tested on."""
    return hashlib.sha256((first + test.digest).encode()).hexdigest()
