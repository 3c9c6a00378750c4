"""What a recipe supplies. The loop knows nothing of losses, optimisers or alternation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from fusionbench.errors import FusionbenchError
from fusionbench.training.options import Note
from fusionbench.training.order import Step
from fusionbench.training.settings import Presets, S

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import nn

    from fusionbench.data import Dataset
    from fusionbench.training.data import TrainingSplit
    from fusionbench.training.precision import Precision


class Stateful(Protocol):
    """A module, optimiser, schedule: anything that can be saved and put back."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Put them back."""
        ...


B = TypeVar("B")  # what one step trains on


class Recipe(Generic[S, B]):
    """Base of all recipes, for a record of settings and a kind of batch.

    A run is ``build``, ``check``, then ``step`` for each ``Step`` of each epoch. Resume is
    exact when ``step`` depends only on what ``state`` names, on the batch, and on the global random number generators
    (Python, numpy, torch), all of which are saved.

    Attributes:
        presets: the record of settings, and what replaces its values by dataset, network and size.
        precision: set before ``build``: ``autocast()`` around forward passes, ``update(loss, optimiser)`` for the
            ordinary update with gradients averaged over processes.
        datasets: set before ``build``: what to train on, by name, in the order the user typed.
        pictures_of: set before ``build`` where a task network is trained on fused pictures: those, by id.
        note: set before ``build``: takes remarks, a line each; silent in all processes but the first.
        batch_key: the setting that is the batch size, named when memory runs out.
        start: weights that the networks start from, put there after ``build`` by the names of ``export``; see `.begin`.
        adapt: what brings a released file's tensors to those names, where a method is trained.
        accepts: raises where a method could not read what ``export`` gives; asked before the first step.
    """

    presets: Presets[S]
    precision: Precision
    note: Note
    datasets: Mapping[str, Dataset] = {}
    pictures_of: Mapping[str, Path] | None = None
    batch_key: str = "batch"
    start: Path | None = None
    adapt: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None
    accepts: Callable[[dict[str, torch.Tensor]], None] | None = None

    def build(self, settings: S, device: torch.device) -> None:
        """Make networks, optimisers, schedules and the training set. Weights come from the global generator."""
        raise NotImplementedError

    def state(self) -> Mapping[str, Stateful]:
        """Everything to be saved, by name. With several processes, batch normalisation of modules in here is joint."""
        raise NotImplementedError

    def check(self) -> None:
        """Look for what would fail later: an empty split, a wrong label id, images smaller than the crop.

        Raises:
            FusionbenchError: one line, before the first step.
        """

    def reads(self) -> Sequence[TrainingSplit]:
        """What ``load`` reads, for the loop to decode once; a recipe that names none reads files in every epoch."""
        return ()

    def divisible(self) -> Sequence[nn.Module]:
        """Networks that ``step`` calls as they are, and through which its batch may go in parts; see :mod:`.parts`.

        Raises:
            FusionbenchError: there are none, and why.
        """
        raise FusionbenchError("this recipe takes its batches as they are")

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """The steps of an epoch over all processes; the same for the same arguments. See :mod:`.order`."""
        raise NotImplementedError

    def load(self, step: Step, epoch: int, seed: int) -> B:
        """Read the batch of a step (this process's share of it).

        May run ahead in a thread: no global random numbers, no networks. Augmentation takes its randomness from
        ``(seed, epoch, index, step.salt)``.
        """
        raise NotImplementedError

    def step(self, batch: B) -> Mapping[str, torch.Tensor | float]:
        """One step, updates included.

        Returns:
            Scalars for the log, the same names in every process; ``loss`` must be among them and is watched for NaN.
        """
        raise NotImplementedError

    def names(self, step: Step) -> list[str]:
        """What the user calls the samples of a step: ids or file names."""
        return [str(index) for group in step.groups for index in group]

    def epoch_end(self, epoch: int) -> None:
        """After the last step of an epoch, before validation and checkpoint: move schedules."""

    def validate(self) -> Mapping[str, float]:
        """Scores for the log; ``score`` (higher is better) chooses the best checkpoint. Without it the mean loss does.

        Runs in every process and leaves the random number generators as they were.
        """
        return {}

    def pictures(self) -> Mapping[str, np.ndarray]:
        """Sample pictures by name, uint8 ``[H,W]``, ``[1,H,W]`` or ``[3,H,W]``; in the first process only."""
        return {}

    def export(self) -> dict[str, torch.Tensor]:
        """What training is for: tensors by name, as the network or the method that uses them reads them."""
        raise NotImplementedError
