"""Training LRRNet: distance to the visible image, and four kinds of features of a frozen VGG-16.

Li et al., IEEE TPAMI 2023, section 3.4; values of the authors' ``training_fusion_lrr.py`` and ``args.py``. They train
on 20,000 pairs of KAIST. The file of VGG-16 is the user's: ``--cfg-options vgg=FILE``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.perceptual import gram_distance, vgg16
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Augment
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from . import stretched
from .network import LRRNet


@dataclass(frozen=True, kw_only=True)
class LRRNetSettings(PairSettings):
    """Each value with its source: code (the authors'), paper or ours."""

    split: str = "train"  # ours; code: KAIST
    vgg: str = ""  # file of VGG-16; code: a conversion that the authors link
    batch: Count = 8  # code
    patch: Count = 128  # side to which a whole image is brought; code
    lr: Positive = 1e-5  # of Adam; code
    weight_decay: NotNegative = 0.9  # of Adam; code
    weight_pixel: NotNegative = 10.0  # of the squared error to the visible image, levels 0..255; code
    weight_shallow: NotNegative = 1.5  # of relu1_2, beside the visible image's; code
    weight_second: NotNegative = 0.01  # of relu2_2, beside a weighted sum of both images'; code
    weight_third: NotNegative = 0.5  # of relu3_3, likewise; code
    weight_gram: NotNegative = 2000.0  # of the Gram matrix of relu4_3, beside the infrared image's; code
    feature_ir: NotNegative = 3.0  # share in that sum; code
    feature_vis: NotNegative = 0.5  # code
    epochs: Count = 4  # code


class LRRNetRecipe(PairRecipe[LRRNetSettings]):
    """One network, and one that only looks on."""

    net: LRRNet
    presets = Presets(
        record=LRRNetSettings,
        sizes={"tiny": {"patch": 64, "batch": 2, "lr": 1e-3, "weight_decay": 0.0, "epochs": 8}},
    )

    def network(self) -> LRRNet:
        """With random thresholds, as released."""
        net = LRRNet()
        for part in (net.get_ls1, net.get_ls2):
            torch.nn.init.uniform_(part.lamj)
            torch.nn.init.uniform_(part.lamz)
        return net

    def build(self, settings: LRRNetSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: the setting ``vgg`` names no file of VGG-16.
        """
        super().build(settings, device)
        self.adam.param_groups[0]["weight_decay"] = settings.weight_decay
        self.vgg = vgg16(settings.vgg, "vgg").to(device)

    def augment(self, settings: LRRNetSettings) -> Augment:
        """The whole image in a square, as released."""
        return Augment(resize=(settings.patch, settings.patch), flip=0.0)

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The pixels and the shallow features follow the visible image, the deep ones the infrared image."""
        s, ir, vis = self.settings, 255 * ir, 255 * vis
        fused = 255 * stretched(self.net(stretched(ir, 1e-5), stretched(vis, 1e-5)), 1e-5)
        own, (_, ir2, ir3, ir4), (vis1, vis2, vis3, _) = self.vgg(fused), self.vgg(ir), self.vgg(vis)
        second, third = (s.feature_ir * a + s.feature_vis * b for a, b in ((ir2, vis2), (ir3, vis3)))
        terms = {
            "pixel": s.weight_pixel * F.mse_loss(fused, vis),
            "shallow": s.weight_shallow * F.mse_loss(own[0], vis1),
            "middle": s.weight_second * F.mse_loss(own[1], second) + s.weight_third * F.mse_loss(own[2], third),
            "gram": s.weight_gram * gram_distance(own[3], ir4),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}
