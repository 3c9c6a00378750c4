"""Training EMMA in two stages: two networks learn to guess each source from a fused image, then fusion learns by them.

Zhao et al., CVPR 2024, section 3; values of the authors' ``train_AiAv.py``, ``train_Fusion.py`` and ``utils.py``. What
is fused must let the guesses come close to the sources, and must be fused again from the guesses after it has been
moved (equivariance). The guessing networks learn from pictures that other methods fused: in the authors' code DIDFuse
and AUIF, here methods that need no weights. Windows of MSRS lie on a grid there, without those of low contrast. For its
first 75 steps or so, whatever the loss, the fusion network's picture is all but flat: docs/training.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, find
from fusionbench.methods.staged_recipe import StagedRecipe, StagedSettings
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.training.recipe import Stateful
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets

from .network import EMMANet
from .sensing import PseudoSensing, distance, moved, shifts


@dataclass(frozen=True, kw_only=True)
class EMMASettings(StagedSettings):
    """Each value with its source: code (the authors'), paper or ours."""

    split: str = "train"  # of MSRS; code
    batch: Count = 4  # code
    patch: Count = 128  # a multiple of 16; code, on a grid of 200 pixels; random windows: ours
    lr: Positive = 1e-4  # of Adam in the second stage; code
    decay: Positive = 0.5  # code
    decay_every: Count = 20  # epochs of the second stage; code
    weight_moved: NotNegative = 0.1  # of equivariance; code
    rolls: Natural = 3  # code
    turns: Natural = 3  # code
    mirrors: Natural = 3  # at most 3; code
    fused_by: tuple[str, ...] = ("laplacian", "gff")  # whose pictures the first stage learns from; ours
    width: Count = 64  # of the guessing networks; code
    first: Count = 40  # code
    first_lr: Positive = 1e-4  # code
    first_batch: Count = 64  # fused pictures; code
    first_decay_every: Count = 10  # epochs; code
    epochs: Count = 160  # so 120 of the second stage; code


class EMMARecipe(StagedRecipe[EMMASettings]):
    """Three networks under one Adam; in a stage those of the other have no gradient and stand still."""

    net: EMMANet
    stages = ("sensing", "fusion")
    presets = Presets(
        record=EMMASettings,
        lengths=("epochs", "first", "decay_every", "first_decay_every"),
        sizes={
            "tiny": {
                "patch": 32,
                "batch": 2,
                "lr": 1e-3,
                "rolls": 1,
                "turns": 1,
                "mirrors": 1,
                "decay_every": 40,
                "width": 8,
                "first": 20,
                "first_lr": 5e-3,
                "first_batch": 4,
                "epochs": 80,
            }
        },
    )

    def network(self) -> EMMANet:
        """See :meth:`PairRecipe.network`."""
        return EMMANet()

    def build(self, settings: EMMASettings, device: torch.device) -> None:
        """See :meth:`StagedRecipe.build`.

        Raises:
            FusionbenchError: a patch that the networks cannot halve four times; no method of a name, or one that needs
                weights.
        """
        super().build(settings, device)
        if settings.patch % 16 or settings.mirrors > 3 or not settings.fused_by:
            raise FusionbenchError(
                f"patch={settings.patch}, mirrors={settings.mirrors}, fused_by={','.join(settings.fused_by)}: needed "
                "are a multiple of 16, at most 3, and at least one method"
            )
        free = {name: card for name, card in cards("method").items() if not card.facts.requires_weights}
        names = [find(name, free, "no method that needs no weights") for name in settings.fused_by]
        self.fusers = [resolve("method", name)() for name in names]
        parts = {source: PseudoSensing(settings.width) for source in ("ir", "vis")}
        self.sensing = nn.ModuleDict(parts).to(device)
        self.adam = torch.optim.Adam([*self.net.parameters(), *self.sensing.parameters()], lr=settings.first_lr)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        return {**super().state(), "sensing": self.sensing}

    def size(self, stage: str) -> int:
        """See :meth:`StagedRecipe.size`; each pair is fused by every method."""
        s = self.settings
        return max(1, s.first_batch // len(s.fused_by)) if stage == "sensing" else s.batch

    def factor(self, epoch: int) -> float:
        """See :meth:`PairRecipe.factor`."""
        s = self.settings
        if epoch < s.first:
            return s.first_lr / s.lr * s.decay ** (epoch // s.first_decay_every)
        return s.decay ** ((epoch - s.first) // s.decay_every)

    def first_losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Squared error of each source as guessed from what other methods fused."""
        self.sensing.requires_grad_(True).train()
        with torch.no_grad():
            fused = torch.cat([method.fuse(ir, vis.expand(-1, 3, -1, -1)) for method in self.fusers]).to(ir)
        sources = {"ir": ir, "vis": vis}
        terms = {
            name: F.mse_loss(self.sensing[name](fused), source.repeat(len(self.fusers), 1, 1, 1))
            for name, source in sources.items()
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Guesses beside the sources; what is fused and moved beside what is fused of guesses from it."""
        self.sensing.requires_grad_(False).eval()
        s, guess = self.settings, self.sensing
        fused = self.net(ir, vis)
        there = moved(fused, shifts(fused, s.rolls), s.turns, s.mirrors)
        again = self.net(guess["ir"](there), guess["vis"](there))
        terms = {
            "ir": distance(guess["ir"](fused), ir),
            "vis": distance(guess["vis"](fused), vis),
            "moved": s.weight_moved * distance(there, again),
        }
        return {"loss": sum(terms.values(), start=ir.new_zeros(())), **terms}
