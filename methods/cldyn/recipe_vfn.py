"""Training CLDyN's fusion network (stage ``vfn``): luma of both images, all datasets in one run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.colour import luma
from fusionbench.data import Sample
from fusionbench.training.data import Augment, Batch, TrainingSplit, collate
from fusionbench.training.order import Step, randomness, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets, Settings

from .vfn import VFN

Variant = Literal["released", "paper"]
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel(x: Tensor) -> Tensor:
    """|horizontal| + |vertical| Sobel response of ``[B,1,H,W]``, the border padded with zeros; same shape."""
    kernel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device)
    with torch.autocast(x.device.type, enabled=False):  # differences of neighbours do not survive half precision
        return F.conv2d(x, torch.stack((kernel, kernel.T))[:, None], padding=1).abs().sum(1, keepdim=True)


def fusion_loss(
    fused: Tensor, ir: Tensor, vi: Tensor, weight: float, variant: Variant = "released"
) -> dict[str, Tensor]:
    """What the fused luma is trained by.

    Args:
        fused: ``[B,1,H,W]`` in [0,1].
        ir: infrared.
        vi: luma of visible.
        weight: of the intensity term (``released``: 0.2), or lambda, of the gradient term (``paper``).
        variant: ``released``: ``weight * L1(fused, max) + L1(gradients)``; ``paper`` (equation 1): ``L1(fused, max) +
            weight * L1(gradients)``. The target is the larger image, and the larger Sobel magnitude, at each pixel.

    Returns:
        ``loss`` and its terms ``intensity`` and ``gradient``, scalars.
    """
    intensity = F.l1_loss(fused, torch.maximum(ir, vi))
    gradient = F.l1_loss(sobel(fused), torch.maximum(sobel(ir), sobel(vi)))
    loss = weight * intensity + gradient if variant == "released" else intensity + weight * gradient
    return {"loss": loss, "intensity": intensity, "gradient": gradient}


def turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """A square sample mirrored top to bottom and rotated by quarters, at random; its labels are left out."""
    mirror, quarters = bool(rng.integers(2)), int(rng.integers(4))

    def turn(image: Any) -> Any:
        if isinstance(image, Tensor):
            return torch.rot90(image.flip(1) if mirror else image, quarters, (1, 2))
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirror else image, quarters, (1, 2)))

    return Sample(sample.id, sample.split, turn(sample.ir), turn(sample.vis))


@dataclass(frozen=True, kw_only=True)
class VFNSettings(Settings):
    """Adam, learning rate, batch, crop and loss weights are the released ones."""

    blocks: Count = 2  # L; the released training script says 4 and its tests 2
    variant: Variant = "released"  # of the loss, see fusion_loss; paper: the weight is lambda, of the gradient term
    weight: NotNegative = 0.2  # in the loss, see fusion_loss; released
    lr: Positive = 1e-3  # of Adam; released
    decay_every: Count | None = None  # epochs; None: one rate throughout, as released
    decay: Positive = 0.1  # factor of the rate then; ours
    norms: Literal["batch", "kept"] = "batch"  # kept: batch normalisation keeps the statistics it has, see --from; ours
    batch: Count = 16  # released
    crop: Count = 256  # side in pixels; released
    splits_roadscene: str = "test"  # of RoadScene, which has no other; all other datasets: train
    limit: Count | None = None  # pairs of each dataset
    validate: Natural = 20  # pairs of each dataset's test split, 0 for none; ours
    epochs: Count = 100  # ours
    workers: Natural = 4  # ours
    log_every: Count = 10  # ours
    picture_every: Natural = 10  # ours


PRESETS = Presets(
    record=VFNSettings,
    # For two processor cores and images of 128x160.
    sizes={
        "tiny": {
            "batch": 4,
            "crop": 64,
            "validate": 4,
            "epochs": 20,
            "workers": 0,
            "log_every": 1,
            "save_every": 50,
        }
    },
)


class VFNRecipe(Recipe[VFNSettings, Batch]):
    """An epoch is one pass over the training splits of all datasets, shuffled together."""

    presets = PRESETS

    def build(self, settings: VFNSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        self.settings, self.device = settings, device
        self.vfn = VFN(settings.blocks).to(device)
        self.optimiser = torch.optim.Adam(self.vfn.parameters(), lr=settings.lr)
        augment = Augment(crop=(settings.crop, settings.crop))
        splits = {"roadscene": settings.splits_roadscene}
        self.parts = [
            TrainingSplit(dataset, splits.get(name, "train"), augment, limit=settings.limit)
            for name, dataset in self.datasets.items()
        ]
        self.ends = list(accumulate(len(part) for part in self.parts))

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {"vfn": self.vfn, "optimiser": self.optimiser}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        for part in self.parts:
            part.check()

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return self.parts

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        return [self.vfn]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`."""
        return shuffled(self.ends[-1], self.settings.batch, seed, epoch)

    def names(self, step: Step) -> list[str]:
        """Ids, with the dataset's name where there are several."""
        samples = [self._locate(index) for index in step.groups[0]]
        several = len(self.parts) > 1
        return [f"{part.dataset.name} {part.ids[i]}" if several else part.ids[i] for part, i in samples]

    def load(self, step: Step, epoch: int, seed: int) -> Batch:
        """Crops, mirrored and rotated."""
        return collate([self._sample(index, epoch, seed) for index in step.groups[0]])

    def _locate(self, index: int) -> tuple[TrainingSplit, int]:
        """The split of an index over all datasets, and the index within it."""
        number = bisect_right(self.ends, index)
        return self.parts[number], index - (self.ends[number - 1] if number else 0)

    def _sample(self, index: int, epoch: int, seed: int) -> Sample:
        part, own = self._locate(index)
        rng = randomness(seed, epoch, index)
        assert part.augment is not None
        return turned(part.augment(part.held(own), rng), rng)

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        batch = batch.to(self.device)
        self.vfn.train(self.settings.norms == "batch")
        with self.precision.autocast():
            values = self._loss(batch)
        self.precision.update(values["loss"], self.optimiser)
        return {name: value.detach() for name, value in values.items()}

    def _loss(self, batch: Batch) -> dict[str, Tensor]:
        vi = luma(batch.vis)
        fused = self.vfn(batch.ir, vi)
        return fusion_loss(fused.float(), batch.ir, vi, self.settings.weight, self.settings.variant)

    def epoch_end(self, epoch: int) -> None:
        """Lower the learning rate where asked; it is part of the optimiser's state."""
        every = self.settings.decay_every
        if every and (epoch + 1) % every == 0:
            for group in self.optimiser.param_groups:
                group["lr"] *= self.settings.decay

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        """The mean loss of whole test pairs, per dataset; the score is the mean of the datasets, negative.

        A dataset whose test pairs are trained on counts in neither.
        """
        losses: dict[str, float] = {}
        self.vfn.eval()
        for part in self.parts:
            if part.split == "test":
                continue  # it has no other
            name, dataset = part.dataset.name, part.dataset
            test = TrainingSplit(dataset, "test", limit=self.settings.validate)
            values = [float(self._loss(test.batch([i], 0, 0).to(self.device))["loss"]) for i in range(len(test))]
            if values:
                losses[name] = sum(values) / len(values)
        return {**losses, "score": -sum(losses.values()) / len(losses)} if losses else {}

    @torch.no_grad()
    def pictures(self) -> Mapping[str, np.ndarray]:
        """Infrared, visible and fused luma of the first training pair, each uint8 ``[1,H,W]``."""
        self.vfn.eval()
        sample = self.parts[0].read(0)
        batch = collate([sample]).to(self.device)
        fused = self.vfn(batch.ir, luma(batch.vis))
        shown = {"ir": batch.ir, "vis": luma(batch.vis), "fused": fused}
        return {name: (x[0] * 255).round().clamp(0, 255).byte().cpu().numpy() for name, x in shown.items()}

    def export(self) -> dict[str, Tensor]:
        """``vfn.*``."""
        return {f"vfn.{name}": value.detach().cpu().contiguous() for name, value in self.vfn.state_dict().items()}
