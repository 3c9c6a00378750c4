"""Downstream tasks over a plan: fuse, train task networks, score what they make of each entry's pictures.

Two protocols stand side by side. ``retrained``: a network is trained on each entry's fused training set by one fixed
recipe. ``frozen``: one network, trained on a stated entry's pictures (or given as a file), scores all entries.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionbench import provenance
from fusionbench.cards import card, harness_hash
from fusionbench.data import Dataset
from fusionbench.entries import Entry, entries
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.plan import Plan, Source
from fusionbench.registry import resolve
from fusionbench.runner import Progress, fuse_only
from fusionbench.store import Store
from fusionbench.train_run import WEIGHTS, Order, facts_of, load_network, run, without_folder

PROTOCOLS = ("retrained", "frozen")
QUIET = ("train.tensorboard=false", "train.picture_every=0")


@dataclass(frozen=True)
class Ask:
    """What ``eval --tasks`` was asked.

    Attributes:
        tasks: names of tasks.
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
        return "+".join([self.size or "full", *map(without_folder, self.options)])

    @property
    def given(self) -> str:
        """The networks that were given, in one token."""
        return f"given-{hashlib.sha256(''.join(sorted(map(file_hash, self.frozen))).encode()).hexdigest()[:8]}"

    def trains(self, task: str) -> bool:
        """Whether networks of a task are trained here, as none is given."""
        return not any(facts_of(path).get("task") == task for path in self.frozen)


class BrokenPair(DataError):
    """A pair that a task needs and that cannot be read."""


@dataclass(frozen=True)
class Pictures:
    """Fused pictures of one entry over one split: id to file, and the hash of all of them with the labels."""

    files: Mapping[str, Path]
    digest: str


Rows = list[tuple[str, dict[str, Any]]]  # entry key and the facts of a result


@dataclass(frozen=True)
class Job:
    """One training run and the pictures to score with it; plain data, so that a process of its own can do it.

    Attributes:
        order: what to train, or None for a network that is given.
        weights: folder or file of the trained network.
        train: pictures of the training split.
        scored: entry key to the pictures of the test split.
        dataset: ``name=folder``.
        lists: the user's own splits of it.
        split: the test split.
    """

    order: Order | None
    weights: Path
    train: Mapping[str, Path]
    scored: Mapping[str, Mapping[str, Path]]
    task: str
    dataset: str
    lists: Mapping[str, Path]
    split: str
    device: str


def check(plan: Plan, ask: Ask) -> None:
    """Make every recipe's settings once, so that a wrong size or option is refused before anything is fused.

    Raises:
        FusionbenchError: a network without recipe, a size or a setting that its recipe does not have, no such entry.
    """
    learnt = [name for name in ask.tasks if ask.trains(name)]
    if "frozen" in ask.protocols and learnt:
        _one_entry(ask.frozen_on)
    for source in plan.sources:
        for name in learnt:
            task = resolve("task", name)()
            try:
                task.classes(source.dataset)
            except DataError:
                continue  # said by run_tasks
            _draft(ask, task, source.dataset, plan.device, 0).settings_text()


def _draft(ask: Ask, task: Any, dataset: Dataset, device: str, seed: int) -> Order:
    """The training of one network, without a folder."""
    return Order(
        ask.networks.get(task.name) or _default_network(task, dataset, ask),
        (f"{dataset.name}={dataset.root}",),
        size=ask.size,
        options=(*ask.options, *QUIET, f"train.seed={seed}"),
        device=device,
    )


@dataclass
class Problems:
    """What could not be done.

    Attributes:
        gaps: (source label, task) to why its column stays empty: the data do not have what it takes.
        failures: what failed that should not have, a line each.
    """

    gaps: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run_tasks(plan: Plan, ask: Ask, store: Store, command: str, progress: Progress = lambda *_: None) -> Problems:
    """Train and score everything asked that is not in the store yet.

    Raises:
        FusionbenchError: a task, network or size that does not exist; results that cannot be written.
    """
    problems = Problems()
    started, began, scored = provenance.now(), time.perf_counter(), 0
    for source in plan.sources:
        for name in ask.tasks:
            task = resolve("task", name)()
            try:
                task.classes(source.dataset)
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                continue  # no column: these labels are not part of the dataset
            try:
                scored += _source(plan, ask, store, source, task, command, progress, problems.failures)
            except DataError as error:
                problems.gaps[source.label, name] = str(error)
                if isinstance(error, BrokenPair):
                    problems.failures.append(f"{name} on {source.label}: no column")
            store.put_task_state(source.label, source.split, name, problems.gaps.get((source.label, name), ""))
    if scored:
        facts = provenance.collect(command, started, time.perf_counter() - began, plan.info())
        store.put_run(started, {**facts, "fused": 0, "scored": scored})
    return problems


def _source(
    plan: Plan,
    ask: Ask,
    store: Store,
    source: Source,
    task: Any,
    command: str,
    progress: Progress,
    failures: list[str],
) -> int:
    """One task on one source; the number of results that are new."""
    dataset = source.dataset
    train_split, test_split = dataset.task_splits(task.needs)
    if "split" in "".join(source.protocol.changed):
        test_split = source.split
    sources = {split: _labelled(source, split, task) for split in dict.fromkeys((test_split, train_split)) if split}
    if not sources[test_split].ids:
        raise DataError(
            f"{source.label} {test_split}: no pair here has {task.needs}; nothing to score {task.name} with"
        )
    trains = ask.trains(task.name)
    retrained = "retrained" in ask.protocols and trains
    frozen_entry = _one_entry(ask.frozen_on) if trains and "frozen" in ask.protocols else None
    learners = [*(plan.entries if retrained else ()), *([frozen_entry] if frozen_entry else ())]
    if learners and not sources[train_split].ids:
        raise DataError(
            f"{source.label} {train_split}: no pair here has {task.needs}, so no network can be trained; "
            "give trained ones with --frozen"
        )
    test, why = _pictures(plan, plan.entries, store, sources[test_split], task, progress)
    train, whynot = _pictures(plan, learners, store, sources[train_split], task, progress) if learners else ({}, {})
    what = f"{task.name} on {source.label}"
    failures += [f"{what}, {ident}: no row, {reason}" for ident, reason in (whynot | why).items()]
    if frozen_entry and frozen_entry.key not in train:
        failures.append(f"{what}: no frozen network, {frozen_entry.id} has not every training picture")
        frozen_entry = None
    code = task_code(task.name)
    jobs: dict[Path, tuple[Job, Rows]] = {}

    def add(protocol: str, weights: Path | Order, on: str, seed: int, fed: Pictures | None, keys: list[str]) -> None:
        """Plan what is missing of one network; networks that two protocols share are trained once."""
        order = weights if isinstance(weights, Order) else None
        other = protocol == "frozen" and ask.frozen_on != Ask.frozen_on
        recipe = f"{ask.recipe}+on={on}" if other else ask.recipe
        where = order.out if order else Path(str(weights))
        facts = {
            "task": task.name,
            "protocol": protocol,
            "seed": seed,
            "recipe": recipe if order else ask.given,
            "network": order.name if order else facts_of(where)["name"],
            "trained_on": f"{on} pictures of {source.label} {train_split}" if order else facts_of(where)["trained_on"],
            "code": code,
            "test_split": test_split,
            "command": command,
        }
        for key in keys:
            seen = (fed.digest if fed else file_hash(where)) + test[key].digest
            row = {**facts, "pictures": hashlib.sha256(seen.encode()).hexdigest()}
            if not store.has_task(key, source.label, source.split, row):
                root = f"{dataset.name}={dataset.root}"
                blank = Job(
                    order, where, fed.files if fed else {}, {}, task.name, root, dataset.lists, test_split, plan.device
                )
                job, rows = jobs.setdefault(where, (blank, []))
                rows.append((key, row))
                jobs[where] = replace(job, scored={**job.scored, key: test[key].files}), rows

    def order_of(entry: Entry, fed: Pictures, seed: int) -> Order:
        from fusionbench.training.config import plain_config

        draft = _draft(ask, task, dataset, plan.device, seed)
        settings = json.dumps(without_folder(plain_config(draft.config)), default=str)
        print_ = hashlib.sha256((settings + fed.digest + code).encode()).hexdigest()[:8]
        label = re.sub(r"[^A-Za-z0-9._+-]+", "_", f"{draft.name}-{source.label}-{entry.id}-seed{seed}-{print_}")
        return replace(draft, folder=store.folder / "tasks" / label, entry=entry.id)

    for seed in ask.seeds:
        if retrained:
            for entry in plan.entries:
                if entry.key in train and entry.key in test:
                    fed = train[entry.key]
                    add("retrained", order_of(entry, fed, seed), entry.id, seed, fed, [entry.key])
        if frozen_entry:
            fed = train[frozen_entry.key]
            add("frozen", order_of(frozen_entry, fed, seed), frozen_entry.id, seed, fed, list(test))
    for number, path in enumerate(ask.frozen):
        if facts_of(path).get("task") == task.name:
            add("frozen", path, "", number, None, list(test))

    names, new = {entry.key: entry.id for entry in plan.entries}, 0
    for done, (found, rows) in enumerate(_results(list(jobs.values()), plan.jobs, plan.device), 1):
        if isinstance(found, str):
            who = ", ".join(names[key] for key, _ in rows)
            failures.append(f"{what}, {rows[0][1]['protocol']}, seed {rows[0][1]['seed']}, {who}: {found}")
        else:
            for key, row in rows:
                store.put_task(key, source.label, source.split, row | found[key])
            new += len(rows)
        progress(what, done, len(jobs))
    return new


def file_hash(path: Path) -> str:
    """SHA-256 of the weights in a run's folder, or of a file."""
    from fusionbench.weights import sha256

    return sha256(path / WEIGHTS if path.is_dir() else path)


def task_code(name: str) -> str:
    """Hash of everything a task's numbers depend on besides settings and pictures."""
    home = Path(__file__).parent / "training"
    loop = b"".join(p.read_bytes() for p in sorted(home.glob("*.py")))
    facts = [card("task", name).code_hash, harness_hash("images", "labels"), hashlib.sha256(loop).hexdigest()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _default_network(task: Any, dataset: Any, ask: Ask) -> str:
    from fusionbench.trainable import training
    from fusionbench.training.config import load_config

    return load_config(training(task.networks[0]).config_file(dataset.name), size=ask.size).network


def _one_entry(spec: str) -> Entry:
    found, skipped = entries(spec)
    if len(found) != 1:
        why = str(skipped[0]) if skipped else f"{spec} means {len(found)} entries"
        raise FusionbenchError(f"{why}; name one entry, such as visible or refusion[ivif]")
    return found[0]


def _labelled(source: Source, split: str, task: Any) -> Source:
    """The source on another split, with the ids that have the label."""
    dataset = source.dataset
    ids = source.ids if split == source.split else dataset.ids(split) if split in dataset.splits() else []
    ids = [i for i in ids if getattr(dataset.files(split, i), task.needs) is not None]
    return replace(source, protocol=replace(source.protocol, split=split), ids=tuple(ids), metrics=())


def _pictures(
    plan: Plan, which: Iterable[Entry], store: Store, source: Source, task: Any, progress: Progress
) -> tuple[dict[str, Pictures], dict[str, str]]:
    """Fuse what is missing.

    Returns:
        Entry key to its pictures; and the id of each entry that has not all of them to why.

    Raises:
        BrokenPair: a pair that cannot be read.
    """
    every = list({e.key: e for e in which}.values())
    pairs, outcome = fuse_only(replace(plan, entries=tuple(every), sources=(source,)), store, progress)
    for ident in source.ids:  # scores over fewer pairs would be of another test
        why = outcome.failures.get(("source", source.label, ident))
        if why or ident not in pairs:
            reason = why or "its files are not all there"
            raise BrokenPair(f"{source.label} {source.split}: pair {ident} is needed for {task.name}: {reason}")
    labels = hashlib.sha256()
    for ident in source.ids:
        labels.update(getattr(source.dataset.files(source.split, ident), task.needs).read_bytes())
    found, missing = {}, {}
    for entry in every:
        fused = store.fused(entry.key)
        mine = {
            i: fused[h] for i, h in pairs.items() if h in fused and (entry.id, source.label, i) not in outcome.failures
        }
        if len(mine) == len(source.ids):
            text = "".join(f"{i} {image}\n" for i, (image, _) in sorted(mine.items())) + labels.hexdigest()
            files = {i: _file(store, entry, path) for i, (_, path) in mine.items()}
            found[entry.key] = Pictures(files, hashlib.sha256(text.encode()).hexdigest())
        else:
            ident = next(i for i in source.ids if i not in mine)
            reason = outcome.failures.get((entry.id, source.label, ident), "no picture")
            missing[entry.id] = f"{source.split} pair {ident}: {reason}"
    return found, missing


def _file(store: Store, entry: Entry, path: str) -> Path:
    """Where a fused picture lies: below the store, or (pictures that another program made) where they are."""
    return Path(path) if Path(path).is_absolute() else store.folder / path


def fused_pictures(order: Order, note: Callable[[str], None]) -> dict[str, Path]:
    """The fused training pictures of ``train --on ENTRY``, from the cache that `eval` uses too."""
    import os

    from fusionbench.plan import Request, make_plan

    assert order.entry is not None
    (dataset,) = order.opened.values()
    task = resolve("task", order.training.card.name)()
    split = order.config.split or dataset.task_splits(task.needs)[0]
    spec = f"{dataset.name}={dataset.root}"
    plan = make_plan(Request((order.entry,), (spec,), (), (), None, split, None, None, None, order.device, 0))
    entry = _one_entry(order.entry)
    with Store(Path(os.environ.get("FUSIONBENCH_OUT", "results"))) as store:
        labelled = _labelled(plan.sources[0], plan.sources[0].split, task)
        found, missing = _pictures(plan, [entry], store, labelled, task, lambda *_: None)
    for name, reason in missing.items():
        raise FusionbenchError(f"{name} has not every picture of {dataset.name} {split}: {reason}")
    note(f"training on {len(found[entry.key].files)} pictures of {entry.id}")
    return dict(found[entry.key].files)


# ---------------------------------------------------------------- the work, in processes of its own


def _results(
    jobs: list[tuple[Job, Rows]], workers: int, device: str
) -> Iterator[tuple[dict[str, dict[str, Any]] | str, Rows]]:
    """Results as they come, or why there are none.

    On a CPU each job has a process and one thread, so that numbers do not depend on them.
    """
    if device != "cpu" or len(jobs) < 2 or workers < 2:
        for job, rows in jobs:
            yield _work(job), rows
        return
    import multiprocessing

    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_work, job): rows for job, rows in jobs}
        try:
            for future in as_completed(futures):
                yield future.result(), futures[future]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _work(job: Job) -> dict[str, dict[str, Any]] | str:
    """Train unless that is done, then score; or the line that says why that failed."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if job.order is not None and not (job.weights / WEIGHTS).is_file():
            order = replace(job.order, resume=True)
            run(order, "fusionbench eval --tasks", lambda text: None, pictures=job.train, quiet=True)
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
    from fusionbench.data import open_dataset
    from fusionbench.tasks._recipe import evaluate, picture

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
        for name in filter(None, ("all", dataset.condition(job.split, ident))):
            tallies.setdefault(name, task.scores(classes, dataset.ignore_index))
        prediction, target = evaluate(network, task, sample, job.device, tuple(size) if size else None)
        prediction, target = narrow(prediction, target)
        for name in filter(None, ("all", dataset.condition(job.split, ident))):
            tallies[name].update(prediction, target)
    return {
        "images": len(pictures),
        "classes": list(classes),
        "scores": {c: t.compute() for c, t in tallies.items()},
        "per_class": {c: t.per_class() for c, t in tallies.items()},
        "facts": {c: t.facts() for c, t in tallies.items()},
    }
