"""Scores of one trained network on fused pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fusionbench.data import Dataset
from fusionbench.results.records import MATCHES, TaskResult, TaskTest
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.task import Scores, Task, task
from fusionbench.tasks.testing import evaluate, picture
from fusionbench.training.trained import settings_hash


def _matches(scored: Task, tally: Scores, kept: bool) -> dict[str, object]:
    """What intervals over images are computed from, of networks that were trained once and elsewhere."""
    found = scored.matches(tally) if kept else None
    return {} if found is None else {MATCHES: found}


def score(
    weights: Path, dataset: Dataset, test: TaskTest, pictures: Mapping[str, Path], device: str, config: str = ""
) -> TaskResult:
    """Score the pictures of one entry.

    Args:
        weights: of the network; a file, or a run's folder.
        dataset: whose labels.
        test: what is wanted.
        pictures: image id to file, of the test's split.
        device: where it is computed.
        config: of the network, where the user named one.

    Returns:
        Scores by condition: ``all``, then ``day`` and ``night`` where the data tell.

    Raises:
        FusionbenchError: the network or a picture cannot be read, or they do not go together.
    """
    return pooled([(weights, pictures)], dataset, test, device, config)


def pooled(
    networks: Sequence[tuple[Path, Mapping[str, Path]]], dataset: Dataset, test: TaskTest, device: str, config: str = ""
) -> TaskResult:
    """Score the pictures of one entry with several networks of one kind, each on pictures of its own.

    Args:
        networks: weights, and the pictures that they are tested on.
        dataset, test, device, config: see :func:`score`.
    """
    scored = task(test.task)
    tallies: dict[str, Scores] = {}
    for weights, pictures in networks:
        network, facts = load_network(weights, device, config)
        classes, narrow = scored.common(tuple(facts["classes"]), dataset)
        size = facts["config"].get("resize")
        for ident, path in pictures.items():
            sample = dataset.read(test.test_split, ident)
            sample.vis = picture(path, sample.ir.shape[1:])
            prediction, target = evaluate(network, scored, sample, device, tuple(size) if size else None)
            prediction, target = narrow(prediction, target)
            for condition in filter(None, ("all", dataset.condition(test.test_split, ident))):
                if condition not in tallies:
                    tallies[condition] = scored.scores(classes, dataset.ignore_index)
                tallies[condition].update(prediction, target)
    return TaskResult(
        **msgspec.structs.asdict(test),
        images=sum(len(pictures) for _, pictures in networks),
        classes=tuple(classes),
        settings=settings_hash(facts["config"]),
        scores={c: dict[str, float | None](t.compute()) for c, t in tallies.items()},
        per_class={c: dict[str, float | None](t.per_class()) for c, t in tallies.items()},
        facts={c: {**t.facts(), **_matches(scored, t, bool(facts.get("convention")))} for c, t in tallies.items()},
    )
