"""Trains the task networks of a plan and scores each entry's pictures with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.data import open_dataset
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import one_entry
from fusionbench.evaluation.pictures import BrokenPair, fused_pictures, labelled
from fusionbench.evaluation.plan import Plan, Source
from fusionbench.evaluation.runner import Progress
from fusionbench.evaluation.task_plan import Job, TaskPlanner, TaskRequest
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.results.records import TaskResult
from fusionbench.results.store import Store
from fusionbench.runtime import locations
from fusionbench.tasks.loading import load_network
from fusionbench.training.run import RunOptions, run
from fusionbench.training.trained import weights_file


@dataclass
class Problems:
    """What could not be done.

    Attributes:
        gaps: (source label, task) to why its column stays empty: the data do not have what it takes.
        failures: what failed that should not have, a line each.
    """

    gaps: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run_tasks(
    plan: Plan, request: TaskRequest, store: Store, command: str, progress: Progress = lambda *_: None
) -> Problems:
    """Train and score everything asked that is not in the store yet.

    Raises:
        FusionbenchError: a task, network or size that does not exist; results that cannot be written.
    """
    problems = Problems()
    started, began, scored = provenance.now(), time.perf_counter(), 0
    for source in plan.sources:
        for name in request.tasks:
            task = resolve("task", name)()
            try:
                task.classes(source.dataset)
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                continue  # no column: these labels are not part of the dataset
            try:
                planner = _planned(plan, request, store, source, task, command, progress, problems.failures)
                scored += _run(planner, progress, problems.failures)
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                if isinstance(error, BrokenPair):
                    problems.failures.append(f"{name} on {source.label}: no column")
            store.put_task_state(source.label, source.split, name, problems.gaps.get((source.label, name), ""))
    if scored:
        session, seconds = provenance.session(command, started), time.perf_counter() - began
        store.put_run(provenance.collect(session, seconds, plan.summary(), 0, scored))
    return problems


def _planned(
    plan: Plan,
    request: TaskRequest,
    store: Store,
    source: Source,
    task: Any,
    command: str,
    progress: Progress,
    failures: list[str],
) -> TaskPlanner:
    """The jobs of one task on one source, with every picture fused that they need."""
    train_split, test_split = source.dataset.task_splits(task.needs)
    if "split" in "".join(source.protocol.changed):
        test_split = source.split
    on_split = {s: labelled(source, s, task.needs) for s in dict.fromkeys((test_split, train_split)) if s}
    if not on_split[test_split].ids:
        raise DataError(
            f"{source.label} {test_split}: no pair here has {task.needs}; nothing to score {task.name} with"
        )
    trains = request.trains(task.name)
    retrained = "retrained" in request.protocols and trains
    frozen_entry = one_entry(request.frozen_on) if trains and "frozen" in request.protocols else None
    learners = [*(plan.entries if retrained else ()), *([frozen_entry] if frozen_entry else ())]
    if learners and not on_split[train_split].ids:
        raise DataError(
            f"{source.label} {train_split}: no pair here has {task.needs}, so no network can be trained; "
            "give trained ones with frozen="
        )
    test, why = fused_pictures(plan, plan.entries, store, on_split[test_split], task, progress)
    train, why_not = (
        fused_pictures(plan, learners, store, on_split[train_split], task, progress) if learners else ({}, {})
    )
    what = f"{task.name} on {source.label}"
    failures += [f"{what}, {ident}: no row, {reason}" for ident, reason in (why_not | why).items()]
    planner = TaskPlanner(
        plan=plan,
        request=request,
        store=store,
        source=source,
        task=task,
        command=command,
        train_split=train_split,
        test_split=test_split,
        train=train,
        test=test,
    )
    if retrained:
        planner.retrained()
    if frozen_entry and frozen_entry.key in train:
        planner.frozen(frozen_entry)
    elif frozen_entry:
        failures.append(f"{what}: no frozen network, {frozen_entry.id} has not every training picture")
    planner.given()
    return planner


def _run(planner: TaskPlanner, progress: Progress, failures: list[str]) -> int:
    """Do the jobs and keep their results; how many are new."""
    source, jobs, new = planner.source, list(planner.jobs.values()), 0
    what = f"{planner.task.name} on {source.label}"
    names = {entry.key: entry.id for entry in planner.plan.entries}
    for done, (outcome, job) in enumerate(_outcomes(jobs, planner.plan.jobs, planner.plan.device), 1):
        if isinstance(outcome, str):
            who, facts = ", ".join(names[key] for key, _ in job.results), job.results[0][1]
            failures.append(f"{what}, {facts['protocol']}, seed {facts['seed']}, {who}: {outcome}")
        else:
            for key, result in job.results:
                planner.store.put_task(
                    key, source.label, source.split, msgspec.convert(result | outcome[key], TaskResult)
                )
            new += len(job.results)
        progress(what, done, len(jobs))
    return new


# ---------------------------------------------------------------- the work, in processes of its own


Outcome = dict[str, dict[str, Any]] | str  # entry key to scores, or the line that says why there are none


def _outcomes(jobs: list[Job], workers: int, device: str) -> Iterator[tuple[Outcome, Job]]:
    """What came of each job, as they end. On a CPU each has a process and one thread, so that numbers do not depend
    on them."""
    if device != "cpu" or len(jobs) < 2 or workers < 2:
        for job in jobs:
            yield work(job), job
        return
    import multiprocessing

    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield future.result(), futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def work(job: Job) -> Outcome:
    """Train unless that is done, then score; or the line that says why that failed."""
    import torch

    locations.use(job.locations)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if job.request is not None and not weights_file(job.weights).is_file():
            options = RunOptions(command="fusionbench eval --tasks", quiet=True)
            run(replace(job.request, resume=True), options, job.train)
        return {key: score(job, pictures) for key, pictures in job.scored.items()}
    except FusionbenchError as error:
        return str(error)
    finally:
        torch.set_num_threads(threads)


def score(job: Job, pictures: Mapping[str, Path]) -> dict[str, Any]:
    """Scores of one network on one entry's pictures.

    Returns:
        ``images``, and by condition (``all``, then ``day`` and ``night`` where the data tell) ``scores``,
        ``per_class`` and ``facts``.
    """
    from fusionbench.tasks.recipe import evaluate, picture

    network, facts = load_network(job.weights, job.device)
    name, _, folder = job.dataset.partition("=")
    dataset = open_dataset(name, folder, job.lists, exact=True)
    task = resolve("task", job.task)()
    classes, narrow = task.common(tuple(facts["classes"]), dataset)
    size = facts["config"].get("resize")
    tallies: dict[str, Any] = {}
    for ident, path in pictures.items():
        sample = dataset.read(job.split, ident)
        sample.vis = picture(path, sample.ir.shape[1:])
        prediction, target = evaluate(network, task, sample, job.device, tuple(size) if size else None)
        prediction, target = narrow(prediction, target)
        for condition in filter(None, ("all", dataset.condition(job.split, ident))):
            if condition not in tallies:
                tallies[condition] = task.scores(classes, dataset.ignore_index)
            tallies[condition].update(prediction, target)
    return {
        "images": len(pictures),
        "classes": list(classes),
        "scores": {c: t.compute() for c, t in tallies.items()},
        "per_class": {c: t.per_class() for c, t in tallies.items()},
        "facts": {c: t.facts() for c, t in tallies.items()},
    }
