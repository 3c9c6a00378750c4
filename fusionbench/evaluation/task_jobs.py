"""What is to be trained and scored, as plain data, so that a process of its own can do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusionbench.data.pairing import Reading
from fusionbench.evaluation.task_training import Trained
from fusionbench.results.records import TaskTest
from fusionbench.runtime.locations import Locations, current
from fusionbench.training.request import TrainRequest


@dataclass(frozen=True)
class Fold:
    """What is trained on some pictures of a split, and the others, with which it is scored."""

    request: TrainRequest
    train: Mapping[str, Path]
    scored: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run and the pictures to score with it; plain data.

    Attributes:
        request: what to train, or None for a network that is given.
        weights: folder or file of the trained network.
        train: pictures of the training split.
        scored: entry key to the pictures of the test split.
        task: its name.
        dataset: ``name=folder``.
        lists: the user's own splits of it.
        reading: how its files are read and paired.
        split: the test split.
        device: where it is computed.
        config: of the network, where the user named one.
        folds: in place of request and pictures, those of each fold.
        tests: (entry key, test) of everything that is wanted.
        by: what computes here.
        again: whether a finished network is trained again.
        locations: folders of the process that planned it.
    """

    request: TrainRequest | None
    weights: Path
    train: Mapping[str, Path]
    scored: Mapping[str, Mapping[str, Path]]
    task: str
    dataset: str
    lists: Mapping[str, Path]
    reading: Reading
    split: str
    device: str
    config: str = ""
    folds: tuple[Fold, ...] = ()
    tests: tuple[tuple[str, TaskTest], ...] = ()
    by: Trained = field(default_factory=Trained)
    again: bool = False
    locations: Locations = field(default_factory=current)
