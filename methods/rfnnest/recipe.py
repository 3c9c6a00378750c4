"""Training RFN-Nest in two stages: an autoencoder rebuilds single grey images, then stands still; RFN learns to fuse.

Li, Wu and Kittler, Information Fusion 2021, sections 3.3 and 3.4 (equations 2 to 8). The second stage has the values
of the authors' ``train_fusionnet.py`` and ``args_fusion.py``; the first those of the ``train_autoencoder.py`` that they
published with NestFuse. They train it on 80,000 images of MS-COCO and RFN on 80,000 pairs of KAIST; here both learn
from the same pairs, of which the first stage takes each image by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.structure import ms_ssim
from fusionbench.methods.staged_recipe import StagedRecipe, StagedSettings
from fusionbench.training.data import Augment
from fusionbench.training.distributed import gathered
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import RFNNestNet

SCALES = (1.0, 10.0, 100.0, 1000.0)  # weights of the features, from fine to coarse; code


@dataclass(frozen=True, kw_only=True)
class RFNNestSettings(StagedSettings):
    """Each value with its source: code (the authors'), paper or ours."""

    split: str = "train"  # ours; code: MS-COCO, then KAIST
    batch: Count = 4  # pairs; code; in the first stage half as many, so 4 images
    patch: Count = 256  # side to which a whole image is brought; code
    lr: Positive = 1e-4  # of Adam in both stages; code
    weight_rebuilt: NotNegative = 100.0  # of 1 - SSIM beside the squared error; code, in the name of its autoencoder
    weight_detail: NotNegative = 700.0  # of 1 - SSIM with the visible image; code
    feature_ir: NotNegative = 6.0  # share in the features that are aimed at; code
    feature_vis: NotNegative = 3.0  # code
    first: Count = 2  # as in the second stage; ours
    epochs: Count = 4  # so 2 of the second stage; code


class RFNNestRecipe(StagedRecipe[RFNNestSettings]):
    """In a stage the other network has no gradient and stands still."""

    net: RFNNestNet
    stages = ("autoencoder", "fusion")
    presets = Presets(
        record=RFNNestSettings,
        lengths=("epochs", "first"),
        sizes={"tiny": {"patch": 64, "batch": 4, "first": 6, "epochs": 12, "lr": 1e-3}},
    )

    def network(self) -> RFNNestNet:
        """See :meth:`PairRecipe.network`."""
        return RFNNestNet()

    def size(self, stage: str) -> int:
        """See :meth:`StagedRecipe.size`."""
        return max(1, self.settings.batch // 2) if stage == "autoencoder" else self.settings.batch

    def augment(self, settings: RFNNestSettings) -> Augment:
        """The whole image in a square, as released."""
        return Augment(resize=(settings.patch, settings.patch), flip=0.0)

    def first_losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Squared error of levels 0..255 plus weighted 1 - SSIM."""
        self.net.nestfuse.requires_grad_(True)
        images = 255 * torch.cat((ir, vis))
        rebuilt = self.net.nestfuse.decode(*self.net.nestfuse.encode(images))
        pixel, structure = F.mse_loss(rebuilt, images), 1 - ms_ssim(rebuilt, images)
        return {"loss": pixel + self.settings.weight_rebuilt * structure, "pixel": pixel, "ssim": structure}

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """SSIM with the visible image, and features beside a weighted sum of both images'."""
        self.net.nestfuse.requires_grad_(False)
        s, net = self.settings, self.net.nestfuse
        maps_ir, maps_vis = net.encode(255 * ir), net.encode(255 * vis)
        maps = self.net.rfn(maps_ir, maps_vis)
        fused = net.decode(*maps)
        low, high = gathered(fused.min()).min(), gathered(fused.max()).max()  # over the batch, as released
        fused = 255 * (fused - low) / (high - low + 1e-5)
        aims = [s.feature_ir * a + s.feature_vis * b for a, b in zip(maps_ir, maps_vis, strict=True)]
        rows = zip(SCALES, maps, aims, strict=True)
        terms = {
            "detail": s.weight_detail * (1 - ms_ssim(fused, 255 * vis)),
            "features": torch.stack([weight * F.mse_loss(own, aim) for weight, own, aim in rows]).sum(),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}
