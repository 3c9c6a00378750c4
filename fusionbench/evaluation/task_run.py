"""Trains the task networks of a plan and scores each entry's pictures with them."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing.queues import SimpleQueue

import msgspec

from fusionbench.data import open_dataset
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import one_entry
from fusionbench.evaluation.pictures import BrokenPair, Pictures, fused_pictures, labelled
from fusionbench.evaluation.plan import Plan
from fusionbench.evaluation.runner import Progress, one_thread
from fusionbench.evaluation.source import Source
from fusionbench.evaluation.task_folds import folded
from fusionbench.evaluation.task_jobs import Job
from fusionbench.evaluation.task_plan import (
    SplitPictures,
    TaskPlanner,
    TaskRequest,
    TaskRun,
    splits_of,
    tested_splits,
)
from fusionbench.evaluation.task_scores import pooled, score
from fusionbench.evaluation.task_training import Trained, train, trained_by
from fusionbench.plugins.weights import sha256
from fusionbench.results import provenance
from fusionbench.results.records import TaskResult
from fusionbench.results.store import Store
from fusionbench.runtime import locations
from fusionbench.runtime.device import computing
from fusionbench.tasks.task import Task, task
from fusionbench.training.trained import weights_file


@dataclass
class Problems:
    """What could not be done.

    Attributes:
        gaps: (source label, task) to why its column stays empty: the data do not have what it takes.
        failures: what failed that should not have, a line each.
        kept: networks that other code has trained and that stay in use, a line for each task and dataset.
    """

    gaps: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def add(self, other: Problems) -> None:
        """What could not be done of another part of the tasks."""
        self.gaps.update(other.gaps)
        self.failures += other.failures
        self.kept += other.kept


def run_tasks(
    plan: Plan,
    request: TaskRequest,
    store: Store,
    command: str,
    progress: Progress = lambda *_: None,
    devices: Sequence[str] = (),
) -> Problems:
    """Train and score everything asked that is not in the store yet.

    Args:
        plan: whose entries and sources.
        request: which tasks and networks.
        store: where results go.
        command: kept with them.
        progress: called as work proceeds.
        devices: where several networks are trained at once; by default the plan's one device.

    Raises:
        FusionbenchError: a task, network or size that does not exist; results that cannot be written.
    """
    context = TaskRun(
        plan=plan, request=request, store=store, command=command, progress=progress, devices=tuple(devices)
    )
    problems = Problems()
    started, began, scored = provenance.now(), time.perf_counter(), 0
    for source in plan.sources:
        for name in request.tasks:
            asked = task(name)
            try:
                asked.classes(source.dataset)
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                continue  # no column: these labels are not part of the dataset
            try:
                for planner in _planners(context, source, asked, problems.failures):
                    scored += _done(planner, problems.failures)
                    if planner.earlier:
                        problems.kept.append(
                            f"{name} on {source.label}: {len(planner.earlier)} of its networks were trained by other "
                            "code than today's and stay in use; fresh_versions=True trains them again"
                        )
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                if isinstance(error, BrokenPair):
                    problems.failures.append(f"{name} on {source.label}: no column")
            store.put_task_state(source.label, source.split, name, problems.gaps.get((source.label, name), ""))
    if scored:
        session, seconds = provenance.session(command, started), time.perf_counter() - began
        store.put_run(provenance.collect(session, seconds, plan.summary(), 0, scored))
    return problems


def _planners(run: TaskRun, source: Source, task: Task, failures: list[str]) -> Iterator[TaskPlanner]:
    """The jobs of one task on one source, for each split that it is tested on, then those in folds."""
    if run.request.frozen or not run.request.folds:
        for split in tested_splits(source, task, run.request):
            yield _planned(run, source, task, split, failures)
    if run.request.folds:
        yield folded(run, source, task, failures)


def _planned(run: TaskRun, source: Source, task: Task, test_split: str, failures: list[str]) -> TaskPlanner:
    """The jobs of one task on one split of a source, with every picture fused that they need."""
    train_split, own_split = splits_of(source, task)
    trains = run.request.trains(task.name) and test_split == own_split
    retrained = "retrained" in run.request.protocols and trains
    frozen = (
        one_entry(run.request.frozen_on).on(run.plan.device) if trains and "frozen" in run.request.protocols else None
    )
    learners = [*(run.plan.entries if retrained else ()), *([frozen] if frozen else ())]
    on_test = labelled(source, test_split, task.needs)
    on_train = labelled(source, train_split, task.needs) if train_split else None
    if not on_test.ids:
        raise DataError(
            f"{source.label} {test_split}: no pair here has {task.needs}; nothing to score {task.name} with"
        )
    if learners and not (on_train and on_train.ids):
        raise DataError(
            f"{source.label} {train_split}: no pair here has {task.needs}, so no network can be trained; "
            "give trained ones with frozen="
        )
    test, gaps = fused_pictures(run.plan, run.plan.entries, run.store, on_test, task, run.progress)
    train: dict[str, Pictures] = {}
    if learners and on_train:
        train, train_gaps = fused_pictures(run.plan, learners, run.store, on_train, task, run.progress)
        gaps = train_gaps | gaps
    what = f"{task.name} on {source.label}"
    failures += [f"{what}, {ident}: no row, {reason}" for ident, reason in gaps.items()]
    planner = TaskPlanner(run, source, task, SplitPictures(train_split, train), SplitPictures(test_split, test))
    if retrained:
        planner.retrained()
    if frozen and frozen.key in train:
        planner.frozen(frozen)
    elif frozen:
        failures.append(f"{what}: no frozen network, {frozen.id} has not every training picture")
    planner.given()
    return planner


def _done(planner: TaskPlanner, failures: list[str]) -> int:
    """Do the jobs and store their results; how many are new."""
    run, source, jobs, new = planner.run, planner.source, list(planner.jobs.values()), 0
    what = f"{planner.task.name} on {source.label}"
    names = {entry.key: entry.id for entry in run.plan.entries}
    for number, (outcome, job) in enumerate(_outcomes(jobs, run.plan.jobs, run.devices or (run.plan.device,)), 1):
        if isinstance(outcome, str):
            entries, test = ", ".join(names[key] for key, _ in job.tests), job.tests[0][1]
            failures.append(f"{what}, {test.protocol}, seed {test.seed}, {entries}: {outcome}")
        else:
            for key, result in outcome:
                made = provenance.signed(result.made, provenance.now())
                run.store.put_task(key, source.label, source.split, msgspec.structs.replace(result, made=made))
            new += len(outcome)
        run.progress(what, number, len(jobs))
    return new


# ---------------------------------------------------------------- the work, in processes of its own


Outcome = list[tuple[str, TaskResult]] | str  # (entry key, result), or the line that says why there are none


def _outcomes(jobs: list[Job], workers: int, devices: Sequence[str]) -> Iterator[tuple[Outcome, Job]]:
    """What came of each job, as they end. On a CPU each has a process and one thread, so that numbers do not depend
    on them; several cards have a process each."""
    workers = workers if devices == ("cpu",) else len(devices)
    if len(jobs) < 2 or workers < 2:
        for job in jobs:
            yield work(job), job
        return
    context = multiprocessing.get_context("spawn")
    free = context.SimpleQueue()
    for number in range(workers):
        free.put(devices[number % len(devices)])
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _take_device, (free,)) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield future.result(), futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_device = ""  # of a process of the pool


def _take_device(free: SimpleQueue[str]) -> None:
    """A process of the pool begins: one of the devices is its own."""
    global _device
    _device = free.get()


def work(job: Job) -> Outcome:
    """Train unless that is done, then score; or the line that says why that failed."""
    locations.use(job.locations)
    if _device:
        request = job.request and replace(job.request, device=_device)
        job = replace(job, device=_device, request=request)
    with one_thread():
        try:
            if job.request is not None:
                train(job.request, job.train, job.by, job.again)
            for fold in job.folds:
                train(fold.request, fold.train, job.by, job.again)
            return scores(job)
        except FusionbenchError as error:
            return str(error)


def scores(job: Job) -> list[tuple[str, TaskResult]]:
    """Everything that is wanted of a network, with the keys of the entries."""
    name, _, folder = job.dataset.partition("=")
    dataset = open_dataset(name, folder, job.lists, exact=True, reading=job.reading)
    networks = [fold.request.out for fold in job.folds] or [job.weights]
    trained = trained_by(networks[0]) if job.request or job.folds else Trained()
    hashes = [sha256(weights_file(path)) for path in networks]
    results = []
    for key, pictures in job.scored.items():
        tests = [test for wanted, test in job.tests if wanted == key]
        with computing():
            if job.folds:
                own = [(fold.request.out, fold.scored) for fold in job.folds]
                found = pooled(own, dataset, tests[0], job.device)
            else:
                found = score(job.weights, dataset, tests[0], pictures, job.device, job.config)
        result = msgspec.structs.replace(
            found,
            weights=hashlib.sha256("".join(hashes).encode()).hexdigest() if job.folds else hashes[0],
            training_code=trained.code,
            trained_with=trained.made,
            made=job.by.made,
        )
        results += [(key, msgspec.structs.replace(result, **msgspec.structs.asdict(test))) for test in tests]
    return results
