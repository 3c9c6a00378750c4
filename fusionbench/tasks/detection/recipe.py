"""How the detectors are trained: the published settings for one GPU, and the tiny ones."""

from __future__ import annotations

from dataclasses import dataclass

from fusionbench.tasks.recipe import Schedule, TaskRecipe, TaskSettings
from fusionbench.training.settings import Count, Interval, Natural, NotNegative, Positive, Presets, Size


@dataclass(frozen=True, kw_only=True)
class DetectionSettings(TaskSettings):
    """Full size is for one GPU. schedule and clip are those of the YOLO family."""

    network: str = "yolov8-n"  # as in TDFusion; CLDyN has yolov5-s
    batch: Count = 16  # ours
    resize: Size | None = (480, 640)  # ours: M3FD and MSRS at 640 columns
    scale: Interval | None = (0.6, 1.6)  # ours
    crop: Size | None = (480, 640)  # ours: the size that the network sees
    optimiser_type: str = "SGD"  # YOLOv5 and YOLOv8
    optimiser_lr: Positive = 0.01  # YOLOv5 and YOLOv8
    optimiser_momentum: NotNegative | None = 0.937  # YOLOv5 and YOLOv8
    optimiser_weight_decay: NotNegative = 5e-4  # YOLOv5 and YOLOv8
    optimiser_nesterov: bool | None = True  # YOLOv5 and YOLOv8
    schedule_type: Schedule = "cosine"  # YOLOv5 and YOLOv8, option cos_lr
    schedule_last: NotNegative = 0.01  # YOLOv5 and YOLOv8
    schedule_warmup: Natural = 300  # ours
    clip: NotNegative | None = 10.0  # YOLOv5 and YOLOv8
    epochs: Count = 200  # ours


PRESETS = Presets(
    record=DetectionSettings,
    # LLVIP: 1280x1024, persons by night, 12,025 training pairs. MSRS and M3FD (1024x768 and smaller) as they are above.
    datasets={"llvip": {"resize": (512, 640), "crop": (512, 640), "epochs": 40}},
    # Transformers and pretrained ResNets want another optimiser than the YOLO family.
    networks={
        "detr-r50": {
            "optimiser_type": "AdamW",
            "optimiser_lr": 1e-4,
            "optimiser_momentum": None,
            "optimiser_weight_decay": 1e-4,
            "optimiser_nesterov": None,
            "backbone_lr": 0.1,
            "clip": 0.1,
            "schedule_type": "step",
            "schedule_at": (0.67,),
            "schedule_gamma": 0.1,
        },
        "retinanet-r18": {"optimiser_weight_decay": 1e-4, "optimiser_momentum": 0.9},
    },
    # For two cores and no pretrained backbone.
    sizes={
        "tiny": {
            "batch": 4,
            "limit": 96,
            "resize": (128, 160),
            "scale": None,
            "crop": None,
            "optimiser_type": "AdamW",
            "optimiser_lr": 1e-3,
            "optimiser_momentum": None,
            "optimiser_weight_decay": 0.01,
            "optimiser_nesterov": None,
            "schedule_warmup": 24,
            "epochs": 30,
            "workers": 0,
            "log_every": 1,
            "save_every": 50,
        },
        # For a network that starts from released weights (--from): windows of the pictures as they are.
        "finetune": {
            "batch": 8,
            "resize": None,
            "scale": None,
            "crop": (320, 416),
            "optimiser_type": "AdamW",
            "optimiser_lr": 5e-4,
            "optimiser_momentum": None,
            "optimiser_weight_decay": 0.01,
            "optimiser_nesterov": None,
            "backbone_lr": 0.0,
            "schedule_warmup": 8,
            "epochs": 1,
            "workers": 0,
            "log_every": 1,
            "save_every": 50,
        },
    },
)


class DetectionRecipe(TaskRecipe[DetectionSettings]):
    """See :class:`fusionbench.tasks.recipe.TaskRecipe`."""

    presets = PRESETS
