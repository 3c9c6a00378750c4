"""How CTDNet is trained: on one GPU as its released code does, and tiny."""

from __future__ import annotations

from dataclasses import dataclass

from fusionbench.tasks.recipe import Backbone, Schedule, TaskRecipe, TaskSettings
from fusionbench.training.settings import Count, Interval, NotNegative, Positive, Presets, Size


@dataclass(frozen=True, kw_only=True)
class SaliencySettings(TaskSettings):
    """Full size is for one GPU."""

    network: str = "ctdnet-18"  # as in CLDyN
    layout: Backbone = "torchvision"  # of the ResNet-18
    batch: Count = 32  # CTDNet, released
    resize: Size | None = (352, 352)  # ours, usual in salient object detection
    scale: Interval | None = (0.75, 1.25)  # ours
    crop: Size | None = (256, 256)  # ours: fits into 352 at the smallest scale
    optimiser_type: str = "SGD"  # CTDNet, released; so are the next four
    optimiser_lr: Positive = 0.05
    optimiser_momentum: NotNegative | None = 0.9
    optimiser_weight_decay: NotNegative = 5e-4
    optimiser_nesterov: bool | None = True
    backbone_lr: NotNegative = 0.1  # for a pretrained backbone; random weights want 1
    schedule_type: Schedule = "triangular"  # CTDNet, released
    schedule_peak: Positive = 0.5  # CTDNet, released: half way
    epochs: Count = 40  # CTDNet, released


PRESETS = Presets(
    record=SaliencySettings,
    # For two cores and no pretrained backbone.
    sizes={
        "tiny": {
            "batch": 4,
            "limit": 64,
            "resize": (96, 128),
            "scale": None,
            "crop": None,
            "optimiser_type": "AdamW",
            "optimiser_lr": 1e-3,
            "optimiser_momentum": None,
            "optimiser_weight_decay": 0.01,
            "optimiser_nesterov": None,
            "backbone_lr": 1.0,
            "epochs": 12,
            "workers": 0,
            "log_every": 1,
            "save_every": 50,
        }
    },
)


class SaliencyRecipe(TaskRecipe[SaliencySettings]):
    """See :class:`fusionbench.tasks.recipe.TaskRecipe`."""

    presets = PRESETS
