"""Downstream tasks as plugins: what their networks need, how they are built, how they are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.plugins.cards import TaskCard, card, cards, did_you_mean
from fusionbench.plugins.records import Label
from fusionbench.plugins.registry import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fusionbench.data import Dataset, Sample
    from fusionbench.tasks.network import Prediction, Target, TaskNetwork

LABELS: dict[Label, str] = {"mask": "segmentation masks", "boxes": "boxes", "saliency": "saliency masks"}

Narrow = Callable[["Prediction", "Target"], tuple["Prediction", "Target"]]  # to classes that two sides share


@dataclass(frozen=True)
class Released:
    """A network as others trained it.

    Attributes:
        classes: what it tells, by id.
        tensors: by the names of our network.
        convention: how it sees pictures, see :meth:`Task.seeing`.
        trained_on: in a clause.
    """

    classes: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    convention: str
    trained_on: str


class Scores(Protocol):
    """What a task's predictions are worth over a data set."""

    def update(self, prediction: Prediction, target: Target) -> None:
        """Add one image; both at the size of the label."""
        ...

    def compute(self) -> dict[str, float]:
        """Every score under the name of its convention: ``miou@tdfusion``, ``ap50@coco``, ``f@mean``..."""
        ...

    def per_class(self) -> dict[str, float]:
        """The main score of each class by its name, NaN where a class has none; empty where there are no classes."""
        ...

    def facts(self) -> Mapping[str, object]:
        """What the scores can be computed from again, where that is small (a confusion matrix), as plain data."""
        ...


class Task:
    """Base of the task plugins. A subclass names itself and has :meth:`make`, :meth:`target` and :meth:`scores`.

    Attributes:
        name: as on the card.
        needs: the label of a :class:`fusionbench.data.Sample` that it reads: ``mask``, ``boxes`` or ``saliency``.
    """

    name: str
    needs: Label

    @property
    def card(self) -> TaskCard:
        """The task's card."""
        return card("task", self.name)

    @property
    def networks(self) -> tuple[str, ...]:
        """Networks that go by name, as the card lists them."""
        return self.card.facts.networks

    def classes(self, dataset: Dataset) -> tuple[str, ...]:
        """Names of the classes by id.

        Raises:
            DataError: the dataset has no such labels.
        """
        if self.needs == "saliency":
            names: tuple[str, ...] = ("salient",) if dataset.layout.has(self.needs) else ()
        else:
            names = tuple(dataset.classes if self.needs == "mask" else dataset.box_classes)
        if not names:
            able = [name for name, entry in cards("dataset").items() if self.needs in entry.facts.layout]
            raise DataError(
                f"{dataset.name} has no {LABELS[self.needs]}, which {self.name} needs; "
                f"datasets that have: {', '.join(able)}"
            )
        return names

    def build(
        self,
        network: str | Path,
        dataset: Dataset,
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
    ) -> TaskNetwork:
        """A network for the classes of a dataset, with random weights or a backbone from a local file.

        Args:
            network: one of :attr:`networks`, or the path of an OpenMMLab config where the task takes those.
            dataset: whose classes to predict.
            channels: 3 (RGB) or 1 (luma).
            backbone: a local file with the backbone's weights; nothing is ever downloaded.
            layout: whose names that file uses, see :func:`fusionbench.tasks.network.load_backbone`.

        Raises:
            FusionbenchError: unknown network, missing extra ``tasks``, no such labels, unusable file.
        """
        return self.make(network, self.classes(dataset), channels, backbone, layout, dataset.ignore_index)

    def make(
        self,
        network: str | Path,
        classes: tuple[str, ...],
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int | None = None,
    ) -> TaskNetwork:
        """The same from the names of the classes."""
        raise NotImplementedError

    def released(self, network: str, path: Path) -> Released:
        """A file of others for one of :attr:`networks`, that was trained on classes of its own.

        Raises:
            FusionbenchError: damaged, not of this network, or there is no such file of any.
        """
        raise FusionbenchError(
            f"{path}: no {network} of others with classes of its own is known; for one that was trained on a dataset's "
            f"classes: fusionbench eval --frozen {path} --network {network}"
        )

    def seeing(self, network: TaskNetwork, convention: str) -> TaskNetwork:
        """A released network that sees pictures as it was made to.

        Raises:
            FusionbenchError: no such convention.
        """
        raise FusionbenchError(f"{self.name}: no way to see pictures is called {convention!r}")

    def said(self, convention: str) -> tuple[str, str]:
        """A convention as a token without spaces, and in a clause.

        Raises:
            FusionbenchError: no such convention.
        """
        raise FusionbenchError(f"{self.name}: no way to see pictures is called {convention!r}")

    def target(self, sample: Sample) -> Target:
        """The labels of a sample as tensors.

        Raises:
            DataError: the sample has none.
        """
        raise NotImplementedError

    def common(self, trained: tuple[str, ...], dataset: Dataset) -> tuple[tuple[str, ...], Narrow]:
        """The classes that a trained network and a dataset share, and what brings predictions and targets to them.

        Args:
            trained: classes of the network.
            dataset: whose labels to score with.

        Raises:
            DataError: they do not go together.
        """
        own = self.classes(dataset)
        if trained != own:
            raise DataError(
                f"the network tells {len(trained)} classes ({', '.join(trained[:4])}...), {dataset.name} has "
                f"{len(own)} ({', '.join(own[:4])}...): its {self.name} cannot be scored here"
            )
        return own, lambda prediction, target: (prediction, target)

    def places(self, trained: tuple[str, ...], dataset: Dataset) -> list[int]:
        """The id that a trained network has for each class of a dataset, -1 for one that it does not know.

        Raises:
            DataError: they do not go together.
        """
        self.common(trained, dataset)
        return list(range(len(trained)))

    def matches(self, scores: Scores) -> object:
        """What :meth:`resampled` takes, as plain data; None where a tally does not tell its images apart."""
        return None

    def resampled(self, matches: object, weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """The first column's score, under "", and that of each class, over images drawn again.

        Args:
            matches: what :meth:`matches` gave, maybe read from a file.
            weights: how often each image is drawn, ``[resamples,images]``.

        Returns:
            ``[resamples]`` each; NaN where a score is undefined.

        Raises:
            ValueError: they are not of this form or of these images.
        """
        return {}

    def scores(self, classes: tuple[str, ...], ignore_index: int | None = None) -> Scores:
        """An empty tally for these classes."""
        raise NotImplementedError


def task(name: str) -> Task:
    """A task by name.

    Raises:
        PluginError: there is none.
    """
    found: Task = resolve("task", name)()
    return found


def task_of(network: str) -> Task:
    """The task whose card lists a network.

    Raises:
        FusionbenchError: no card does.
    """
    listed = {name: task for task, entry in cards("task").items() for name in entry.facts.networks}
    if network not in listed:
        raise FusionbenchError(f"no task network {network!r}; {did_you_mean(network, listed)}")
    return task(listed[network])
