"""What recipes in rounds have in common: the fusion network learns, then a task network from what is fused, in turn.

From the second round on the fusion network also learns from the loss of the task network, which is frozen meanwhile.
An epoch is a round. Every pass has an order of its own, also where the authors' loaders keep one. Which steps a round
has, what moves them and what begins anew after it says a subclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from fusionbench.colour import recombine
from fusionbench.data import Dataset
from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import Target, TaskNetwork
from fusionbench.tasks.task import Task, task_of
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.order import Step, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Positive, Settings

Part = Literal["fusion", "task"]
PARTS: tuple[Part, ...] = ("fusion", "task")


@dataclass(frozen=True, kw_only=True)
class LoopSettings(Settings):
    """Fields that :class:`LoopRecipe` reads; a recipe's record gives them values and says where they are from."""

    network: str
    backbone: str | None
    split: str
    batch: Count
    lr: Positive
    task_lr: Positive


@dataclass
class Turn:
    """A step's batch, and where it stands.

    Attributes:
        part: what learns.
        round: from 0.
        number: of the step in this part of the round, from 0.
        batch: pairs with their labels.
    """

    part: Part
    round: int
    number: int
    batch: Batch


L = TypeVar("L", bound=LoopSettings)


class LoopRecipe(Recipe[L, Turn]):
    """Rounds of two parts; a subclass has the methods that raise here.

    Attributes:
        label: what the task network has to learn from.
        least: smallest side of what is cut or made of pictures.
        sides: settings that hold such sizes.
    """

    label: str = "mask"
    least: int = 1
    sides: tuple[str, ...] = ()

    def fusion_network(self) -> nn.Module:
        """The fusion network with initial weights."""
        raise NotImplementedError

    def task_network(self, dataset: Dataset) -> tuple[Task, TaskNetwork]:
        """The task and its network; one of ours unless a method has its own.

        Raises:
            FusionbenchError: a network of another task.
        """
        task = task_of(self.settings.network)
        if task.needs != self.label:
            raise FusionbenchError(
                f"network={self.settings.network}: a network of {task.name} learns from {task.needs}; "
                f"this recipe takes one that learns from {self.label}, see docs/tasks.md"
            )
        return task, task.build(self.settings.network, dataset, 3, self.settings.backbone)

    def optimiser(self, part: Part, network: nn.Module) -> torch.optim.Optimizer:
        """What moves a part."""
        raise NotImplementedError

    def steps(self, part: Part, round: int) -> int:
        """Steps of a part in a round."""
        raise NotImplementedError

    def rate(self, turn: Turn) -> float:
        """The learning rate of a step."""
        raise NotImplementedError

    def augment(self, part: Part) -> Augment:
        """What happens to the pairs of a part."""
        raise NotImplementedError

    def fused(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma ``[B,1,h,w]`` of infrared ``[B,1,h,w]`` and colours ``[B,3,h,w]`` in [0,1]."""
        raise NotImplementedError

    def fusion_losses(self, fused: Tensor, batch: Batch, turn: Turn) -> dict[str, Tensor]:
        """``loss`` and its terms, without the task's."""
        raise NotImplementedError

    def semantic_weight(self, turn: Turn) -> float:
        """Of the task's loss beside them, from the second round on."""
        raise NotImplementedError

    def task_loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The task network's loss on RGB images, a scalar."""
        return self.task.loss(images, targets)

    def as_read(self, fused: Tensor) -> Tensor:
        """Fused colours in [0,1] as the task network learns from them: as they are, unless a subclass stores them."""
        return fused

    def round_ends(self, round: int) -> None:
        """What begins anew, after each round but the last."""

    # ------------------------------------------------------------ the loop

    def build(self, settings: L, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        self.settings, self.device = settings, device
        (dataset,) = self.datasets.values()
        self.net = self.fusion_network().to(device)
        task, network = self.task_network(dataset)
        self.task = network.to(device)
        self.moves = {"fusion": self.optimiser("fusion", self.net), "task": self.optimiser("task", self.task)}
        self.splits = {
            part: TrainingSplit(dataset, settings.split, self.augment(part), [task.needs], task.target)
            for part in PARTS
        }

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {
            "network": self.net,
            "task": self.task,
            **{f"optimiser_{part}": optimiser for part, optimiser in self.moves.items()},
        }

    def check(self) -> None:
        """See :meth:`Recipe.check`; sizes are large enough, and a pass has a step."""
        at_least(self.settings, self.sides, self.least)
        for split in self.splits.values():
            split.check()
            shuffled(len(split), self.settings.batch, 0, 0)

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return list(self.splits.values())

    def passes(self, part: Part) -> int:
        """Steps of one pass over the split."""
        return len(self.splits[part]) // self.settings.batch

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """Both parts, one after the other, each in as many passes as it takes."""
        rows = []
        for offset, part in enumerate(PARTS):
            steps: list[Step] = []
            while len(steps) < self.steps(part, epoch):
                salt = 2 * len(steps) + offset
                steps += shuffled(len(self.splits[part]), self.settings.batch, seed, epoch, kind=part, salt=salt)
            steps = steps[: self.steps(part, epoch)]
            rows += [replace(step, salt=number) for number, step in enumerate(steps)]
        return rows

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return self.splits["fusion"].names(step.groups[0])

    def load(self, step: Step, epoch: int, seed: int) -> Turn:
        """See :meth:`Recipe.load`."""
        part: Part = "task" if step.kind == "task" else "fusion"
        return Turn(part, epoch, step.salt, self.splits[part].batch(step.groups[0], seed, epoch, step.salt))

    def step(self, batch: Turn) -> Mapping[str, Tensor]:
        """A step of either part; the other network is frozen."""
        pairs, learns = batch.batch.to(self.device), batch.part == "task"
        self.net.train(not learns)
        self.task.train(learns).requires_grad_(learns)
        optimiser = self.moves[batch.part]
        for group in optimiser.param_groups:
            group["lr"] = self.rate(batch) * group.get("share", 1.0)
        with self.precision.autocast():
            losses = self._task_losses(pairs) if learns else self._fusion_losses(pairs, batch)
        self.precision.update(losses["loss"], optimiser)
        return {name: value.detach() for name, value in losses.items()}

    def coloured(self, fused: Tensor, vis: Tensor) -> Tensor:
        """Fused luma with the visible chroma, in [0,1]."""
        return recombine(fused, vis, "seafusion").clamp(0, 1)

    def _fusion_losses(self, pairs: Batch, turn: Turn) -> dict[str, Tensor]:
        fused = self.fused(pairs.ir, pairs.vis)
        losses = self.fusion_losses(fused, pairs, turn)
        if turn.round:
            losses["semantic"] = self.task_loss(self.coloured(fused, pairs.vis), pairs.targets)
            losses["loss"] = losses["loss"] + self.semantic_weight(turn) * losses["semantic"]
        return losses

    def _task_losses(self, pairs: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            image = self.as_read(self.coloured(self.fused(pairs.ir, pairs.vis), pairs.vis))
        return {"loss": self.task_loss(image, pairs.targets)}

    def epoch_end(self, epoch: int) -> None:
        """See :meth:`Recipe.epoch_end`."""
        if epoch + 1 < self.settings.epochs:
            self.round_ends(epoch)

    def export(self) -> dict[str, Tensor]:
        """The fusion network, named as in the authors' checkpoint."""
        return {name: value.detach().cpu().clone() for name, value in self.net.state_dict().items()}


def at_least(settings: Settings, names: Sequence[str], side: int) -> None:
    """Look at settings that hold a height and a width.

    Raises:
        FusionbenchError: one is below a number of pixels.
    """
    for name in names:
        size = getattr(settings, name)
        if size is not None and min(size) < side:
            raise FusionbenchError(f"{name}={size[0]},{size[1]}: needs {side} or more each way")


def stored(images: Tensor) -> Tensor:
    """Colours ``[B,3,h,w]`` in [0,1] as an 8-bit file has them: each picture stretched to its range, cut to levels."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return ((images - low) / (high - low).clamp(min=1e-6) * 255).trunc() / 255


def forgotten(optimiser: torch.optim.Optimizer) -> None:
    """An optimiser that begins anew: its moments are left out, its parameters stay."""
    optimiser.state.clear()


def groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and those without: normalisation layers and biases."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
