"""One recipe for every task network: labelled pairs in, the network's own loss, one optimiser, one schedule.

The image is the visible one, or each pair's fused picture where the run was given such pictures. The settings of a task
stand in its own ``recipe.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.data import Dataset, Sample
from fusionbench.errors import FusionbenchError
from fusionbench.tasks.drawing import drawn
from fusionbench.tasks.task import task_of
from fusionbench.tasks.testing import at_size as at_size
from fusionbench.tasks.testing import evaluate, network_input, picture
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.order import Step, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Interval, Natural, NotNegative, Positive, Probability, Settings, Size
from fusionbench.training.trained import convention_of

Schedule = Literal["poly", "cosine", "step", "triangular"]
Backbone = Literal["openmmlab", "torchvision", "timm"]


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Settings):
    """What the recipes of all task networks share."""

    network: str  # of the task, by name
    channels: Literal[1, 3] = 3  # 1: the luma of the picture
    backbone: str | None = None  # a local file; its learning rate is then worth lowering: backbone_lr=0.1
    layout: Backbone = "openmmlab"  # whose names that file uses
    split: str | None = None  # None: the dataset's training split for this task
    limit: Count | None = None  # only the first so many pairs
    batch: Count  # pictures in a step, over all processes
    resize: Size | None = None  # (height, width) of what the network sees, in training and evaluation; None: as it is
    scale: Interval | None  # then by a random factor in this range; None: never
    crop: Size | None  # then a random window of this (height, width); None: all of it
    flip: Probability = 0.5  # probability of mirroring left and right
    optimiser_type: str  # a class of torch.optim
    optimiser_lr: Positive  # largest learning rate
    optimiser_momentum: NotNegative | None = None  # where the optimiser has one (SGD)
    optimiser_weight_decay: NotNegative  # of weights; normalisation layers and biases have none
    optimiser_nesterov: bool | None = None  # where the optimiser has it (SGD)
    backbone_lr: NotNegative = 1.0  # learning rate of the backbone, as a factor of the others'
    schedule_type: Schedule  # of the learning rate; t is the share of all steps after the warm-up
    schedule_warmup: Natural = 0  # steps of a linear rise; at most a quarter of all
    schedule_power: Positive = 1.0  # poly: (1 - t)^power
    schedule_last: NotNegative = 0.01  # cosine: half a wave from 1 to this factor
    schedule_at: tuple[float, ...] = ()  # step: values of t at which the rate is multiplied by schedule_gamma
    schedule_gamma: Positive = 0.1  # step: this factor
    schedule_peak: Positive = 0.5  # triangular: up until t is this, and down again (CTDNet)
    clip: NotNegative | None = None  # largest norm of the whole gradient; None or 0: any
    validate_on: str | None = None  # a split that is scored during training; None: none
    workers: Natural = 4  # ours
    log_every: Count = 20  # ours
    save_every: Count = 1000  # ours
    validate_every: Count = 10  # ours
    picture_every: Natural = 10  # ours


T = TypeVar("T", bound=TaskSettings)


class FusedSplit(TrainingSplit):
    """A split whose visible images are replaced by fused pictures.

    Args:
        dataset: where from.
        split: name of the split, or a list file.
        pictures: id to picture; None leaves the visible images.
        options: further ones of :class:`TrainingSplit`.
    """

    def __init__(
        self, dataset: Dataset, split: str, pictures: Mapping[str, Path] | None = None, **options: Any
    ) -> None:
        super().__init__(dataset, split, **options)
        self.pictures = pictures
        if pictures is not None:
            self.ids = [i for i in self.ids if i in pictures]

    def decode(self, index: int) -> Sample:
        """The sample with its fused picture in the place of the visible image.

        Raises:
            DataError: the picture is gone, or of another size.
        """
        sample = super().decode(index)
        if self.pictures is not None:
            sample.vis = picture(self.pictures[sample.id], sample.vis.shape[1:])
        return sample

    def sources(self, index: int) -> dict[str, Path]:
        """Besides, the fused picture."""
        own = {} if self.pictures is None else {"fused": self.pictures[self.ids[index]]}
        return {**super().sources(index), **own}


class TaskRecipe(Recipe[T, Batch], Generic[T]):
    """Trains one task network on one dataset.

    One that starts from a network which others released goes on seeing pictures as that one does (its levels; in
    training the pictures' own size), and the statistics of its batch normalisation stay as they are: files with
    convolutions and normalisation folded together have none to go on from. ``backbone_lr=0`` leaves the backbone alone.
    """

    def build(self, settings: T, device: torch.device) -> None:
        """Network, training set, optimiser and schedule.

        Raises:
            FusionbenchError: settings that do not go together.
        """
        self.settings, self.device = settings, device
        self.task = task_of(settings.network)
        (self.dataset,) = self.datasets.values()
        self.network = self.task.build(
            settings.network, self.dataset, settings.channels, settings.backbone, settings.layout
        ).to(device)
        convention = convention_of(self.start)
        self.fixed_statistics = bool(convention)
        self.seeing = (self.task.seeing(self.network, convention) if convention else self.network).to(device)
        if settings.backbone_lr == 0:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_("backbone" not in name)
        self.split = FusedSplit(
            self.dataset,
            settings.split or self.dataset.task_splits(self.task.needs)[0],
            self.pictures_of,
            augment=Augment(settings.resize, settings.scale, settings.crop, settings.flip),
            needs=[self.task.needs],
            target=self.task.target,
            limit=settings.limit,
        )
        self.optimiser = optimiser(self.network, settings)
        steps = max(1, len(self.split) // settings.batch) * settings.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor(settings, steps))

    def state(self) -> Mapping[str, Stateful]:
        """Network, optimiser, schedule."""
        return {"network": self.network, "optimiser": self.optimiser, "schedule": self.schedule}

    def check(self) -> None:
        """Every image and label of the split, and of the one to validate on."""
        self.split.check()
        if self.settings.validate_on:
            self._validation(self.settings.validate_on).check()

    def reads(self) -> Sequence[TrainingSplit]:
        """The labelled pairs."""
        return [self.split]

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        raise FusionbenchError("a task network computes its loss inside, of the whole batch")

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """One pass in random order."""
        return shuffled(len(self.split), self.settings.batch, seed, epoch)

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        """The augmented batch."""
        return self.split.batch(step.groups[0], seed, epoch)

    def names(self, step: Step) -> list[str]:
        """Ids."""
        return self.split.names(step.groups[0])

    def step(self, batch: Batch) -> Mapping[str, Tensor | float]:
        """One update of the network."""
        batch = batch.to(self.device)
        self.network.train()
        if self.fixed_statistics:
            hold_statistics(self.network)
        with self.precision.autocast():
            loss = self.network.loss(network_input(batch.vis, self.network.channels), batch.targets)
        self.precision.update(loss, self.optimiser, clip=self.settings.clip)
        self.schedule.step()
        return {"loss": loss.detach(), "lr": self.optimiser.param_groups[0]["lr"]}

    def validate(self) -> Mapping[str, float]:
        """Scores on the visible images of the split ``validate_on``, where one is set."""
        if not self.settings.validate_on:
            return {}
        validation = self._validation(self.settings.validate_on)
        scores = self.task.scores(self.task.classes(self.dataset), self.dataset.ignore_index)
        for index in range(len(validation)):
            sample = validation.read(index)
            scores.update(*evaluate(self.seeing, self.task, sample, self.device, self.settings.resize))
        values = scores.compute()
        return {**values, "score": values[self.task.card.facts.columns[0][0]]}

    def _validation(self, split: str) -> TrainingSplit:
        return TrainingSplit(self.dataset, split, None, [self.task.needs], self.task.target)

    def pictures(self) -> Mapping[str, np.ndarray]:
        """Two training samples: what the network sees, the truth, the prediction, side by side."""
        shown = {}
        for index in range(min(2, len(self.split))):
            sample = self.split.read(index)
            prediction, true = evaluate(self.seeing, self.task, sample, self.device, self.settings.resize)
            columns = [sample.vis, drawn(sample.vis, true), drawn(sample.vis, prediction)]
            shown[sample.id] = np.concatenate(columns, 2)
        return shown

    def export(self) -> dict[str, Tensor]:
        """The network's state."""
        return {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}


def hold_statistics(network: nn.Module) -> None:
    """Batch normalisation by the statistics that it has, also in training."""
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def optimiser(network: nn.Module, settings: TaskSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name; the backbone's learning rate is the others' times ``backbone_lr``.

    Normalisation layers and biases have no weight decay.

    Raises:
        FusionbenchError: no such class, or a value that it does not take.
    """
    kind = getattr(torch.optim, settings.optimiser_type, None)
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        raise FusionbenchError(f"optimiser_type={settings.optimiser_type}: no optimiser of torch.optim")
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(("backbone" in name, parameter.ndim > 1), []).append(parameter)
    rows = [
        {
            "params": parameters,
            "lr": settings.optimiser_lr * (settings.backbone_lr if inside else 1),
            **({} if decayed else {"weight_decay": 0.0}),
        }
        for (inside, decayed), parameters in groups.items()
    ]
    options: dict[str, Any] = {
        "lr": settings.optimiser_lr,
        "momentum": settings.optimiser_momentum,
        "weight_decay": settings.optimiser_weight_decay,
        "nesterov": settings.optimiser_nesterov,
    }
    try:
        made: torch.optim.Optimizer = kind(rows, **{name: v for name, v in options.items() if v is not None})
    except (TypeError, ValueError) as error:
        raise FusionbenchError(f"optimiser: {error}; see torch.optim.{kind.__name__}") from None
    return made


def factor(settings: TaskSettings, steps: int) -> Callable[[int], float]:
    """The learning rate's factor by step, of ``steps`` in all; see :class:`TaskSettings`."""
    kind, warmup = settings.schedule_type, min(settings.schedule_warmup, steps // 4)

    def shape(t: float) -> float:
        if kind == "poly":
            return float((1 - t) ** settings.schedule_power)
        if kind == "cosine":
            last = settings.schedule_last
            return last + (1 - last) * (1 + math.cos(math.pi * t)) / 2
        if kind == "step":
            return float(settings.schedule_gamma ** sum(t >= turn for turn in settings.schedule_at))
        peak = settings.schedule_peak
        return max(t / peak if t < peak else (1 - t) / max(1 - peak, 1e-9), 1e-3)

    def of_step(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return shape(min(1.0, (step - warmup) / max(1, steps - warmup)))

    return of_step
