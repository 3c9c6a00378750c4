"""Training DetFusion's fusion path: content that knows objects, gradients, and what a detector loses.

Sun et al., ACM MM 2022, section 3; values of the authors' ``configs/DetFusion.py``, procedure of their
``mmdet/models/detectors/detfusion.py``. There the path hangs in two Faster R-CNN, one a modality, that learn on the
sources' features; their loss on the fused image moves the fusion alone. What the recipe does otherwise:

* the detector is one of ours, a network of its own with our loss: it learns on both sources, and its loss on the fused
  image moves the fusion path alone;
* the path's backbones have no detector of their own, so they learn through the attention, which is cut off from the
  fusion's loss there; they begin anew instead of with ImageNet's ResNet-50 (``--from`` takes a released checkpoint).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.errors import FusionbenchError
from fusionbench.methods.losses.detection import object_content
from fusionbench.methods.losses.gradients import gradient_max
from fusionbench.methods.pair_recipe import SplitRecipe, SplitSettings
from fusionbench.tasks.task import task_of
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.recipe import Stateful
from fusionbench.training.settings import Count, NotNegative, Positive, Presets, Size

from . import DEVIATION, MEAN, STEP
from .network import DetFusionNet


@dataclass(frozen=True, kw_only=True)
class DetFusionSettings(SplitSettings):
    """Each value with its source: code (the authors' configuration) or ours."""

    split: str = "train"  # code: of LLVIP
    batch: Count = 4  # code
    resize: Size = (512, 640)  # height and width of the whole image, multiples of 32; code
    lr: Positive = 1e-4  # of Adam; code
    weight_decay: NotNegative = 1e-4  # code
    falls: Count = 18  # epoch after which the rate is a tenth; code: 6, each of three passes
    clip: Positive = 35.0  # largest norm of the gradient; code
    gradient: NotNegative = 5.0  # code
    content: NotNegative = 1.0  # code
    detection: NotNegative = 1.0  # code
    network: str = "yolov5-s"  # detector; ours
    epochs: Count = 24  # code: 8, each of three passes


class DetFusionRecipe(SplitRecipe[DetFusionSettings]):
    """In each step the fusion path, then the detector."""

    presets = Presets(
        record=DetFusionSettings,
        lengths=("epochs", "falls"),
        sizes={"tiny": {"batch": 2, "resize": (64, 64), "network": "yolov5-tiny", "falls": 3, "epochs": 4}},
    )

    def build(self, settings: DetFusionSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: no detector, or sides that are no multiples of 32.
        """
        task = task_of(settings.network)
        if task.needs != "boxes":
            raise FusionbenchError(f"network={settings.network}: needs a detector, such as yolov5-s")
        if any(side % STEP for side in settings.resize):
            raise FusionbenchError(f"resize={settings.resize}: height and width must be multiples of {STEP}")
        self.settings, self.device = settings, device
        (dataset,) = self.datasets.values()
        self.net = DetFusionNet().to(device).train()
        self.detector = task.build(settings.network, dataset, 3).to(device).train()
        parts = {"fusion": self.net, "detector": self.detector}
        self.adam = {
            name: torch.optim.Adam(part.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
            for name, part in parts.items()
        }
        augment = Augment(resize=settings.resize, flip=0.0)
        self.pairs = TrainingSplit(dataset, settings.split, augment, [task.needs], task.target)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        adam = {f"adam_{name}": part for name, part in self.adam.items()}
        return {"network": self.net, "detector": self.detector, **adam}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        batch, s = batch.to(self.device), self.settings
        ir, vis = batch.ir, grey(batch.vis)
        with self.precision.autocast():
            fused = self.fused(ir, vis)
            detected = self.detected(fused, batch)
        fused = fused.float()
        terms = {
            "gradient": s.gradient * gradient_max(fused, ir, vis),
            "content": s.content * object_content(fused, ir, vis, [target.boxes for target in batch.targets]),
            "detection": s.detection * detected,
        }
        loss = torch.stack(list(terms.values())).sum()
        self.precision.update(loss, self.adam["fusion"], s.clip)
        with self.precision.autocast():
            sources = (self.detected(ir, batch) + self.detected(vis, batch)) / 2
        self.precision.update(sources, self.adam["detector"], s.clip)
        return {name: value.detach() for name, value in {"loss": loss, **terms, "detector": sources}.items()}

    def fused(self, ir: Tensor, vis: Tensor) -> Tensor:
        """What the path makes of images in [0,1]; of no fixed range."""
        mean, deviation = (ir.new_tensor(figures)[:, None, None] for figures in (MEAN, DEVIATION))
        fused: Tensor = self.net((255 * vis - mean) / deviation, (255 * ir - mean) / deviation, 255 * vis, 255 * ir)
        return fused

    def detected(self, image: Tensor, batch: Batch) -> Tensor:
        """The detector's loss on a grey image."""
        return self.detector.loss(image.clamp(0, 1).expand(-1, 3, -1, -1), batch.targets)

    def epoch_end(self, epoch: int) -> None:
        """The rate of the next epoch."""
        for group in (group for adam in self.adam.values() for group in adam.param_groups):
            group["lr"] = self.settings.lr * (0.1 if epoch + 1 >= self.settings.falls else 1.0)

    def export(self) -> dict[str, Tensor]:
        """The fusion path, named as in the authors' checkpoint."""
        return {name: value.detach().cpu().contiguous() for name, value in self.net.state_dict().items()}
