"""One recipe for every task network: labelled pairs in, the network's own loss, one optimiser, one schedule.

The image is the visible one, or each pair's fused picture where the run was given such pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.data import Sample
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.images import read_image
from fusionbench.tasks.drawing import drawn
from fusionbench.tasks.network import Prediction, Target, TaskNetwork
from fusionbench.tasks.task import task_of
from fusionbench.training.config import need_pair, need_positive
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.order import Step, shuffled
from fusionbench.training.recipe import Recipe


class FusedSplit(TrainingSplit):
    """A split whose visible images are replaced by fused pictures.

    Args:
        pictures: id to picture; None leaves the visible images.
    """

    def __init__(self, *args: Any, pictures: Mapping[str, Path] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pictures = pictures
        if pictures is not None:
            self.ids = [i for i in self.ids if i in pictures]

    def read(self, index: int) -> Sample:
        """The sample with its fused picture in the place of the visible image.

        Raises:
            DataError: the picture is gone, or of another size.
        """
        sample = super().read(index)
        if self.pictures is not None:
            sample.vis = picture(self.pictures[sample.id], sample.vis.shape[1:])
        return sample


def picture(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """A saved picture, uint8 ``[3,H,W]``.

    Raises:
        DataError: unreadable, or not of this height and width.
    """
    found = read_image(path)
    if found.shape[1:] != tuple(size):
        raise DataError(
            f"{path}: the fused picture is {found.shape[2]}x{found.shape[1]}, its pair {size[1]}x{size[0]}; delete it"
        )
    return found if len(found) == 3 else np.repeat(found, 3, 0)


def network_input(images: Tensor, channels: int) -> Tensor:
    """What a task network sees of RGB pictures ``[B,3,H,W]`` in [0,1]: themselves, or their luma."""
    from fusionbench.pixels.colour import luma

    return images if channels == 3 else luma(images)


class TaskRecipe(Recipe):
    """Trains one task network on one dataset.

    Settings: ``network``, ``channels``, ``backbone`` and ``layout`` (of a local file), ``split``, ``limit``,
    ``batch``, ``resize``, ``scale``, ``crop``, ``flip``, ``optimiser`` (``type``, a class of ``torch.optim``, and its
    arguments), ``backbone_lr`` (factor), ``schedule`` (``type``: poly, cosine, step or triangular; ``warmup`` steps),
    ``clip`` (gradient norm; None or 0 for any), ``validate_on`` (a split, or None).

    Attributes:
        pictures_of: the fused pictures of the training split by id, or None for the visible images.
    """

    pictures_of: Mapping[str, Path] | None = None

    def build(self, config: Any, device: torch.device) -> None:
        """Network, training set, optimiser and schedule.

        Raises:
            FusionbenchError: settings that make no sense.
        """
        need_positive(config, "batch", "limit", "optimiser.lr")
        need_pair(config, "resize", "scale", "crop")
        self.config, self.device = config, device
        self.task = task_of(config.network)
        (self.dataset,) = self.datasets.values()
        self.network = self.task.build(
            config.network, self.dataset, config.channels, config.backbone, config.layout
        ).to(device)
        augment = Augment(_pair(config.resize), config.scale, _pair(config.crop), config.flip)
        self.split = FusedSplit(
            self.dataset,
            config.split or self.dataset.task_splits(self.task.needs)[0],
            augment,
            [self.task.needs],
            self.task.target,
            config.limit,
            pictures=self.pictures_of,
        )
        self.optimiser = optimiser(self.network, config.optimiser, config.backbone_lr)
        steps = max(1, len(self.split) // config.batch) * config.train.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor(config.schedule, steps))

    def state(self) -> Mapping[str, Any]:
        """Network, optimiser, schedule."""
        return {"network": self.network, "optimiser": self.optimiser, "schedule": self.schedule}

    def check(self) -> None:
        """Every image and label of the split, and of the one to validate on."""
        self.split.check()
        if self.config.validate_on:
            self._held().check()

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """One pass in random order."""
        return shuffled(len(self.split), self.config.batch, seed, epoch)

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        """The augmented batch."""
        return self.split.batch(step.groups[0], seed, epoch)

    def names(self, step: Step) -> list[str]:
        """Ids."""
        return self.split.names(step.groups[0])

    def step(self, batch: Batch) -> Mapping[str, Any]:
        """One update of the network."""
        batch = batch.to(self.device)
        self.network.train()
        with self.precision.autocast():
            loss = self.network.loss(network_input(batch.vis, self.network.channels), batch.targets)
        self.precision.update(loss, self.optimiser, clip=self.config.clip)
        self.schedule.step()
        return {"loss": loss.detach(), "lr": self.optimiser.param_groups[0]["lr"]}

    def validate(self) -> Mapping[str, float]:
        """Scores on the visible images of the split ``validate_on``, where the config names one."""
        if not self.config.validate_on:
            return {}
        held = self._held()
        scores = self.task.scores(self.task.classes(self.dataset), self.dataset.ignore_index)
        for index in range(len(held)):
            sample = held.read(index)
            scores.update(*evaluate(self.network, self.task, sample, self.device, _pair(self.config.resize)))
        found = scores.compute()
        return {**found, "score": found[self.task.card.data["columns"][0][0]]}

    def _held(self) -> TrainingSplit:
        return TrainingSplit(self.dataset, self.config.validate_on, None, [self.task.needs], self.task.target)

    def pictures(self) -> Mapping[str, np.ndarray]:
        """Two training samples: what the network sees, the truth, the prediction, side by side."""
        found = {}
        for index in range(min(2, len(self.split))):
            sample = self.split.read(index)
            said, true = evaluate(self.network, self.task, sample, self.device, _pair(self.config.resize))
            found[sample.id] = np.concatenate([sample.vis, drawn(sample.vis, true), drawn(sample.vis, said)], 2)
        return found

    def export(self) -> dict[str, Tensor]:
        """The network's state."""
        return {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}


def evaluate(
    network: TaskNetwork, task: Any, sample: Sample, device: Any, size: tuple[int, int] | None
) -> tuple[Prediction, Target]:
    """What a network says of one sample, and what is true, both at the size of the label.

    Args:
        network: of the task.
        task: whose targets.
        sample: with labels; ``vis`` is what the network sees.
        device: where the network is.
        size: height and width that the network is given, or None for the image's own.
    """
    image = torch.from_numpy(np.ascontiguousarray(sample.vis))[None].to(device).float() / 255
    own = (image.shape[2], image.shape[3])
    if size and size != own:
        image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
    prediction = network.predict(network_input(image, network.channels))[0]
    return at_size(prediction, (image.shape[2], image.shape[3]), own), task.target(sample).to(device)


def at_size(prediction: Prediction, made: tuple[int, int], size: tuple[int, int]) -> Prediction:
    """A prediction made on an image of one (height, width), at that of the label.

    Masks go to the nearest pixel, maps bilinearly, boxes are scaled.
    """
    if made == size:
        return prediction
    changes: dict[str, Tensor] = {}
    if prediction.mask is not None:
        mask = prediction.mask[None, None].float()
        changes["mask"] = nn.functional.interpolate(mask, size, mode="nearest-exact")[0, 0].long()
    if prediction.saliency is not None:
        changes["saliency"] = nn.functional.interpolate(prediction.saliency[None], size, mode="bilinear")[0].clamp(0, 1)
    if prediction.boxes is not None:
        scale = prediction.boxes.new_tensor([size[1] / made[1], size[0] / made[0]] * 2)
        changes["boxes"] = prediction.boxes * scale
    return replace(prediction, **changes)


def _pair(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


def optimiser(network: nn.Module, settings: Mapping[str, Any], backbone_factor: float) -> torch.optim.Optimizer:
    """An optimiser of ``torch.optim``; the backbone's learning rate is the others' times a factor.

    Normalisation layers and biases have no weight decay.

    Raises:
        FusionbenchError: no such class, or arguments it does not take.
    """
    options = dict(settings)
    kind = getattr(torch.optim, str(options.pop("type", "")), None)
    if kind is None:
        raise FusionbenchError(f"optimiser.type={settings.get('type')}: no optimiser of torch.optim")
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(("backbone" in name, parameter.ndim > 1), []).append(parameter)
    lr = options.get("lr", 1e-3)
    rows = [
        {
            "params": found,
            "lr": lr * (backbone_factor if inside else 1),
            **({} if decayed else {"weight_decay": 0.0}),
        }
        for (inside, decayed), found in groups.items()
    ]
    try:
        return kind(rows, **options)
    except (TypeError, ValueError) as error:
        raise FusionbenchError(f"optimiser: {error}; see torch.optim.{kind.__name__}") from None


def factor(settings: Mapping[str, Any], steps: int) -> Callable[[int], float]:
    """The learning rate's factor by step.

    ``poly``: (1 - t)^power; ``cosine``: half a wave to ``last``; ``step``: times ``gamma`` at the fractions ``at``;
    ``triangular``: up to ``peak`` of the way and down again (CTDNet). t is the fraction of all steps after a linear
    warm-up of ``warmup`` steps.

    Raises:
        FusionbenchError: another type.
    """
    kind, warmup = settings.get("type", "poly"), min(int(settings.get("warmup", 0)), steps // 4)

    def shape(t: float) -> float:
        if kind == "poly":
            return (1 - t) ** settings.get("power", 1.0)
        if kind == "cosine":
            last = settings.get("last", 0.01)
            return last + (1 - last) * (1 + math.cos(math.pi * t)) / 2
        if kind == "step":
            return settings.get("gamma", 0.1) ** sum(t >= at for at in settings.get("at", ()))
        peak = settings.get("peak", 0.5)
        return max(t / peak if t < peak else (1 - t) / max(1 - peak, 1e-9), 1e-3)

    if kind not in ("poly", "cosine", "step", "triangular"):
        raise FusionbenchError(f"schedule.type={kind}: choose poly, cosine, step or triangular")

    def of_step(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return shape(min(1.0, (step - warmup) / max(1, steps - warmup)))

    return of_step
