"""How the segmentation networks are trained: the published settings for one GPU, and the tiny ones."""

from __future__ import annotations

from dataclasses import dataclass

from fusionbench.tasks.recipe import Schedule, TaskRecipe, TaskSettings
from fusionbench.training.settings import Count, Interval, Natural, NotNegative, Positive, Presets, Size


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings(TaskSettings):
    """Full size is for one GPU."""

    network: str = "segformer-b0"  # as in TDFusion; CLDyN has segformer-b2
    batch: Count = 8  # SegFormer, section 4.1 (Cityscapes)
    scale: Interval | None = (0.5, 2.0)  # SegFormer, section 4.1
    crop: Size | None = (480, 480)  # ours: the height of MSRS
    optimiser_type: str = "AdamW"  # SegFormer, section 4.1
    optimiser_lr: Positive = 6e-4  # SegFormer, section 4.1: head 10 x 6e-5
    optimiser_weight_decay: NotNegative = 0.01  # SegFormer's released configs
    schedule_type: Schedule = "poly"  # SegFormer, section 4.1
    schedule_power: Positive = 1.0  # SegFormer, section 4.1
    schedule_warmup: Natural = 1500  # SegFormer's released configs
    epochs: Count = 120  # ours


PRESETS = Presets(
    record=SegmentationSettings,
    datasets={"fmb": {"crop": (480, 640)}},  # of 800x600
    # For two cores and no pretrained backbone.
    sizes={
        "tiny": {
            "batch": 4,
            "limit": 64,
            "resize": (96, 128),
            "scale": None,
            "crop": None,
            "optimiser_lr": 1e-3,
            "schedule_warmup": 16,
            "epochs": 20,
            "workers": 0,
            "log_every": 1,
            "save_every": 50,
        }
    },
)


class SegmentationRecipe(TaskRecipe[SegmentationSettings]):
    """See :class:`fusionbench.tasks.recipe.TaskRecipe`."""

    presets = PRESETS
