"""Training TarDAL, stage dt: a generator against two critics, one of targets and one of details.

Liu et al., CVPR 2022, section 3; values of the authors' ``config/official/train/tardal-dt.yaml``, procedure of their
``scripts/train_f.py``. What the recipe does otherwise:

* the mask of targets is the infrared's histogram contrast; theirs comes from a saliency network (U²-Net) that is
  not part of this;
* both sources weigh the same; theirs are weighted by the mean activation of a VGG that they trained;
* every network has an optimiser of its own. Their stage dt has one for all three, so that its generator's step also
  moves the critics towards calling the fused image real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fusionbench.colour import grey
from fusionbench.errors import FusionbenchError
from fusionbench.methods.losses.adversarial import critic_loss, gradient_size, ms_ssim_l1
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.distributed import drawn, own_share, world
from fusionbench.training.order import Step, shuffled
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, NotNegative, Positive, Presets, Settings

from .network import TarDALNet

MOMENTUM = 0.937  # code


@dataclass(frozen=True, kw_only=True)
class TarDALSettings(Settings):
    """Stage dt. Each value with its source: code (the authors' configuration) or ours."""

    split: str = "train"  # code: RoadScene's training list
    batch: Count = 32  # code
    patch: Count = 224  # side to which a whole image is brought; a multiple of 8; code
    lr: Positive = 1e-3  # of AdamW; code
    last: Positive = 1e-3  # share of the rate that is left in the end; code
    weight_decay: NotNegative = 5e-4  # of convolutions; code
    source: NotNegative = 0.8  # weight of the distance to the sources; code
    weight_ir: NotNegative = 0.5  # ours; code: mean activation of a VGG
    weight_vis: NotNegative = 0.5  # ours; likewise
    adversarial: NotNegative = 0.2  # weight of both critics' verdicts; code
    target: NotNegative = 0.5  # of the one of targets; code
    detail: NotNegative = 0.5  # of the one of details; code
    warm: NotNegative = 10  # epochs in which the generator does not listen to the critics; code
    masked_details: bool = False  # whether details are looked at outside the mask only; code (version 0: true)
    epochs: Count = 1000  # code


class Critic(nn.Module):
    """Three strided convolutions and a linear layer, ``[B,1,side,side]`` to ``[B,1]``."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (side // 8) ** 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """How real each image looks."""
        out: Tensor = self.layers(x)
        return out


def contrast(ir: Tensor) -> Tensor:
    """Mean distance of each level to all others of its image, brought to [0,1]: ``[B,1,H,W]`` likewise.

    The histogram contrast of Zhai and Shah (2006), which weighs sources in the paper's section 3.2.
    """
    levels = torch.arange(256.0, device=ir.device)
    distance = (levels[:, None] - levels).abs()
    maps = []
    for image in (255 * ir).round().long():
        counts = distance.new_zeros(256).index_add_(0, image.flatten(), torch.ones_like(ir[0]).flatten())
        salient = distance @ counts
        of_pixels = salient[image]
        low, high = of_pixels.aminmax()
        maps.append((of_pixels - low) / (high - low).clamp(min=1e-6))
    return torch.stack(maps)


def grouped(networks: Sequence[nn.Module], decay: float) -> list[dict[str, object]]:
    """Biases, weights that decay, and those of normalisation, which do not; as optimisers take them."""
    biases: list[nn.Parameter] = []
    kernels: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for layer in (layer for network in networks for layer in network.modules()):
        for name, parameter in layer.named_parameters(recurse=False):
            is_norm = isinstance(layer, nn.BatchNorm2d)
            (biases if name == "bias" else norms if is_norm else kernels).append(parameter)
    return [
        {"params": biases, "weight_decay": 0.0},
        {"params": kernels, "weight_decay": decay},
        {"params": norms, "weight_decay": 0.0},
    ]


class TarDALRecipe(Recipe[TarDALSettings, tuple[int, Batch]]):
    """Stage dt: in each step the generator, then the critic of targets, then that of details."""

    presets = Presets(
        record=TarDALSettings,
        lengths=("epochs", "warm"),
        sizes={"tiny": {"batch": 4, "patch": 48, "lr": 3e-3, "last": 0.1, "warm": 2, "epochs": 12}},
    )

    def build(self, settings: TarDALSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`."""
        self.begin(settings, device, Augment(resize=(settings.patch, settings.patch), flip=0.0))
        self.adam = {
            name: torch.optim.AdamW(grouped([network], settings.weight_decay), lr=settings.lr, betas=(MOMENTUM, 0.999))
            for name, network in self.networks.items()
        }
        self.schedules = {name: self.falling(adam) for name, adam in self.adam.items()}

    def begin(self, settings: TarDALSettings, device: torch.device, augment: Augment) -> None:
        """Networks and pairs.

        Raises:
            FusionbenchError: a side that three halvings do not divide, or fp16.
        """
        if settings.patch % 8:
            raise FusionbenchError(f"patch={settings.patch}: must be a multiple of 8")
        if settings.precision == "fp16":
            raise FusionbenchError("precision=fp16: the critics' slopes underflow in fp16; use fp32 or bf16")
        self.settings, self.device = settings, device
        (self.dataset,) = self.datasets.values()
        parts = {"generator": TarDALNet(), "target": Critic(settings.patch), "detail": Critic(settings.patch)}
        self.networks: dict[str, nn.Module] = {name: part.to(device) for name, part in parts.items()}
        self.pairs = TrainingSplit(self.dataset, settings.split, augment)

    def falling(self, optimiser: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """A rate that falls linearly, epoch by epoch."""
        s = self.settings
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda e: (1 - e / s.epochs) * (1 - s.last) + s.last)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`."""
        adam = {f"adam_{name}": part for name, part in self.adam.items()}
        schedules = {f"schedule_{name}": part for name, part in self.schedules.items()}
        return {**self.networks, **adam, **schedules}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        self.pairs.check()

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.pairs]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """See :meth:`Recipe.batches`."""
        return shuffled(len(self.pairs), self.settings.batch, seed, epoch)

    def names(self, step: Step) -> list[str]:
        """See :meth:`Recipe.names`."""
        return [name for group in step.groups for name in self.pairs.names(group)]

    def load(self, step: Step, epoch: int, seed: int) -> tuple[int, Batch]:
        """The epoch, on which weights depend, and the batch."""
        return epoch, self.pairs.batch(step.groups[0], seed, epoch)

    def step(self, batch: tuple[int, Batch]) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        epoch, pairs = batch[0], batch[1].to(self.device)
        ir, vis, mask = pairs.ir, grey(pairs.vis), contrast(pairs.ir)
        losses = self.generator_losses(ir, vis, mask, epoch)
        self.precision.update(losses["loss"], self.adam["generator"])
        critics = self.critic_losses(ir, vis, mask)
        for name, loss in critics.items():
            self.precision.update(loss, self.adam[name])
        values = {**losses, **{f"critic_{name}": loss for name, loss in critics.items()}}
        return {name: value.detach() for name, value in values.items()}

    def generator_losses(self, ir: Tensor, vis: Tensor, mask: Tensor, epoch: int) -> dict[str, Tensor]:
        """Distance to both sources, and how little the critics believe; batch statistics."""
        s, (target, detail) = self.settings, (self.networks[name] for name in ("target", "detail"))
        with self.precision.autocast():
            fused = self.networks["generator"].train()(ir, vis)
        fused = fused.float()
        source = s.weight_ir * ms_ssim_l1(fused, ir) + s.weight_vis * ms_ssim_l1(fused, vis)
        verdict = s.target * -target(fused * mask).mean() + s.detail * -detail(self.details(fused, mask)).mean()
        listens = s.adversarial if epoch >= s.warm else 0.0
        return {"loss": s.source * source + listens * verdict, "source": source, "verdict": verdict}

    def critic_losses(self, ir: Tensor, vis: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Of both critics, on what the generator makes with its running statistics."""
        with torch.no_grad():
            fused: Tensor = self.networks["generator"].eval()(ir, vis)
        looked = {
            "target": (ir * mask, fused * mask),
            "detail": (self.details(vis, mask), self.details(fused, mask)),
        }
        count = len(ir) * world()  # a share for each sample of the whole batch
        shares = (own_share(drawn(lambda: torch.rand(count, 1, 1, 1, device=self.device))) for _ in looked)
        return {
            name: critic_loss(self.networks[name], *looked[name], share)
            for name, share in zip(looked, shares, strict=True)
        }

    def details(self, image: Tensor, mask: Tensor) -> Tensor:
        """The sizes of gradients that the critic of details sees."""
        return gradient_size(image) * (1 - mask) if self.settings.masked_details else gradient_size(image)

    def epoch_end(self, epoch: int) -> None:
        """See :meth:`Recipe.epoch_end`."""
        for schedule in self.schedules.values():
            schedule.step()

    def export(self) -> dict[str, Tensor]:
        """The generator, named as in the authors' checkpoint."""
        held = self.networks["generator"].state_dict()
        return {name: value.detach().cpu().contiguous() for name, value in held.items()}
