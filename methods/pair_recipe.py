"""What recipes over one split have in common, and those of one network, one loss and one optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from fusionbench.colour import grey
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.order import Step, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Positive, Settings


@dataclass(frozen=True, kw_only=True)
class SplitSettings(Settings):
    """Fields that :class:`SplitRecipe` reads; a recipe's record gives them values and says where they are from."""

    split: str
    batch: Count


T = TypeVar("T", bound=SplitSettings)


class SplitRecipe(Recipe[T, Batch]):
    """An epoch is one pass over ``pairs``, which a subclass makes."""

    settings: T
    pairs: TrainingSplit

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        self.pairs.check()

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.pairs]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`."""
        return shuffled(len(self.pairs), self.settings.batch, seed, epoch)

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return self.pairs.names(step.groups[0])

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        """See :meth:`Recipe.load`."""
        return self.pairs.batch(step.groups[0], seed, epoch, step.salt)


@dataclass(frozen=True, kw_only=True)
class PairSettings(SplitSettings):
    """Fields that :class:`PairRecipe` reads besides."""

    patch: Count
    lr: Positive


P = TypeVar("P", bound=PairSettings)


class PairRecipe(SplitRecipe[P]):
    """A subclass has :meth:`network` and :meth:`losses`."""

    def network(self) -> nn.Module:
        """The network with initial weights."""
        raise NotImplementedError

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """``loss`` and its terms, of grey images ``[B,1,h,w]`` in [0,1]."""
        raise NotImplementedError

    def augment(self, settings: P) -> Augment:
        """Random windows, not mirrored."""
        return Augment(crop=(settings.patch, settings.patch), flip=0.0)

    def factor(self, epoch: int) -> float:
        """The learning rate in an epoch, as a share of the first."""
        return 1.0

    def build(self, settings: P, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        self.settings, self.device = settings, device
        (dataset,) = self.datasets.values()
        self.net = self.network().to(device).train()
        self.adam = torch.optim.Adam(self.net.parameters(), lr=settings.lr)
        self.pairs = TrainingSplit(dataset, settings.split, self.augment(settings))

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {"network": self.net, "adam": self.adam}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        batch = batch.to(self.device)
        with self.precision.autocast():
            losses = self.losses(batch.ir, grey(batch.vis))
        self.precision.update(losses["loss"], self.adam)
        return {name: value.detach() for name, value in losses.items()}

    def epoch_end(self, epoch: int) -> None:
        """Learning rates of the next epoch."""
        for group in self.adam.param_groups:
            group["lr"] = self.settings.lr * self.factor(epoch + 1)

    def result(self) -> Mapping[str, Tensor]:
        """What is exported: the network, named as in the authors' checkpoint."""
        return self.net.state_dict()

    def export(self) -> dict[str, Tensor]:
        """:meth:`result` as :meth:`Recipe.export` wants it."""
        return {name: value.detach().cpu().contiguous() for name, value in self.result().items()}
