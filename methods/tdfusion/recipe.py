"""How TDFusion is trained: meta steps that teach G a loss, then a pass that trains F by it, and T all along.

Bai et al., "Task-driven Image Fusion with Learnable Fusion Loss", CVPR 2025, section 3 (algorithm and settings). F is
the fusion network, G the loss generation module, T the network of the task. ``variant="released"`` is the procedure of
the authors' code, ``variant="paper"`` that of the text where it differs:

* a batch of two: one pair and the same pair swapped (paper: two pairs);
* G moves by lr * gradient / max |gradient|, one maximum over all of G (paper: Adam);
* T in the meta step takes one Adam step (paper: one plain gradient step).

Both: Adam for F and T; meta-train and meta-test pairs of an epoch do not overlap; the inner step is plain gradient
descent of F at the current learning rate. T's weights are put back after a meta step, its Adam moments (released) are
not. Boxes are scaled with their image, x by the width and y by the height; the released loader divides x by the height
and y by the width, which is not followed. Where the sources are silent and the choice is ours: sources are resized and
then fused for the task loss (nothing is fused at full size), crops have random places, nothing is mirrored, and in the
pass T sees F as it is after its step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.images import image_size
from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.network import refuse_two_stage
from fusionbench.tasks.task import task_of
from fusionbench.training import distributed
from fusionbench.training.data import TrainingSplit, crop, fitting_crop
from fusionbench.training.functional import call, restored, trainable
from fusionbench.training.meta import differentiated, inner_step, outer_step
from fusionbench.training.order import Step, draw, randomness, shuffled
from fusionbench.training.recipe import Recipe, Stateful

from .loss import fusion_loss, intensity_loss
from .recipe_pairs import Pairs, lumas, made_smaller
from .recipe_settings import PRESETS, WITHOUT_META, TDFusionSettings


class TDFusionRecipe(Recipe[TDFusionSettings, tuple[str, list[Pairs]]]):
    """Trains F, G and T on one dataset."""

    presets = PRESETS

    def build(self, settings: TDFusionSettings, device: torch.device) -> None:
        """Networks, optimisers, training set.

        Raises:
            FusionbenchError: an odd batch, several datasets, a two-stage detector, fp16.
        """
        if len(self.datasets) != 1:
            raise FusionbenchError(f"tdfusion trains on one dataset, not on {', '.join(self.datasets) or 'none'}")
        if settings.precision == "fp16":
            raise FusionbenchError("precision=fp16: gradients through a step underflow in fp16; use fp32 or bf16")
        self.settings, self.device, self.ablation = settings, device, settings.ablation
        self.released = settings.variant == "released"
        self.alpha = 0.0 if self.ablation == "no-gradient" else settings.alpha
        self.pairs = settings.batch // 2 if self.released else settings.batch
        if self.released and settings.batch % 2:
            raise FusionbenchError(f"batch={settings.batch}: every pair is also swapped, so it is a multiple of 2")
        (self.dataset,) = self.datasets.values()
        self.task = task_of(settings.network)
        self.network = self.task.build(settings.network, self.dataset, 1, settings.backbone, settings.layout)
        refuse_two_stage(self.network, "tdfusion")
        if settings.trained:
            self._begin_from(Path(settings.trained))
        self.fusion, self.proposal = ReFusionNet(), LossProposal()
        self.lr = {"fusion": settings.lr_fusion, "proposal": settings.lr_proposal, "task": settings.lr_task}
        parts = {"fusion": self.fusion, "proposal": self.proposal, "task": self.network}
        self.adam = {n: torch.optim.Adam(p.to(device).parameters(), lr=self.lr[n]) for n, p in parts.items()}
        self.split = TrainingSplit(self.dataset, settings.split, None, [self.task.needs], limit=settings.limit)

    def _begin_from(self, path: Path) -> None:
        """Give T the weights of a trained network of the same name, classes and channels."""
        if not path.exists():
            raise FusionbenchError(f"trained={path}: no such file or folder")
        network, facts = load_network(path)
        wanted = (self.settings.network, self.task.classes(self.dataset), 1)
        if (given := (facts["name"], tuple(facts["classes"]), network.channels)) != wanted:
            kinds = [
                f"{name} for {len(classes)} classes and {channels} channel(s)"
                for name, classes, channels in (given, wanted)
            ]
            raise FusionbenchError(f"trained={path}: holds {kinds[0]}, wanted is {kinds[1]} of {self.dataset.name}")
        self.network.load_state_dict(network.state_dict())

    def state(self) -> Mapping[str, Stateful]:
        """Networks, and Adam's moments with the present learning rates."""
        networks = {"fusion": self.fusion, "proposal": self.proposal, "task": self.network}
        return {**networks, **{f"adam_{name}": value for name, value in self.adam.items()}}

    def check(self) -> None:
        """Every image and label; with a note where the crop had to be made smaller.

        Raises:
            FusionbenchError: an image below 32x32, or masks that are no whole multiple of what T sees.
        """
        self.split.check()
        files = [self.dataset.files(self.split.split, ident).ir for ident in self.split.ids]
        sizes = {image_size(file)[::-1] for file in files if file}
        smallest = (min(h for h, _ in sizes), min(w for _, w in sizes))
        wanted = self.settings.crop
        self.crop = fitting_crop(smallest, wanted)
        if self.crop != wanted:
            self.note(
                f"{self.dataset.name}: images of {smallest[0]}x{smallest[1]} are smaller than the crop of "
                f"{wanted[0]}x{wanted[1]} (height x width); the fusion loss is taken on {self.crop[0]}x{self.crop[1]}"
            )
        self.size = self.settings.task_size
        for height, width in sizes if self.task.needs == "mask" else ():
            if height % self.size[0] or (height // self.size[0]) * self.size[1] != width:
                raise FusionbenchError(
                    f"{self.dataset.name}: masks of {height}x{width} are no whole multiple of the setting "
                    f"'task_size=({self.size[0]},{self.size[1]})', height and width; choose one that divides them"
                )

    # ------------------------------------------------------------ data

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.split]

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        raise FusionbenchError("meta steps go through an update of the whole batch; see the setting checkpointing")

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """The epoch's meta steps, then a pass over the training set."""
        fusing = shuffled(len(self.split), self.pairs, seed, epoch, kind="fuse")
        if self.ablation == "joint":
            return self._meta_steps(len(fusing), epoch, seed)
        steps = 0 if self.ablation in WITHOUT_META else self.settings.meta_steps
        return [*self._meta_steps(steps, epoch, seed), *fusing]

    def _meta_steps(self, steps: int, epoch: int, seed: int) -> list[Step]:
        """The first half of a random order feeds inner steps, the other half outer ones, again where too few.

        Raises:
            FusionbenchError: fewer than two batches in the training set.
        """
        order = draw(len(self.split), len(self.split), seed, epoch, 1)
        half = len(order) // (2 * self.pairs) * self.pairs
        if steps and not half:
            raise FusionbenchError(f"{len(order)} training pairs are too few: a meta step needs {2 * self.pairs}")
        rows = []
        for number in range(steps):
            offset = number * self.pairs % half if half else 0
            inner, outer = (tuple(order[start + offset : start + offset + self.pairs]) for start in (0, half))
            rows.append(Step((inner, outer), "meta", salt=number + 1))
        return rows

    def load(self, step: Step, epoch: int, seed: int) -> tuple[str, list[Pairs]]:
        """Lumas of the pairs: random crops, and whole images with their labels."""
        return step.kind, [self._read(group, epoch, seed, step.salt) for group in step.groups]

    def _read(self, group: Sequence[int], epoch: int, seed: int, salt: int) -> Pairs:
        crops, whole = [], []
        for index in group:
            sample = self.split.held(index)
            rng = randomness(seed, epoch, index, salt)
            room = [have - size + 1 for have, size in zip(sample.ir.shape[1:], self.crop, strict=True)]
            top, left = (int(rng.integers(r)) for r in room)
            crops.append(crop(replace(sample, mask=None, boxes=None), top, left, self.crop))
            whole.append(made_smaller(sample, self.size))
        return Pairs(lumas(crops), lumas(whole), [self.task.target(s) for s in whole])

    def names(self, step: Step) -> list[str]:
        """Ids."""
        return [name for group in step.groups for name in self.split.names(group)]

    # ------------------------------------------------------------ steps

    def step(self, batch: tuple[str, list[Pairs]]) -> Mapping[str, Tensor]:
        """A meta step, or a step of the pass."""
        kind, groups = batch
        here = [group.on(self.device, self.released) for group in groups]
        for part in (self.fusion, self.proposal, self.network):
            part.train()
        if kind == "meta":
            values = self._meta(*here)
            return {**values, **self._fusion_step(here[0])} if self.ablation == "joint" else values
        if self.ablation == "average":
            return self._averaged(*here)
        values = self._fusion_step(*here)
        return {"loss": values["fusion"], **values}

    def _meta(self, train: Pairs, test: Pairs) -> dict[str, Tensor]:
        """Move G; F and T end as they were."""
        settings, pair = self.settings, train.crops
        factor = self.adam["task"].param_groups[0]["lr"] / settings.lr_task
        moments = copy.deepcopy(self.adam["task"].state_dict()) if settings.restore_moments else None
        with differentiated(settings.derivative), restored(self.network):
            with self.precision.autocast():
                inner = inner_step(
                    self.fusion,
                    pair,
                    call(self.proposal, trainable(self.proposal), *pair, checkpointed=settings.checkpointing),
                    lambda fused, weights: fusion_loss(fused, *pair, weights, self.alpha).total,
                    settings.lr_inner * factor,
                    slope=lambda fused, weights: intensity_loss(fused, *pair, weights),
                    way=settings.derivative,
                    checkpointed=settings.checkpointing,
                )
            before = self._task_step(train, plain=not self.released, lr=settings.lr_task * factor)
            with self.precision.autocast():
                fused = call(self.fusion, inner.moved, *test.whole, checkpointed=settings.checkpointing).float()
                task = self.network.loss(fused, test.targets)
            gradients = outer_step(self.fusion, inner, task, self.proposal.parameters())
        if moments is not None:
            self.adam["task"].load_state_dict(moments)
        largest = torch.stack([g.abs().max() for g in gradients]).max()
        self._move_proposal(gradients, largest, settings.lr_proposal * factor)
        return {"loss": task.detach(), "task": before, "inner": inner.loss, "slope": largest}

    @torch.no_grad()
    def _move_proposal(self, gradients: list[Tensor], largest: Tensor, lr: float) -> None:
        parameters = list(self.proposal.parameters())
        if not self.released:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            self.adam["proposal"].step()
        elif largest > 0:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(lr * gradient / largest)

    def _fusion_step(self, pairs: Pairs) -> dict[str, Tensor]:
        """Move F by the fusion loss (and by the task loss where that is the ablation), then T on what F makes."""
        a, b = pairs.crops
        with torch.no_grad(), self.precision.autocast():
            weights = self._weights(a, b)
        with self.precision.autocast():
            loss = fusion_loss(self.fusion(a, b).float(), a, b, weights, self.alpha)
            aim = loss.total
            if self.ablation == "direct":
                aim = aim + self.network.loss(self.fusion(*pairs.whole).float(), pairs.targets)
        self.precision.update(aim, self.adam["fusion"])
        terms = {"intensity": loss.intensity.detach(), "gradient": loss.gradient.detach()}
        return {"fusion": loss.total.detach(), **terms, "task": self._task_step(pairs), "w_a": weights[:, 0].mean()}

    def _weights(self, first: Tensor, second: Tensor) -> Tensor:
        if self.ablation in ("fixed", "direct"):
            return torch.cat((first, second), dim=1).new_full((len(first), 2, *first.shape[2:]), 0.5)
        weights: Tensor = self.proposal(first, second).float()
        return weights

    def _task_step(self, pairs: Pairs, plain: bool = False, lr: float = 0.0) -> Tensor:
        """Move T once on detached fused images, by Adam or by plain gradient descent; the loss before that."""
        with torch.no_grad(), self.precision.autocast():
            fused = self.fusion(*pairs.whole).float()
        with self.precision.autocast():
            loss = self.network.loss(fused, pairs.targets)
        if not plain:
            self.precision.update(loss, self.adam["task"])
            return loss.detach()
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, distributed.all_mean(gradients), strict=True):
                parameter.sub_(lr * gradient)
        return loss.detach()

    def _averaged(self, pairs: Pairs) -> dict[str, Tensor]:
        """Move G and T by the task loss of the weighted average."""
        with self.precision.autocast():
            weights = self.proposal(*pairs.whole).float()
            fused = (weights * torch.cat(pairs.whole, dim=1)).sum(1, keepdim=True)
            loss = self.network.loss(fused, pairs.targets)
        self.adam["task"].zero_grad(set_to_none=True)
        self.precision.update(loss, self.adam["proposal"])
        distributed.average_gradients(self.network.parameters())
        self.adam["task"].step()
        return {"loss": loss.detach(), "w_a": weights[:, 0].mean().detach()}

    def epoch_end(self, epoch: int) -> None:
        """Learning rates, all by the same factor."""
        factor = self.settings.decay ** ((epoch + 1) // self.settings.decay_every)
        for name, adam in self.adam.items():
            adam.param_groups[0]["lr"] = self.lr[name] * factor

    # ------------------------------------------------------------ what comes out

    @torch.no_grad()
    def pictures(self) -> Mapping[str, np.ndarray]:
        """The first training pair as fused, and w_a of it."""
        a, b = self._read([0], 0, 0, 0).on(self.device, False).whole
        weights = self._weights(a, b)
        fused = (weights * torch.cat((a, b), 1)).sum(1) if self.ablation == "average" else self.fusion(a, b)[:, 0]
        shown = {"fused": fused, "w_a": weights[:, 0]}
        return {name: (x[0].clamp(0, 1) * 255).round().byte().cpu().numpy() for name, x in shown.items()}

    def export(self) -> dict[str, Tensor]:
        """``F.*`` and ``G.*``, of those that the ablation has."""
        parts = {"F": self.fusion, "G": self.proposal}
        if self.ablation == "average":
            del parts["F"]
        elif self.ablation in WITHOUT_META:
            del parts["G"]
        return {
            f"{letter}.{name}": value.detach().cpu().contiguous()
            for letter, part in parts.items()
            for name, value in part.state_dict().items()
        }
