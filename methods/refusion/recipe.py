"""Training ReFusion: fusion, source reconstruction and loss proposal module, updated in turn.

Bai et al., "ReFusion: Learning Image Fusion from Reconstruction with Learnable Loss via Meta-Learning", IJCV 2024.
The authors announce training code (October 2025), which was not at hand. This is an independent recipe from the paper,
and nothing here claims to equal theirs. From the paper:

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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.errors import FusionbenchError
from fusionbench.training import functional
from fusionbench.training.data import Augment, TrainingSplit
from fusionbench.training.order import Step, draw, shuffled
from fusionbench.training.recipe import Recipe

from .modules import LossProposal, Reconstruction, proposed_loss, reconstruction_loss
from .network import ReFusionNet

Pair = tuple[Tensor, Tensor]  # a and b, each float32 [B,1,H,W] in [0,1]
TINY = 1e-12  # Adam's epsilon for the proposal module: gradients through an inner step are far below the usual 1e-8


class ReFusionRecipe(Recipe):
    """An epoch is ``meta_steps`` inner and outer updates, then ``passes`` passes of learning over the split.

    Settings: ``split``, ``patch`` (side in pixels), ``batch``, ``meta_steps``, ``passes``, ``alpha`` (share of the
    gradient term in the proposed loss), ``lr`` (Adam, fusion and reconstruction module), ``proposal_lr`` (Adam),
    ``inner_lr`` (plain gradient descent), ``decay_every`` (epochs) and ``decay`` (factor of both Adam rates).
    """

    def build(self, config: Any, device: torch.device) -> None:
        """See :meth:`Recipe.build`; trains on the first of ``datasets``.

        Raises:
            FusionbenchError: a setting that makes no sense.
        """
        for name, least in (("patch", 1), ("batch", 1), ("passes", 1), ("meta_steps", 0), ("decay_every", 1)):
            if config[name] < least:
                raise FusionbenchError(f"{name}={config[name]}: must be at least {least}")
        self.device = device
        self.size, self.meta_steps, self.passes = config["batch"], config["meta_steps"], config["passes"]
        self.alpha, self.inner_lr = config["alpha"], config["inner_lr"]
        self.fusion = ReFusionNet().to(device)
        self.reconstruction = Reconstruction().to(device)
        self.proposal = LossProposal().to(device)
        self.optimisers = {
            "fusion": torch.optim.Adam(self.fusion.parameters(), lr=config["lr"]),
            "reconstruction": torch.optim.Adam(self.reconstruction.parameters(), lr=config["lr"]),
            "proposal": torch.optim.Adam(self.proposal.parameters(), lr=config["proposal_lr"], eps=TINY),
        }
        self.decay_every, self.decay = config["decay_every"], config["decay"]
        dataset = next(iter(self.datasets.values()))
        self.patches = TrainingSplit(dataset, config["split"], Augment(crop=(config["patch"], config["patch"])))

    def state(self) -> Mapping[str, Any]:
        """See :meth:`Recipe.state`."""
        modules = {"fusion": self.fusion, "reconstruction": self.reconstruction, "proposal": self.proposal}
        return {**modules, **{f"{name}_optimiser": optimiser for name, optimiser in self.optimisers.items()}}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        self.patches.check()
        have, least = len(self.patches), 2 * self.size if self.meta_steps else self.size
        if have < least:
            fitting = self.size * have // least
            raise FusionbenchError(
                f"{self.patches.dataset.name} {self.patches.split}: {have} pairs, but a step needs {least} different "
                f"ones at batch={self.size}; use {f'batch={fitting} or ' if fitting else ''}more pairs"
            )

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`. The two groups of a meta step have no image in common."""
        steps = []
        for salt in range(self.passes, self.passes + self.meta_steps):
            both = draw(len(self.patches), 2 * self.size, seed, epoch, salt)
            steps.append(Step((tuple(both[: self.size]), tuple(both[self.size :])), "meta", salt))
        for salt in range(self.passes):
            steps += shuffled(len(self.patches), self.size, seed, epoch, kind="learn", salt=salt)
        return steps

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return [name for group in step.groups for name in self.patches.names(group)]

    def load(self, step: Step, epoch: int, seed: int) -> list[Pair]:
        """The pairs of one group (learning) or of two (meta step); a patch is cut anew each time an image is read."""
        return [self._pair(self.patches.batch(group, seed, epoch, step.salt)) for group in step.groups]

    def step(self, batch: list[Pair]) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        pairs = [(a.to(self.device), b.to(self.device)) for a, b in batch]
        return self.meta_step(*pairs) if len(pairs) == 2 else self.learning_step(*pairs)

    def outer_loss(self, here: Pair, there: Pair) -> tuple[Tensor, Tensor]:
        """Inner updates on one batch, reconstruction loss on another.

        The reconstruction module's copy learns from what the fusion module gave before its step.

        Args:
            here: meta-training pairs.
            there: meta-test pairs.

        Returns:
            The reconstruction loss of both copies on ``there``, differentiable in the proposal module through the
            inner update; and the proposed loss on ``here``.
        """
        fused = self.fusion(*here)
        proposed = proposed_loss(fused, *here, self.proposal(*here), self.alpha)
        fusion = functional.inner_update(proposed, self.fusion, self.inner_lr)
        error = reconstruction_loss(self.reconstruction(fused.detach()), *here)
        moved = functional.inner_update(error, self.reconstruction, self.inner_lr)
        reconstruction = {name: p.detach() for name, p in moved.items()}  # no proposal in it: no graph to keep
        rebuilt = functional.call(self.reconstruction, reconstruction, functional.call(self.fusion, fusion, *there))
        return reconstruction_loss(rebuilt, *there), proposed

    def meta_step(self, here: Pair, there: Pair) -> dict[str, Tensor]:
        """Inner and outer update; moves the proposal module alone. In float32 at any precision."""
        with functional.second_order():
            loss, proposed = self.outer_loss(here, there)
            gradients = functional.outer_gradient(loss, self.proposal.parameters())
        for parameter, gradient in zip(self.proposal.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimisers["proposal"].step()
        return {"loss": loss, "proposed": proposed, "gradient": torch.cat([g.flatten() for g in gradients]).norm()}

    def learning_step(self, pair: Pair) -> dict[str, Tensor]:
        """Move the fusion module by the proposed loss, the reconstruction module by the reconstruction loss."""
        with self.precision.autocast():
            with torch.no_grad():
                weights = self.proposal(*pair)
            fused = self.fusion(*pair)
            loss = proposed_loss(fused, *pair, weights, self.alpha)
        self.precision.update(loss, self.optimisers["fusion"])
        with self.precision.autocast():
            error = reconstruction_loss(self.reconstruction(fused.detach()), *pair)
        self.precision.update(error, self.optimisers["reconstruction"])
        return {"loss": loss, "reconstruction": error, "weight_a": weights[:, 0].mean()}

    def epoch_end(self, epoch: int) -> None:
        """Lower the learning rates; they are part of the optimisers' state."""
        if (epoch + 1) % self.decay_every == 0:
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] *= self.decay

    def pictures(self) -> Mapping[str, np.ndarray]:
        """One patch of the training set: both sources, the fused image, the weight of a, the rebuilt sources."""
        a, b = (x.to(self.device) for x in self._pair(self.patches.batch([0], 0, 0)))
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
    def _pair(batch: Any) -> Pair:
        return batch.ir, luma(batch.vis)
