"""Training YDTR: SSIM and spatial frequency of both sources, on patches of pairs.

Tang, He and Liu, IEEE TMM 2023, values of the authors' ``Train.py`` and ``losses/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fusionbench.methods.losses.gradients import frequency_norm
from fusionbench.methods.losses.structure import ssim
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import YDTRNet


@dataclass(frozen=True, kw_only=True)
class YDTRSettings(PairSettings):
    """Each value with its source: code (the authors') or ours; their loader leaves the data open."""

    split: str = "train"  # ours
    batch: Count = 32  # code
    patch: Count = 64  # side of the random windows; ours
    lr: Positive = 1e-3  # of Adam; code
    ssim_ir: NotNegative = 1.0  # code
    ssim_vis: NotNegative = 0.05  # code
    frequency_ir: NotNegative = 0.0006  # code
    frequency_vis: NotNegative = 0.00025  # code
    epochs: Count = 10  # code


class YDTRRecipe(PairRecipe[YDTRSettings]):
    """One network, four terms."""

    presets = Presets(
        record=YDTRSettings,
        sizes={"tiny": {"patch": 32, "batch": 4, "epochs": 10}},
    )

    def network(self) -> YDTRNet:
        """See :meth:`PairRecipe.network`."""
        return YDTRNet()

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        return [self.net]

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The four terms, weighted."""
        fused, s = self.net(ir, vis), self.settings
        terms = {
            "ssim_ir": s.ssim_ir * (1 - ssim(fused, ir)),
            "ssim_vis": s.ssim_vis * (1 - ssim(fused, vis)),
            "frequency_ir": s.frequency_ir * frequency_norm(fused, ir),
            "frequency_vis": s.frequency_vis * frequency_norm(fused, vis),
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}
