"""Training DIDFuse: an autoencoder whose bases agree and whose details differ; the fusion rule takes no part.

Zhao et al., IJCAI 2020, section 3.2; values of the authors' ``train.py``. Each image is rebuilt from its own maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.gradients import gradient_l1
from fusionbench.methods.losses.structure import dssim
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.distributed import all_mean
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import DIDFuseNet


@dataclass(frozen=True, kw_only=True)
class DIDFuseSettings(PairSettings):
    """Each value with its source: code (the authors'), paper or ours."""

    split: str = "train"  # ours; code: 180 pairs of FLIR
    batch: Count = 24  # code
    patch: Count = 128  # code, which takes the middle of each image; ours: a random window
    lr: Positive = 1e-3  # of Adam; code
    decay: Positive = 0.1  # of lr after a third and after two thirds of the epochs; code
    weight_vis: NotNegative = 2.0  # of rebuilding it; code
    weight_ir: NotNegative = 2.0  # code
    weight_structure: NotNegative = 5.0  # of the dissimilarity beside the squared error; code
    weight_base: NotNegative = 1.0  # code
    weight_detail: NotNegative = 0.5  # code
    weight_gradient: NotNegative = 10.0  # code
    epochs: Count = 120  # code


class DIDFuseRecipe(PairRecipe[DIDFuseSettings]):
    """One autoencoder; both images are rebuilt, and their maps are compared."""

    net: DIDFuseNet
    presets = Presets(
        record=DIDFuseSettings,
        sizes={"tiny": {"patch": 48, "batch": 2, "epochs": 9}},
    )

    def network(self) -> DIDFuseNet:
        """See :meth:`PairRecipe.network`."""
        return DIDFuseNet()

    def factor(self, epoch: int) -> float:
        """See :meth:`PairRecipe.factor`."""
        third = max(1, self.settings.epochs // 3)
        return self.settings.decay ** min(2, epoch // third)

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Rebuilding, agreement of bases, difference of details, gradient of the visible image."""
        s, maps_ir, maps_vis = self.settings, self.net.encoder(ir), self.net.encoder(vis)
        rebuilt_ir, rebuilt_vis = self.net.decoder(*maps_ir), self.net.decoder(*maps_vis)
        base, detail = all_mean([F.l1_loss(maps_ir[layer], maps_vis[layer]) for layer in (2, 3)])
        terms = {
            "ir": s.weight_ir * (s.weight_structure * dssim(ir, rebuilt_ir) + F.mse_loss(rebuilt_ir, ir)),
            "vis": s.weight_vis * (s.weight_structure * dssim(vis, rebuilt_vis) + F.mse_loss(rebuilt_vis, vis)),
            "base": s.weight_base * base.tanh(),
            "detail": -s.weight_detail * detail.tanh(),
            "gradient": s.weight_gradient * gradient_l1(rebuilt_vis, vis),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}
