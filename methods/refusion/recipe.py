"""Training ReFusion: fusion, source reconstruction and loss proposal module, updated in turn.

Bai et al., "ReFusion: Learning Image Fusion from Reconstruction with Learnable Loss via Meta-Learning", IJCV 2024.
The authors announce training code (October 2025), which was not at hand. This is an independent recipe from the paper,
and nothing here claims to equal the authors'. From the paper:

    inner update    a copy of the fusion module goes one step down the proposed loss, a copy of the reconstruction
                    module one step down the reconstruction loss
    outer update    the reconstruction loss of both copies on other patches moves the loss proposal module, through
                    the inner update (second order)
    learning        on all patches the fusion module follows the proposed loss, the reconstruction module the
                    reconstruction loss

Everything else is ours, and listed on the card under ``ours``. The sources are called a and b; in an infrared-visible
dataset a is infrared and b the luma of visible, in dataset ``folder`` they are whatever its two folders hold (medical,
multi-focus, multi-exposure pairs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.colour import luma
from fusionbench.errors import FusionbenchError
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.functional import call, inner_update, trainable
from fusionbench.training.meta import Inner, Way, differentiated, inner_step, outer_step
from fusionbench.training.order import Step, draw, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets, Settings

from .modules import LossProposal, Reconstruction, proposed_loss, reconstruction_loss
from .network import ReFusionNet

Pair = tuple[Tensor, Tensor]  # a and b, each float32 [B,1,H,W] in [0,1]
TINY = 1e-12  # Adam's epsilon for the proposal module: gradients through an inner step are far below the usual 1e-8


@dataclass(frozen=True, kw_only=True)
class ReFusionSettings(Settings):
    """Every value is ours; learning rates, their decay and the epochs are TDFusion's (same authors)."""

    split: str = "train"
    patch: Count = 128  # side in pixels
    batch: Count = 8  # patches; a meta step takes as many again
    passes: Count = 4  # over the split in an epoch; each cuts another patch from each image
    meta_steps: Natural = 200  # inner and outer updates before the passes of an epoch
    alpha: NotNegative = 1.0  # share of the gradient term in the proposed loss
    lr: Positive = 1e-4  # of fusion and reconstruction module (Adam)
    proposal_lr: Positive = 1e-4  # of the loss proposal module (Adam)
    inner_lr: Positive = 1e-2  # of the inner update (plain gradient descent)
    derivative: Way = "product"  # of the meta step: product or graph, the same gradient, see fusionbench.training.meta
    checkpointing: bool = False  # in the meta step, block by block: half the memory, more time
    decay_every: Count = 10  # epochs
    decay: Positive = 0.1  # factor of both Adam rates
    epochs: Count = 40
    workers: Natural = 4
    save_every: Count = 100


PRESETS = Presets(
    record=ReFusionSettings,
    lengths=("epochs", "decay_every"),
    datasets={"folder": {"split": "all"}},  # medical, multi-focus, multi-exposure: source a is its ir, b its vis
    # For two processor cores and images of 128x160.
    sizes={
        "tiny": {
            "patch": 64,
            "batch": 2,
            "passes": 1,
            "meta_steps": 6,
            "lr": 1e-3,
            "decay_every": 8,
            "epochs": 10,
            "workers": 0,
            "save_every": 20,
        }
    },
)


class ReFusionRecipe(Recipe[ReFusionSettings, list[Pair]]):
    """An epoch is ``meta_steps`` inner and outer updates, then ``passes`` passes of learning over the split."""

    presets = PRESETS

    def build(self, settings: ReFusionSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`; trains on the first of ``datasets``."""
        self.settings, self.device, self.inner_lr = settings, device, settings.inner_lr
        self.fusion = ReFusionNet().to(device)
        self.reconstruction = Reconstruction().to(device)
        self.proposal = LossProposal().to(device)
        self.optimisers = {
            "fusion": torch.optim.Adam(self.fusion.parameters(), lr=settings.lr),
            "reconstruction": torch.optim.Adam(self.reconstruction.parameters(), lr=settings.lr),
            "proposal": torch.optim.Adam(self.proposal.parameters(), lr=settings.proposal_lr, eps=TINY),
        }
        dataset = next(iter(self.datasets.values()))
        self.patches = TrainingSplit(dataset, settings.split, Augment(crop=(settings.patch, settings.patch)))

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        modules = {"fusion": self.fusion, "reconstruction": self.reconstruction, "proposal": self.proposal}
        return {**modules, **{f"{name}_optimiser": optimiser for name, optimiser in self.optimisers.items()}}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        self.patches.check()
        have, batch = len(self.patches), self.settings.batch
        least = 2 * batch if self.settings.meta_steps else batch
        if have < least:
            fitting = batch * have // least
            raise FusionbenchError(
                f"{self.patches.dataset.name} {self.patches.split}: {have} pairs, but a step needs {least} different "
                f"ones at batch={batch}; use {f'batch={fitting} or ' if fitting else ''}more pairs"
            )

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.patches]

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`; of the passes, not of meta steps."""
        if self.settings.meta_steps:
            raise FusionbenchError("meta steps go through an update of the whole batch; see the setting checkpointing")
        return [self.fusion, self.reconstruction, self.proposal]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`. The two groups of a meta step have no image in common."""
        steps, batch, passes = [], self.settings.batch, self.settings.passes
        for salt in range(passes, passes + self.settings.meta_steps):
            both = draw(len(self.patches), 2 * batch, seed, epoch, salt)
            steps.append(Step((tuple(both[:batch]), tuple(both[batch:])), "meta", salt))
        for salt in range(passes):
            steps += shuffled(len(self.patches), batch, seed, epoch, kind="learn", salt=salt)
        return steps

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return [name for group in step.groups for name in self.patches.names(group)]

    def load(self, step: Step, epoch: int, seed: int) -> list[Pair]:
        """The pairs of one group (learning) or of two (meta step); a patch is cut anew each time an image is read."""
        return [self.pair(self.patches.batch(group, seed, epoch, step.salt)) for group in step.groups]

    def step(self, batch: list[Pair]) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        pairs = [(a.to(self.device), b.to(self.device)) for a, b in batch]
        return self.meta_step(*pairs) if len(pairs) == 2 else self.learning_step(*pairs)

    def outer_loss(self, here: Pair, there: Pair) -> tuple[Tensor, Inner]:
        """Inner updates on one batch, reconstruction loss on another.

        The reconstruction module's copy learns from what the fusion module gave before its step.

        Args:
            here: meta-training pairs.
            there: meta-test pairs.

        Returns:
            The reconstruction loss of both copies on ``there``; and the fusion module's inner update, through which it
            depends on the proposal module.
        """
        settings = self.settings
        inner = inner_step(
            self.fusion,
            here,
            call(self.proposal, trainable(self.proposal), *here, checkpointed=settings.checkpointing),
            lambda fused, weights: proposed_loss(fused, *here, weights, settings.alpha),
            self.inner_lr,
            slope=lambda fused, weights: proposed_loss(fused, *here, weights, 0),
            way=settings.derivative,
            checkpointed=settings.checkpointing,
        )
        error = reconstruction_loss(self.reconstruction(inner.output), *here)
        moved = inner_update(error, self.reconstruction, self.inner_lr, differentiable=False)  # no proposal in it
        fused = call(self.fusion, inner.moved, *there, checkpointed=settings.checkpointing)
        return reconstruction_loss(call(self.reconstruction, moved, fused), *there), inner

    def meta_step(self, here: Pair, there: Pair) -> dict[str, Tensor]:
        """Inner and outer update; moves the proposal module alone. In float32 at any precision."""
        with differentiated(self.settings.derivative):
            loss, inner = self.outer_loss(here, there)
            gradients = outer_step(self.fusion, inner, loss, self.proposal.parameters())
        for parameter, gradient in zip(self.proposal.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimisers["proposal"].step()
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        return {"loss": loss.detach(), "proposed": inner.loss, "gradient": norm}

    def learning_step(self, pair: Pair) -> dict[str, Tensor]:
        """Move the fusion module by the proposed loss, the reconstruction module by the reconstruction loss."""
        with self.precision.autocast():
            with torch.no_grad():
                weights = self.proposal(*pair)
            fused = self.fusion(*pair)
            loss = proposed_loss(fused, *pair, weights, self.settings.alpha)
        self.precision.update(loss, self.optimisers["fusion"])
        with self.precision.autocast():
            error = reconstruction_loss(self.reconstruction(fused.detach()), *pair)
        self.precision.update(error, self.optimisers["reconstruction"])
        return {"loss": loss, "reconstruction": error, "weight_a": weights[:, 0].mean()}

    def epoch_end(self, epoch: int) -> None:
        """Lower the learning rates; they are part of the optimisers' state."""
        if (epoch + 1) % self.settings.decay_every == 0:
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] *= self.settings.decay

    def pictures(self) -> Mapping[str, np.ndarray]:
        """One patch of the training set: both sources, the fused image, the weight of a, the rebuilt sources."""
        a, b = (x.to(self.device) for x in self.pair(self.patches.batch([0], 0, 0)))
        with torch.no_grad():
            fused = self.fusion(a, b)
            rebuilt_a, rebuilt_b = self.reconstruction(fused)
            shown = {"a": a, "b": b, "fused": fused, "weight_a": self.proposal(a, b)[:, :1]}
            shown |= {"rebuilt_a": rebuilt_a, "rebuilt_b": rebuilt_b}
        return {name: (x[0] * 255).round().byte().cpu().numpy() for name, x in shown.items()}

    def export(self) -> dict[str, Tensor]:
        """The fusion module, float32, named as in the authors' checkpoints; the other two only serve training."""
        return {name: value.detach().float().cpu().contiguous() for name, value in self.fusion.state_dict().items()}

    @staticmethod
    def pair(batch: Batch) -> Pair:
        """Both sources of a batch."""
        return batch.ir, luma(batch.vis)
