"""Training CDDFuse in two stages: encoder and decoder rebuild each image, then all four networks fuse.

Zhao et al., CVPR 2023, section 3.4 (equations 6 to 12); values of the authors' ``train.py``, whose data are windows of
MSRS on a grid, without those of low contrast. The gradients of each network are cut to a norm by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.decomposition import decomposition
from fusionbench.methods.losses.gradients import gradient_l1, gradient_max, intensity_max
from fusionbench.methods.losses.structure import dssim
from fusionbench.methods.staged_recipe import StagedRecipe, StagedSettings
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import CDDFuseNet


@dataclass(frozen=True, kw_only=True)
class CDDFuseSettings(StagedSettings):
    """Each value with its source: code (the authors'), paper or ours."""

    split: str = "train"  # of MSRS; code
    batch: Count = 8  # code
    patch: Count = 128  # code, on a grid of 200 pixels; random windows: ours
    lr: Positive = 1e-4  # of Adam; code
    decay: Positive = 0.5  # code
    decay_every: Count = 20  # epochs; of the fusing layers counted from the second stage on; code
    clip: Positive = 0.01  # largest norm of each network's gradient; code
    weight_vis: NotNegative = 1.0  # of rebuilding it; code
    weight_ir: NotNegative = 1.0  # code
    weight_structure: NotNegative = 5.0  # of the dissimilarity beside the squared error; code
    weight_decomposition: NotNegative = 2.0  # in both stages; code
    weight_gradient: NotNegative = 5.0  # of the rebuilt visible image; code
    weight_gradient_max: NotNegative = 10.0  # of the fused image, beside its intensity; code
    first: Count = 40  # code
    epochs: Count = 120  # code, which ends the decay at 1e-6; that is not reached


class CDDFuseRecipe(StagedRecipe[CDDFuseSettings]):
    """The fusing layers stand still in the first stage."""

    net: CDDFuseNet
    stages = ("rebuild", "fuse")
    presets = Presets(
        record=CDDFuseSettings,
        lengths=("epochs", "first", "decay_every"),
        sizes={"tiny": {"patch": 32, "batch": 4, "first": 5, "epochs": 17, "lr": 1e-3}},
    )

    def network(self) -> CDDFuseNet:
        """See :meth:`PairRecipe.network`."""
        return CDDFuseNet()

    def build(self, settings: CDDFuseSettings, device: torch.device) -> None:
        """See :meth:`StagedRecipe.build`; the optimiser has a group for each network."""
        super().build(settings, device)
        self.groups = dict(self.net.named_children())
        self.adam = torch.optim.Adam([{"params": list(p.parameters())} for p in self.groups.values()], lr=settings.lr)

    def epoch_end(self, epoch: int) -> None:
        """The fusing layers' learning rate begins to fall with the second stage."""
        s = self.settings
        for name, group in zip(self.groups, self.adam.param_groups, strict=True):
            done = epoch + 1 - (s.first if name.endswith("FuseLayer") else 0)
            group["lr"] = s.lr * s.decay ** (max(0, done) // s.decay_every)

    def first_losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Each image rebuilt from its own base and detail, and how far these are apart."""
        s = self.settings
        (base_v, detail_v), (base_i, detail_i) = self.net.DIDF_Encoder(vis), self.net.DIDF_Encoder(ir)
        again_v, again_i = self.net.DIDF_Decoder(vis, base_v, detail_v), self.net.DIDF_Decoder(ir, base_i, detail_i)
        terms = {
            "vis": s.weight_vis * (s.weight_structure * dssim(vis, again_v) + F.mse_loss(again_v, vis)),
            "ir": s.weight_ir * (s.weight_structure * dssim(ir, again_i) + F.mse_loss(again_i, ir)),
            "decomposition": s.weight_decomposition * decomposition((base_i, base_v), (detail_i, detail_v)),
            "gradient": s.weight_gradient * gradient_l1(again_v, vis),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The fused image beside the larger source, and how far base and detail are apart."""
        s = self.settings
        (base_v, detail_v), (base_i, detail_i) = self.net.DIDF_Encoder(vis), self.net.DIDF_Encoder(ir)
        base, detail = self.net.BaseFuseLayer(base_i + base_v), self.net.DetailFuseLayer(detail_i + detail_v)
        fused = self.net.DIDF_Decoder(vis, base, detail)
        terms = {
            "intensity": intensity_max(fused, ir, vis),
            "gradient_max": s.weight_gradient_max * gradient_max(fused, ir, vis),
            "decomposition": s.weight_decomposition * decomposition((base_i, base_v), (detail_i, detail_v)),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}

    def update(self, loss: Tensor) -> None:
        """See :meth:`StagedRecipe.update`."""
        self.precision.update(loss, self.adam, self.settings.clip, each=True)
