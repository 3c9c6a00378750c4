"""What recipes of two stages in one run have in common: which epochs are of which, and a loss for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.errors import FusionbenchError
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Batch
from fusionbench.training.order import Step, shuffled
from fusionbench.training.settings import Count


@dataclass(frozen=True, kw_only=True)
class StagedSettings(PairSettings):
    """Of ``epochs``, the first so many are of the first stage."""

    first: Count


@dataclass
class StagedBatch(Batch):
    """A batch and the stage that it is for."""

    stage: str = ""


P = TypeVar("P", bound=StagedSettings)


class StagedRecipe(PairRecipe[P]):
    """A subclass names its two stages, and has :meth:`first_losses` beside the second's :meth:`losses`.

    The optimiser keeps its moments from one stage to the next; parameters without a gradient stand still in a stage.
    """

    stages: tuple[str, str]

    def first_losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """``loss`` and its terms in the first stage, of grey images ``[B,1,h,w]`` in [0,1]."""
        raise NotImplementedError

    def build(self, settings: P, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: the second stage has no epoch.
        """
        if settings.epochs <= settings.first:
            raise FusionbenchError(
                f"epochs={settings.epochs}: the first {settings.first} (setting 'first') are of the stage "
                f"{self.stages[0]}, and none is left for the stage {self.stages[1]}"
            )
        super().build(settings, device)

    def size(self, stage: str) -> int:
        """Pairs of a batch in a stage."""
        return self.settings.batch

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`."""
        stage = self.stages[epoch >= self.settings.first]
        return shuffled(len(self.pairs), self.size(stage), seed, epoch, kind=stage)

    def load(self, step: Step, epoch: int, seed: int) -> StagedBatch:
        """See :meth:`Recipe.load`."""
        batch = super().load(step, epoch, seed)
        return StagedBatch(batch.ids, batch.ir, batch.vis, batch.targets, step.kind)

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        assert isinstance(batch, StagedBatch)
        here = batch.to(self.device)
        first = batch.stage == self.stages[0]
        with self.precision.autocast():
            losses = (self.first_losses if first else self.losses)(here.ir, grey(here.vis))
        self.update(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    def update(self, loss: Tensor) -> None:
        """Move what has a gradient."""
        self.precision.update(loss, self.adam)
