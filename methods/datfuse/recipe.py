"""Training DATFuse: distance to both sources, SSIM with their maximum, and a gradient term, on patches of pairs.

Tang et al., IEEE TCSVT 2023, values of the authors' ``Train.py`` and ``losses/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.losses.gradients import gradient_of_means
from fusionbench.methods.losses.structure import ssim
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import DATFuseNet


@dataclass(frozen=True, kw_only=True)
class DATFuseSettings(PairSettings):
    """Each value with its source: code (the authors') or ours; their loader leaves the data open."""

    split: str = "train"  # ours
    batch: Count = 128  # code
    patch: Count = 120  # side of the random windows; ours
    lr: Positive = 1e-3  # of Adam; code
    weight_ir: NotNegative = 1.0  # code
    weight_vis: NotNegative = 1.0  # code
    weight_ssim: NotNegative = 10.0  # code
    weight_gradient: NotNegative = 100.0  # code
    epochs: Count = 10  # code


class DATFuseRecipe(PairRecipe[DATFuseSettings]):
    """One network, four terms."""

    presets = Presets(
        record=DATFuseSettings,
        sizes={"tiny": {"patch": 32, "batch": 8, "lr": 1e-2, "epochs": 40}},
    )

    def network(self) -> DATFuseNet:
        """See :meth:`PairRecipe.network`."""
        return DATFuseNet()

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        return [self.net]

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The four terms, weighted."""
        fused, s = self.net(torch.cat((ir, vis), 1)), self.settings
        terms = {
            "ir": s.weight_ir * F.mse_loss(fused, ir),
            "vis": s.weight_vis * F.mse_loss(fused, vis),
            "ssim": s.weight_ssim * (1 - ssim(fused, torch.maximum(ir, vis))),
            "gradient": s.weight_gradient * gradient_of_means(fused, ir, vis),
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}
