"""Training TarDAL, stage ct: generator, critics and a detector together.

Liu et al., CVPR 2022, section 3; values of the authors' ``config/official/train/tardal-ct.yaml``, procedure of their
``scripts/train_fd.py``; begins with the weights of stage dt (``--from``). What the recipe does otherwise, besides what
stage dt does:

* the detector is one of ours, with our loss. It reaches the generator after the warm-up, as the paper has it; in their
  code it never does, since the fused image is made without gradients (``cooperative=false``);
* rates rise from the first to the second end of the warm-up; theirs stay where they are, as both ends of the
  interpolation move along with the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fusionbench.colour import grey, to_rgb, to_ycbcr
from fusionbench.errors import FusionbenchError
from fusionbench.tasks.task import task_of
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.distributed import average_gradients
from fusionbench.training.order import Step, draw
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, NotNegative, Positive, Presets, Probability

from .recipe import MOMENTUM, TarDALRecipe, TarDALSettings, contrast, grouped


@dataclass(frozen=True, kw_only=True)
class CooperativeSettings(TarDALSettings):
    """Stage ct."""

    batch: Count = 16  # code
    patch: Count = 320  # code
    flip: Probability = 0.5  # mirrored; code
    lr: Positive = 1e-2  # of SGD, generator and detector; code
    lr_critics: Positive = 1e-4  # of SGD; code
    last: Positive = 0.1  # code
    together: Count = 4  # batches for one step of generator and detector; code: 64 images
    clip: Positive = 10.0  # largest norm of their gradient; code
    network: str = "yolov5-s"  # detector; code: theirs
    fuse: NotNegative = 0.5  # weight of the generator's loss; code
    detect: NotNegative = 0.5  # of the detector's; code
    cooperative: bool = True  # whether the detector's loss reaches the generator after the warm-up; paper
    warm: NotNegative = 1  # code: half of the next
    warm_biases: NotNegative = 2  # epochs in which only biases move and the detector reaches nobody; code
    warm_rates: NotNegative = 3  # epoch at which all rates have risen; code
    warm_lr: Positive = 0.1  # of biases at first; code
    warm_momentum: Probability = 0.8  # at first; code
    epochs: Count = 300  # code


class CooperativeRecipe(Recipe[CooperativeSettings, tuple[float, list[Batch]]]):
    """Stage ct: generator and detector move together every few batches, the critics at each."""

    presets = Presets(
        record=CooperativeSettings,
        lengths=("epochs", "warm", "warm_biases", "warm_rates"),
        sizes={
            "tiny": {
                **{"batch": 2, "patch": 64, "together": 1, "network": "yolov5-tiny", "lr": 1e-2, "warm_lr": 1e-2},
                **{"warm": 1, "warm_biases": 1, "warm_rates": 2, "epochs": 12},
            }
        },
    )

    def build(self, settings: CooperativeSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: no such detector, a side that is no multiple of 8, or fp16.
        """
        task = task_of(settings.network)
        if task.needs != "boxes":
            raise FusionbenchError(f"network={settings.network}: needs a detector, such as yolov5-s")
        self.settings = settings
        self.gan = TarDALRecipe()
        self.gan.datasets, self.gan.precision = self.datasets, self.precision
        self.gan.begin(settings, device, Augment(resize=(settings.patch, settings.patch), flip=settings.flip))
        self.pairs = self.gan.pairs
        self.pairs.needs, self.pairs.target = (task.needs,), task.target
        self.detector = task.build(settings.network, self.gan.dataset, 3).to(device)
        self.moving = [self.gan.networks["generator"], self.detector]
        self.sgd = self.nesterov(self.moving, settings.lr)
        critics = {name: self.gan.networks[name] for name in ("target", "detail")}
        self.critics = {name: self.nesterov([critic], settings.lr_critics) for name, critic in critics.items()}

    def nesterov(self, networks: Sequence[nn.Module], lr: float) -> torch.optim.SGD:
        """Plain gradient descent with momentum."""
        return torch.optim.SGD(grouped(networks, self.settings.weight_decay), lr=lr, momentum=MOMENTUM, nesterov=True)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        critics = {f"sgd_{name}": sgd for name, sgd in self.critics.items()}
        return {**self.gan.networks, "detector": self.detector, "sgd": self.sgd, **critics}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        self.pairs.check()

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.pairs]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """Some batches a step, all that are moved by together; ``salt`` counts the steps."""
        s, count = self.settings, len(self.pairs) // (self.settings.batch * self.settings.together)
        if not count:
            wanted = s.batch * s.together
            raise FusionbenchError(f"{len(self.pairs)} training pairs, a step needs {wanted}: use a smaller batch")
        order = draw(len(self.pairs), len(self.pairs), seed, epoch)
        parts = [tuple(order[i : i + s.batch]) for i in range(0, count * s.batch * s.together, s.batch)]
        return [Step(tuple(parts[i * s.together : (i + 1) * s.together]), salt=i) for i in range(count)]

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return self.gan.names(step)

    def load(self, step: Step, epoch: int, seed: int) -> tuple[float, list[Batch]]:
        """How many epochs have gone by, with those of this one's steps; and the batches."""
        steps = len(self.pairs) // (self.settings.batch * self.settings.together)
        return epoch + step.salt / steps, [self.pairs.batch(group, seed, epoch) for group in step.groups]

    def step(self, batch: tuple[float, list[Batch]]) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        time, parts = batch
        self.set_rates(time)
        self.sgd.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for part in (part.to(self.gan.device) for part in parts):
            for name, value in self.accumulate(part, time).items():
                sums[name] = sums.get(name, 0) + value / len(parts)
        moved = [p for group in self.sgd.param_groups for p in group["params"]]
        average_gradients(moved)
        torch.nn.utils.clip_grad_norm_(moved, self.settings.clip)
        self.sgd.step()
        return sums

    def accumulate(self, part: Batch, time: float) -> dict[str, Tensor]:
        """Add one batch's gradients of generator and detector, and move the critics."""
        s, ir, vis, mask = self.settings, part.ir, grey(part.vis), contrast(part.ir)
        losses = self.gan.generator_losses(ir, vis, mask, int(time))
        reaches = s.cooperative and time >= s.warm_biases
        with torch.set_grad_enabled(reaches):
            fused = self.gan.networks["generator"].eval()(ir, vis)
        colours = to_rgb(fused, to_ycbcr(part.vis, "opencv")[1], "opencv").clamp(0, 1)
        detected = self.detector.train().loss(colours, part.targets)
        total = s.fuse * losses["loss"] + s.detect * detected
        total.backward()
        critics = self.gan.critic_losses(ir, vis, mask)
        for name, loss in critics.items():
            self.gan.precision.update(loss, self.critics[name])
        values = {**losses, "loss": total, "detection": detected, **{f"critic_{n}": x for n, x in critics.items()}}
        return {name: value.detach() for name, value in values.items()}

    def set_rates(self, time: float) -> None:
        """The warm-up, by the time in epochs; then a linear fall, epoch by epoch."""
        s, done = self.settings, int(time) / self.settings.epochs
        usual = s.lr * ((1 - done) * (1 - s.last) + s.last)
        risen = min(1.0, max(0.0, (time - s.warm_biases) / max(s.warm_rates - s.warm_biases, 1e-9)))
        for number, group in enumerate(self.sgd.param_groups):
            start = s.warm_lr if number == 0 else 0.0
            group["lr"] = start + risen * (usual - start)
            group["momentum"] = s.warm_momentum + risen * (MOMENTUM - s.warm_momentum)

    def export(self) -> dict[str, Tensor]:
        """The generator, named as in the authors' checkpoint."""
        return self.gan.export()
