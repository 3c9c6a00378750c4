"""Training IDF-TDDT's base fusion network: larger intensity and larger gradient of both sources, on patches.

Values and procedure of the authors' ``train_BFN.py``, ``args_fusion.py`` and ``fusion_utils/utils.py`` (repository
YR0211/IDF-TDDT). They train on RoadScene, M3FD, MSRS and LLVIP together and turn patches by quarters too. Their second
stage, which a text drives, needs features of a language model (LLaMA-3-8B) and is not here: what is exported of it is
zero, which leaves the base network as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionbench.methods.losses.gradients import gradient_max, intensity_max
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Augment
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets

from .network import IDFTDDTNet


@dataclass(frozen=True, kw_only=True)
class IDFTDDTSettings(PairSettings):
    """Each value with its source: code (the authors') or ours."""

    split: str = "train"  # code, of four datasets; here of one
    batch: Count = 6  # code
    whole: Count = 512  # side to which an image is brought first; code
    patch: Count = 256  # side of the random windows, mirrored at random; code
    lr: Positive = 1e-3  # of Adam, highest; code
    lr_ends: Positive = 1e-4  # at first and at last; code
    warm: Natural = 20  # epochs in which it rises; code
    intensity: NotNegative = 0.2  # code
    gradient: NotNegative = 1.0  # code
    epochs: Count = 100  # code


class IDFTDDTRecipe(PairRecipe[IDFTDDTSettings]):
    """One network, two terms; a rate that rises linearly and falls as a cosine."""

    presets = Presets(
        record=IDFTDDTSettings,
        lengths=("epochs", "warm"),
        sizes={"tiny": {"whole": 64, "patch": 32, "batch": 4, "lr": 5e-3, "warm": 2, "epochs": 20}},
    )

    def network(self) -> IDFTDDTNet:
        """Both networks; what the text drives is zero and stays so."""
        net = IDFTDDTNet()
        for parameter in net.T_dpi.requires_grad_(False).parameters():
            parameter.zero_()
        return net

    def augment(self, settings: IDFTDDTSettings) -> Augment:
        """Windows of the whole image in a square."""
        return Augment(resize=(settings.whole, settings.whole), crop=(settings.patch, settings.patch), flip=0.5)

    def build(self, settings: IDFTDDTSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        super().build(settings, device)
        self.epoch_end(-1)

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Both terms, weighted."""
        fused, s = self.net(ir, vis), self.settings
        intensity, gradient = s.intensity * intensity_max(fused, ir, vis), s.gradient * gradient_max(fused, ir, vis)
        return {"loss": intensity + gradient, "intensity": intensity, "gradient": gradient}

    def epoch_end(self, epoch: int) -> None:
        """The rate of the next epoch."""
        s, number = self.settings, epoch + 1
        if number < s.warm:
            share = number / s.warm
        else:
            share = (1 + math.cos((number - s.warm) / max(1, s.epochs - s.warm) * math.pi)) / 2
        for group in self.adam.param_groups:
            group["lr"] = s.lr_ends + (s.lr - s.lr_ends) * share

    def export(self) -> dict[str, Tensor]:
        """See :meth:`PairRecipe.export`; the adapter of the text stands there under three names."""
        return {name: value.clone() for name, value in super().export().items()}
