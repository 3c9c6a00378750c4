"""Training DenseFuse: an autoencoder rebuilds single grey images; no pair and no fusion rule takes part.

Li and Wu, IEEE TIP 2019, section III; values of the authors' ``train_densefuse.py`` and ``args_fusion.py``. They
train on 40,000 images of MS-COCO. Here both images of each pair stand in a batch, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.losses.structure import ms_ssim
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Augment
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import DenseFuseNet


@dataclass(frozen=True, kw_only=True)
class DenseFuseSettings(PairSettings):
    """Each value with its source: code (the authors') or ours."""

    split: str = "train"  # ours; code: MS-COCO
    batch: Count = 2  # pairs, so 4 images; code: 4 images
    patch: Count = 256  # side to which a whole image is brought; code
    lr: Positive = 1e-4  # of Adam; code
    weight: NotNegative = 100.0  # of 1 - SSIM; code
    epochs: Count = 4  # code


class DenseFuseRecipe(PairRecipe[DenseFuseSettings]):
    """One network, squared error and multi-scale SSIM of rebuilt images."""

    presets = Presets(
        record=DenseFuseSettings,
        sizes={"tiny": {"patch": 64, "batch": 2, "lr": 1e-3, "epochs": 8}},
    )

    def network(self) -> DenseFuseNet:
        """See :meth:`PairRecipe.network`."""
        return DenseFuseNet()

    def augment(self, settings: DenseFuseSettings) -> Augment:
        """The whole image in a square, as released; smoothed where theirs takes the nearest pixel."""
        return Augment(resize=(settings.patch, settings.patch), flip=0.0)

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        return [self.net]

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Squared error of levels 0..255 plus weighted 1 - SSIM."""
        images = 255 * torch.cat((ir, vis))
        rebuilt = self.net(images, images)  # the mean of two equal encodings is that encoding
        pixel, structure = F.mse_loss(rebuilt, images), 1 - ms_ssim(rebuilt, images)
        return {"loss": pixel + self.settings.weight * structure, "pixel": pixel, "ssim": structure}
