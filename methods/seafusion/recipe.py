"""Training SeAFusion: rounds of fusion, which a segmentation network guides, and of that network.

Tang, Yuan and Ma, Information Fusion 82, 2022, section 3; values of the authors' ``train.py`` and ``loss.py``. As
there the fusion network of every round begins anew, and the segmentation network goes on. Theirs is BiSeNet; it is not
among ours, nor is the second output that its loss has a share of. They fuse the training set into files before the
segmentation learns from it; here the pairs are cut, scaled and mirrored before they are fused, and their colours do not
jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from fusionbench.colour import luma
from fusionbench.data import Dataset
from fusionbench.errors import FusionbenchError
from fusionbench.methods.losses.gradients import gradient_max, intensity_max
from fusionbench.methods.losses.semantic import hard_cross_entropy
from fusionbench.methods.semantic_loop import LoopRecipe, LoopSettings, Part, Turn, forgotten, groups, stored
from fusionbench.tasks.network import Target, TaskNetwork
from fusionbench.tasks.task import Task
from fusionbench.training.data import Augment, Batch
from fusionbench.training.settings import Count, Interval, Natural, NotNegative, Positive, Presets, Size

from .network import SeAFusionNet, Sobel

SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


@dataclass(frozen=True, kw_only=True)
class SeAFusionSettings(LoopSettings):
    """Each value with its source: code (the authors') or ours."""

    network: str = "segformer-b0"  # of segmentation; ours; code: BiSeNet
    backbone: str | None = None  # a local file of its encoder; ours; code: a ResNet-18 of ImageNet
    split: str = "train"  # code: of MSRS
    batch: Count = 16  # code
    crop: Size | None = None  # of the fusion, a random window; code: whole pictures
    passes: Count = 10  # over the split in a round, of the fusion; code
    lr: Positive = 1e-3  # of Adam in the second pass of a round; code
    decay: Positive = 0.75  # of it in a pass; code
    weight_gradient: NotNegative = 10.0  # code
    weight_semantic: NotNegative = 1.0  # times the number of the round before; code
    task_steps: Count = 20000  # of the segmentation in a round; code
    task_scale: Interval | None = (0.75, 2.0)  # code: one of six sizes in this range
    task_crop: Size = (480, 640)  # code
    task_lr: Positive = 6e-4  # of AdamW; ours, see fusionbench/tasks/segmentation/recipe.py; code: SGD, 1e-2
    task_decay: NotNegative = 0.01  # ours, as above; code: 5e-4
    task_warmup: Natural = 1000  # steps in which the rate rises from a thousandth, by equal factors; code
    task_power: Positive = 0.9  # with which it falls, over all rounds; code
    hard: Count = 16  # the hardest pixel of so many counts at least; code
    certain: Positive = 0.7  # pixels below this probability are hard; code
    epochs: Count = 4  # rounds; code
    workers: Natural = 4  # code
    log_every: Count = 10  # code


class SeAFusionRecipe(LoopRecipe[SeAFusionSettings]):
    """Two terms, and segmentation from the second round on."""

    presets = Presets(
        record=SeAFusionSettings,
        lengths=("passes", "task_steps", "task_warmup"),
        sizes={
            "tiny": {
                "network": "segformer-tiny",
                "batch": 4,
                "crop": (48, 64),
                "passes": 5,
                "task_steps": 8,
                "task_scale": None,
                "task_crop": (64, 80),
                "task_lr": 2e-3,
                "task_warmup": 4,
                "epochs": 3,
                "workers": 0,
                "log_every": 1,
            }
        },
    )

    def fusion_network(self) -> SeAFusionNet:
        """See :meth:`LoopRecipe.fusion_network`; filters begin as Sobel's."""
        network, kernel = SeAFusionNet(), torch.tensor(SOBEL)
        with torch.no_grad():
            for part in network.modules():
                if isinstance(part, Sobel):
                    part.convx.weight.copy_(kernel.expand_as(part.convx.weight))
                    part.convy.weight.copy_(kernel.T.expand_as(part.convy.weight))
        return network

    def task_network(self, dataset: Dataset) -> tuple[Task, TaskNetwork]:
        """See :meth:`LoopRecipe.task_network`.

        Raises:
            FusionbenchError: one that does not give logits of classes.
        """
        task, network = super().task_network(dataset)
        if not hasattr(network, "logits"):
            raise FusionbenchError(f"network={self.settings.network}: gives no logits of classes; take segformer-b0")
        return task, network

    def optimiser(self, part: Part, network: nn.Module) -> torch.optim.Optimizer:
        """Adam, and AdamW."""
        if part == "fusion":
            return torch.optim.Adam(network.parameters())
        return torch.optim.AdamW(groups(network, self.settings.task_decay))

    def steps(self, part: Part, round: int) -> int:
        """See :meth:`LoopRecipe.steps`."""
        return self.settings.passes * self.passes(part) if part == "fusion" else self.settings.task_steps

    def rate(self, turn: Turn) -> float:
        """Of the fusion by passes of the round; of the segmentation by steps of all rounds."""
        s = self.settings
        if turn.part == "fusion":
            rate: float = s.lr * s.decay ** (turn.number // self.passes("fusion") - 1)
            return rate
        done, total = turn.round * s.task_steps + turn.number, s.epochs * s.task_steps
        if done < s.task_warmup:
            return float(s.task_lr * 1e-3 ** (1 - done / s.task_warmup))
        return float(s.task_lr * (1 - (done - s.task_warmup) / (total - s.task_warmup)) ** s.task_power)

    def augment(self, part: Part) -> Augment:
        """See :meth:`LoopRecipe.augment`."""
        s = self.settings
        return Augment(crop=s.crop, flip=0.0) if part == "fusion" else Augment(scale=s.task_scale, crop=s.task_crop)

    def fused(self, ir: Tensor, vis: Tensor) -> Tensor:
        """See :meth:`LoopRecipe.fused`."""
        fused: Tensor = self.net(luma(vis), ir)
        return fused

    def fusion_losses(self, fused: Tensor, batch: Batch, turn: Turn) -> dict[str, Tensor]:
        """Intensity and weighted gradient of the larger source (equations 4 to 6)."""
        vis = luma(batch.vis)
        intensity, gradient = intensity_max(fused, batch.ir, vis), gradient_max(fused, batch.ir, vis)
        loss = intensity + self.settings.weight_gradient * gradient
        return {"loss": loss, "intensity": intensity, "gradient": gradient}

    def semantic_weight(self, turn: Turn) -> float:
        """It grows by rounds."""
        return self.settings.weight_semantic * turn.round

    def task_loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """Cross entropy of the hard pixels."""
        (dataset,) = self.datasets.values()
        ignored = 255 if dataset.ignore_index is None else dataset.ignore_index
        labels = torch.stack([target.mask for target in targets if target.mask is not None])
        s = self.settings
        logits: Tensor = cast("Any", self.task).logits(images)
        return hard_cross_entropy(logits.float(), labels, s.hard, s.certain, ignored)

    def as_read(self, fused: Tensor) -> Tensor:
        """As the files that they fuse into."""
        return stored(fused)

    def round_ends(self, round: int) -> None:
        """The fusion begins anew, and the moments of both; the segmentation network stays."""
        self.net.load_state_dict(self.fusion_network().state_dict())
        for optimiser in self.moves.values():
            forgotten(optimiser)
