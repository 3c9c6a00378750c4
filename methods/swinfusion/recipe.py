"""Training SwinFusion: intensity and gradient of the larger source, SSIM with both; what is kept is a moving average.

Ma et al., IEEE/CAA JAS 2022, section III; values of the authors' ``options/swinir/train_swinfusion_vif.json``,
``models/model_plain.py`` and ``models/loss_vif.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.data import Sample
from fusionbench.methods._depth import deepen
from fusionbench.methods.cldyn.recipe_vfn import turned
from fusionbench.methods.losses.gradients import gradient_max, intensity_max
from fusionbench.methods.losses.structure import ssim_by_gradient
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Augment, Batch
from fusionbench.training.recipe import Stateful
from fusionbench.training.settings import Count, NotNegative, Positive, Presets, Probability

from .network import SwinFusionNet


@dataclass(frozen=True, kw_only=True)
class SwinFusionSettings(PairSettings):
    """Each value with its source: code (the authors') or ours. Their steps of the rate begin after training ends."""

    split: str = "train"  # code: of MSRS
    batch: Count = 12  # code
    patch: Count = 128  # side of the random windows, mirrored and turned by quarters; code
    lr: Positive = 2e-5  # of Adam; code
    weight_intensity: NotNegative = 20.0  # code
    weight_gradient: NotNegative = 20.0  # code
    weight_ssim: NotNegative = 10.0  # code
    average: Probability = 0.999  # share of itself that the moving average keeps in a step; code
    depth: Probability = 0.1  # how often the last block of a stage is left out, the first never; code
    epochs: Count = 111  # of 90 steps on MSRS; code: 10,000 steps are tested


class MovingAverage:
    """The mean of a network's weights over its steps, weighted towards the last; it begins with the first step."""

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def begin(self, network: nn.Module) -> None:
        """Take the weights as they are, unless there are some."""
        self.held = self.held or {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: nn.Module, share: float) -> None:
        """Keep a share, and take the rest from the network."""
        for name, value in network.state_dict().items():
            self.held[name].mul_(share).add_(value, alpha=1 - share)

    def state_dict(self) -> dict[str, Any]:
        """The weights; empty before the first step."""
        return dict(self.held)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self.held = dict(state)


class Turned(Augment):
    """A random window, mirrored top to bottom and turned by quarters at random."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See :class:`Augment`."""
        return turned(super().__call__(sample, rng), rng)


class SwinFusionRecipe(PairRecipe[SwinFusionSettings]):
    """One network, three terms, a moving average."""

    presets = Presets(
        record=SwinFusionSettings,
        sizes={"tiny": {"patch": 24, "batch": 2, "lr": 2e-3, "average": 0.9, "epochs": 8}},
    )

    def build(self, settings: SwinFusionSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        super().build(settings, device)
        self.average = MovingAverage()

    def network(self) -> SwinFusionNet:
        """Initial weights and stochastic depth as released."""
        network = SwinFusionNet()
        for part in network.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)
        for name, value in network.named_parameters():
            if name.endswith("relative_position_bias_table"):
                nn.init.trunc_normal_(value, std=0.02)
        stages: list[list[nn.Module]] = [[network.layers_Ex_A], [network.layers_Ex_B], [network.layers_Re]]
        parts = ("residual_group_A", "residual_group_B", "residual_group")
        fusing = [[group.get_submodule(part) for group in network.layers_Fusion] for part in parts]
        for stage in (*stages, *fusing):
            deepen(stage, self.settings.depth)
        return network

    def augment(self, settings: SwinFusionSettings) -> Augment:
        """See :class:`Turned`."""
        return Turned(crop=(settings.patch, settings.patch), flip=0.0)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {**super().state(), "average": self.average}

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The three terms, weighted."""
        fused, s = self.net(ir, vis), self.settings
        terms = {
            "intensity": s.weight_intensity * intensity_max(fused, ir, vis),
            "gradient": s.weight_gradient * gradient_max(fused, ir, vis),
            "ssim": s.weight_ssim * (1 - ssim_by_gradient(fused, ir, vis)),
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Move the network, then the average."""
        self.average.begin(self.net)
        values = super().step(batch)
        self.average.update(self.net, self.settings.average)
        return values

    def result(self) -> Mapping[str, Tensor]:
        """The moving average."""
        return self.average.held or super().result()
