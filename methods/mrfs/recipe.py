"""Training MRFS: one network learns to fuse and to segment in every step.

Zhang et al., CVPR 2024, section 3; values of the authors' ``train.py`` and ``utils/loss_utils.py`` for each dataset.
Both heads are trained with batch normalisation of eps 0.01, and run with 1e-5, as released. Theirs scales pictures to
below the window too and pads them; here a picture stays as large as the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from fusionbench.methods._depth import deepen
from fusionbench.methods._mit import SMALLEST, begun
from fusionbench.methods.losses.colour import chroma_l1, with_contrast, with_gamma
from fusionbench.methods.losses.gradients import intensity_max, signed_gradient_max
from fusionbench.methods.losses.semantic import cross_entropy
from fusionbench.methods.pair_recipe import SplitRecipe, SplitSettings
from fusionbench.methods.semantic_loop import at_least, groups
from fusionbench.plugins.weights import read_tensors
from fusionbench.tasks.network import fit
from fusionbench.tasks.task import task
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.recipe import Stateful
from fusionbench.training.settings import (
    Count,
    Interval,
    Natural,
    NotNegative,
    Positive,
    Presets,
    Probability,
    Size,
)

from .network import SIZES, MRFSNet


@dataclass(frozen=True, kw_only=True)
class MRFSSettings(SplitSettings):
    """Each value with its source: code (the authors', for FMB) or ours."""

    network: Literal["mit-b4", "tiny"] = "mit-b4"  # size of the encoders; code
    backbone: str | None = None  # a local file of both encoders; code: MiT-B4 of ImageNet
    split: str = "train"  # code
    batch: Count = 6  # code
    scale: Interval | None = (0.5, 1.75)  # code: one of six sizes in this range
    crop: Size = (480, 640)  # code
    lr: Positive = 6e-5  # of AdamW; code
    decay: NotNegative = 0.01  # of weights, not of biases and normalisation; code
    warmup: Natural = 5000  # passes in which the rate rises to lr; code
    power: Positive = 0.9  # with which it falls, to the end of training; code
    depth: Probability = 0.1  # how often the last block of an encoder is left out, the first never; code
    gamma: Positive = 0.8  # to which visible is brought, as what is to be fused; code
    contrast: Positive = 1.0  # likewise of infrared; code
    weight_fusion: NotNegative = 0.1  # of the fusion beside the segmentation; code
    weight_intensity: NotNegative = 0.5  # code
    weight_gradient: NotNegative = 1.0  # code
    weight_colour: NotNegative = 1.0  # code
    epochs: Count = 300  # ours; code: 5000, stopped by hand after 150 or more
    workers: Natural = 4  # ours; code: 16


class MRFSRecipe(SplitRecipe[MRFSSettings]):
    """One network, cross entropy and three terms of fusion, one AdamW."""

    presets = Presets(
        record=MRFSSettings,
        lengths=("epochs", "warmup"),
        # The authors' for MFNet, whose pictures MSRS has.
        datasets={"msrs": {"gamma": 0.5, "contrast": 1.7, "weight_gradient": 0.2}},
        sizes={
            "tiny": {
                "network": "tiny",
                "batch": 4,
                "scale": None,
                "crop": (64, 64),
                "lr": 2e-3,
                "warmup": 0,
                "epochs": 12,
                "workers": 0,
            }
        },
    )

    def build(self, settings: MRFSSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        self.settings, self.device = settings, device
        (dataset,) = self.datasets.values()
        segmentation = task("segmentation")
        self.ignored = 255 if dataset.ignore_index is None else dataset.ignore_index
        self.net = self.network(len(segmentation.classes(dataset))).to(device)
        self.adam = torch.optim.AdamW(groups(self.net, settings.decay), lr=settings.lr)
        augment = Augment(scale=settings.scale, crop=settings.crop)
        self.pairs = TrainingSplit(dataset, settings.split, augment, [segmentation.needs])
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.adam, self.factor)

    def factor(self, step: int) -> float:
        """Of the rate: it rises, then falls to 0."""
        steps = len(self.pairs) // self.settings.batch
        rising, total = steps * self.settings.warmup, steps * self.settings.epochs
        if step < rising:
            return (step + 1) / rising
        rate: float = (1 - min(step, total - 1) / total) ** self.settings.power
        return rate

    def network(self, classes: int) -> MRFSNet:
        """Initial weights, normalisation and stochastic depth as released."""
        s = self.settings
        network = MRFSNet(SIZES[s.network], classes)
        begun(network.backbone)
        for part in (*network.decode_head.modules(), *network.aux_head.modules()):
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            elif isinstance(part, nn.BatchNorm2d):
                part.eps = part.momentum = 0.01
        for prefix in ("", "extra_"):
            deepen([network.backbone.get_submodule(f"{prefix}block{n}") for n in range(1, 5)], s.depth)
            if s.backbone:
                self.fill(network.backbone, prefix, Path(s.backbone))
        return network

    def fill(self, backbone: nn.Module, prefix: str, file: Path) -> None:
        """Put a released encoder into one of both, whose names have a prefix."""
        stages = [f"{part}{n}" for n in range(1, 5) for part in ("patch_embed", "block", "norm")]
        encoder = nn.ModuleDict({stage: backbone.get_submodule(prefix + stage) for stage in stages})
        tensors = {name: value for name, value in read_tensors(file).items() if not name.startswith("head.")}
        encoder.load_state_dict(fit(encoder, tensors))

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {"network": self.net, "adam": self.adam, "schedule": self.schedule}

    def check(self) -> None:
        """See :meth:`Recipe.check`; windows are large enough."""
        at_least(self.settings, ["crop"], SMALLEST)
        super().check()

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Move the network by both losses."""
        batch = batch.to(self.device)
        self.net.train()
        with self.precision.autocast():
            losses = self.losses(batch)
        self.precision.update(losses["loss"], self.adam)
        self.schedule.step()
        return {name: value.detach() for name, value in losses.items()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``loss``, its two parts and the terms of fusion, of which each is drawn to the larger of both sources."""
        s, ir = self.settings, batch.ir.expand_as(batch.vis)
        fused, scores = self.net.both(batch.vis, ir)
        labels = torch.stack([target["mask"] for target in batch.targets])
        bright, contrasted = with_gamma(batch.vis, s.gamma), with_contrast(ir, s.contrast)
        terms = {
            "intensity": s.weight_intensity * intensity_max(fused, contrasted, bright),
            "gradient": s.weight_gradient * signed_gradient_max(fused, contrasted, bright),
            "colour": s.weight_colour * chroma_l1(fused, bright),
        }
        fusion = torch.stack(list(terms.values())).sum()
        segmentation = cross_entropy(scores, labels, self.ignored)
        return {
            "loss": segmentation + s.weight_fusion * fusion,
            "segmentation": segmentation,
            "fusion": fusion,
            **terms,
        }

    def export(self) -> dict[str, Tensor]:
        """The network, named as in the authors' checkpoint."""
        return {name: value.detach().cpu().contiguous() for name, value in self.net.state_dict().items()}
