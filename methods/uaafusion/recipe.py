"""Training UAAFusion: fusion and segmentation together, sources weighted by what matters to the segmentation.

Bai et al., IEEE TCSVT 2024, section III; values and procedure of the authors' ``train.py`` and
``data/processing_img2patch.py``. There the segmentation network starts from weights that they trained before
(``--from`` a released checkpoint does so here; without it both begin anew), and patches are cut once, without those of
low contrast; here windows have random places. As released, batch statistics and dropout of the segmentation network are
those of training also where it only says what matters, and its scores, a sigmoid's, go into the cross entropy as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.errors import FusionbenchError
from fusionbench.methods._mobilenet import CLASSES
from fusionbench.methods.losses.attribution import attributed_distance, class_attribution, labelled
from fusionbench.methods.losses.gradients import gradient_max
from fusionbench.methods.pair_recipe import SplitRecipe, SplitSettings
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.distributed import average_gradients
from fusionbench.training.recipe import Stateful
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import UAAFusionNet


@dataclass(frozen=True, kw_only=True)
class UAAFusionSettings(SplitSettings):
    """Each value with its source: code (the authors') or ours."""

    split: str = "train"  # code: FMB's
    batch: Count = 8  # code
    patch: Count = 256  # side of the random windows; code: cut once
    lr: Positive = 1e-4  # of Adam, both networks; code
    halved: Count = 10  # epochs after which rates are halved; code
    steps: Count = 5  # along the path of the attribution; code
    gradient: NotNegative = 1.0  # code
    segmentation: NotNegative = 0.1  # code
    epochs: Count = 40  # code


class UAAFusionRecipe(SplitRecipe[UAAFusionSettings]):
    """One loss, one backward pass, two optimisers."""

    presets = Presets(
        record=UAAFusionSettings,
        lengths=("epochs", "halved"),
        sizes={"tiny": {"batch": 2, "patch": 48, "lr": 1e-3, "steps": 1, "epochs": 6}},
    )

    def build(self, settings: UAAFusionSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: more classes than the network tells apart, or fp16.
        """
        (dataset,) = self.datasets.values()
        if len(dataset.classes) > CLASSES:
            raise FusionbenchError(f"{dataset.name} has {len(dataset.classes)} classes, the network tells {CLASSES}")
        if settings.precision == "fp16":
            raise FusionbenchError("precision=fp16: slopes of one pixel underflow in fp16; use fp32 or bf16")
        self.settings, self.device = settings, device
        self.net = UAAFusionNet().to(device).train()
        parts = {"fusion": self.net.model_f, "segmentation": self.net.model_s}
        self.adam = {name: torch.optim.Adam(part.parameters(), lr=settings.lr) for name, part in parts.items()}
        self.schedules = {
            name: torch.optim.lr_scheduler.StepLR(adam, settings.halved, 0.5) for name, adam in self.adam.items()
        }
        augment = Augment(crop=(settings.patch, settings.patch), flip=0.0)
        self.pairs = TrainingSplit(dataset, settings.split, augment, ["mask"])

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        adam = {f"adam_{name}": part for name, part in self.adam.items()}
        schedules = {f"schedule_{name}": part for name, part in self.schedules.items()}
        return {"network": self.net, **adam, **schedules}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        batch, s = batch.to(self.device), self.settings
        ir, vis = batch.ir, grey(batch.vis)
        labels = torch.stack([target["mask"] for target in batch.targets])
        labels = labels.where(labels < CLASSES, 0)  # what the dataset ignores is class 0, which does not count
        hot = F.one_hot(labels, CLASSES).permute(0, 3, 1, 2).to(ir.dtype)
        with self.precision.autocast():
            matter = [class_attribution(self.net.model_s, image, labels, s.steps) for image in (ir, vis)]
            fused = self.net(ir, vis, hot)
            seen = [labelled(self.net.model_s(image), labels) for image in (fused, ir, vis)]
        terms = {
            "intensity": attributed_distance(fused.float(), (ir, vis), (matter[0], matter[1])),
            "gradient": s.gradient * gradient_max(fused.float(), ir, vis),
            "segmentation": s.segmentation * torch.stack(seen).mean(),
        }
        loss = torch.stack(list(terms.values())).sum()
        self.adam["segmentation"].zero_grad(set_to_none=True)
        self.precision.update(loss, self.adam["fusion"])
        self.follow()
        return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}

    def follow(self) -> None:
        """Move the segmentation network by the gradients of the same backward pass."""
        average_gradients(self.net.model_s.parameters())
        self.adam["segmentation"].step()

    def epoch_end(self, epoch: int) -> None:
        """See :meth:`Recipe.epoch_end`."""
        for schedule in self.schedules.values():
            schedule.step()

    def export(self) -> dict[str, Tensor]:
        """Both networks, ``model_f.NAME`` and ``model_s.NAME`` as the authors' checkpoint holds them."""
        return {name: value.detach().cpu().contiguous() for name, value in self.net.state_dict().items()}
