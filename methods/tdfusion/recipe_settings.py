"""The settings of TDFusion's training: the released procedure, its network and sizes by dataset, and the tiny ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionbench.training.meta import Way
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets, Settings, Size

Ablation = Literal["fixed", "no-gradient", "direct", "joint", "average"]
ABLATIONS: dict[Ablation, str] = {
    "fixed": "w_a = w_b = 0.5 everywhere: no G, no meta steps (the paper's I)",
    "no-gradient": "fusion loss without the gradient term (II)",
    "direct": "no G: w = 0.5, and the task loss is added to the fusion loss that moves F (III)",
    "joint": "no pass of its own for F: as many meta steps as the pass has, in each of which F and T stay moved (IV)",
    "average": "no F: the image is the average of the sources by the weights of G, which the task loss moves (V)",
}
WITHOUT_META = ("fixed", "direct", "average")


@dataclass(frozen=True, kw_only=True)
class TDFusionSettings(Settings):
    """Values are the released ones, which are the paper's (section 3), where not said otherwise."""

    network: str = "segformer-b0"  # T, any registered one-stage network; which one for which dataset: released
    backbone: str | None = None  # a local file for T's
    layout: Literal["openmmlab", "torchvision", "timm"] = "openmmlab"  # whose names that file uses
    trained: str | None = None  # folder or weights of a one-channel T to begin from; ours, for runs too short for T
    split: str = "train"  # of the dataset, or a list file
    limit: Count | None = None  # only the first so many pairs
    variant: Literal["released", "paper"] = "released"  # where paper and released code differ, see recipe.py
    ablation: Ablation | None = None  # what is left out, see ABLATIONS; None: nothing
    batch: Count = 2  # images through F in a step; released: half of them are pairs
    meta_steps: Natural = 200  # M
    crop: Size = (256, 256)  # (height, width) for the fusion loss
    task_size: Size = (300, 400)  # (height, width) of what T sees
    alpha: NotNegative = 1.0  # of the gradient term
    lr_fusion: Positive = 1e-4  # of F (Adam)
    lr_task: Positive = 1e-4  # of T (Adam)
    lr_proposal: Positive = 1e-4  # of G (released: by the largest gradient, paper: Adam)
    lr_inner: Positive = 1e-4  # of the inner step (plain gradient descent)
    decay: Positive = 0.1  # factor of all of them
    decay_every: Count = 10  # epochs
    derivative: Way = "product"  # of G's gradient, see fusionbench.training.meta: the same numbers; released: graph
    checkpointing: bool = False  # compute intermediate results of F and G twice, block by block: half the memory
    restore_moments: bool = False  # put T's Adam moments back after a meta step as well; ours, see docs/tdfusion.md
    epochs: Count = 40  # L


PRESETS = Presets(
    record=TDFusionSettings,
    lengths=("epochs", "decay_every"),
    datasets={
        "fmb": {"network": "segformer-b0", "task_size": (300, 400)},  # half of 800x600
        "msrs": {"network": "segformer-b0", "task_size": (240, 320)},  # half of 640x480
        "m3fd": {"network": "yolov8-n", "task_size": (192, 256)},  # a quarter of 1024x768
        # A quarter of 1280x1024, and the tenth of the training pairs that the authors list.
        "llvip": {"network": "yolov8-n", "split": "tdfusion-train", "task_size": (256, 320)},
    },
    sizes={
        "tiny": {
            "crop": (64, 64),
            "meta_steps": 15,
            "lr_fusion": 2e-3,
            "lr_task": 2e-3,
            "lr_proposal": 3e-3,
            "lr_inner": 2e-3,
            "decay_every": 4,
            "epochs": 4,
        }
    },
    dataset_sizes={
        "tiny": {
            "fmb": {"network": "segformer-tiny", "task_size": (64, 80)},
            "msrs": {"network": "segformer-tiny", "task_size": (64, 80)},
            "m3fd": {"network": "yolov8-tiny", "task_size": (80, 100)},
            "llvip": {"network": "yolov8-tiny", "split": "train", "task_size": (80, 100)},
        }
    },
)
