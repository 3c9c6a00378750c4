"""Training SegMiF: rounds of fusion, which looks at the segmentation's features and loss, and of the segmentation.

Liu et al., ICCV 2023, section 3; values of the authors' ``train.py``, ``configs/`` and ``core/loss.py``. Fusion is
drawn to a picture of the pair that their data brings along, made by visual saliency (issue 9); ours is
:func:`.network.salient`, which the segmentation's encoder sees as well. Left out are their weights of both losses by
the pace at which those fall, as they differ from 1 by less than a thousandth (a temperature of 1000), the jitter of
colours, and validation: they keep the segmentation that scored best on their test images, here the last one goes on.
Their second round is guided by a segmentation whose decoder has not learned, as it reads the learned one from the third
on; here by the one that learned in the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.colour import luma, recombine
from fusionbench.data import Dataset
from fusionbench.methods._depth import deepen
from fusionbench.methods._mit import SMALLEST, begun
from fusionbench.methods.losses.gradients import sobel_l1
from fusionbench.methods.losses.semantic import cross_entropy
from fusionbench.methods.losses.structure import ssim_padded
from fusionbench.methods.semantic_loop import LoopRecipe, LoopSettings, Part, Turn, forgotten, stored
from fusionbench.plugins.weights import read_tensors
from fusionbench.tasks.network import Normalise, Target, TaskNetwork, fit
from fusionbench.tasks.task import Task, task
from fusionbench.training.data import Augment, Batch
from fusionbench.training.settings import Count, Interval, Natural, NotNegative, Positive, Presets, Probability, Size

from .network import SIZES, Fusion, Segmentation, at_size, salient


@dataclass(frozen=True, kw_only=True)
class SegMiFSettings(LoopSettings):
    """Each value with its source: code (the authors') or ours."""

    network: Literal["mit-b3", "tiny"] = "mit-b3"  # size of the segmentation; code
    backbone: str | None = None  # a local file of its encoder; code: MiT-B3 of ImageNet
    split: str = "train"  # code: of MFNet, and of FMB
    batch: Count = 2  # of both parts; code
    scale: Interval | None = (0.5, 2.0)  # of both; code
    crop: Size = (320, 320)  # of the fusion; code
    steps_first: Count = 6000  # of the fusion in the first round; code
    steps_later: Count = 4000  # in all later ones; code
    lr: Positive = 1e-4  # of AdamW, divided by the number of the round; code
    fall: Count = 20000  # steps in which the rate of a round would fall to 0; code
    weight_ssim: NotNegative = 1.1  # after the first round; code
    weight_fusion: NotNegative = 0.4  # after the first round, divided by the number of the round; code
    weight_semantic: NotNegative = 0.8  # code
    task_steps: Count = 10000  # in a round; code
    task_crop: Size = (480, 480)  # code
    task_lr: Positive = 8e-5  # of AdamW; of the decoder ten times it; code
    task_warmup: Natural = 3000  # steps in which it rises; code
    task_fall: Count = 160000  # steps in which it would fall to 0, over all rounds; code
    decay: NotNegative = 0.01  # of weights, but those of the encoder's normalisation; code
    depth: Probability = 0.1  # how often the encoder's last block is left out, the first never; code
    epochs: Count = 7  # rounds; code
    workers: Natural = 4  # code
    log_every: Count = 50  # code


class Segmenter(TaskNetwork):
    """The method's own segmentation as a task network, named as in what is exported."""

    def __init__(self, seg: Segmentation, ignore_index: int) -> None:
        super().__init__()
        self.seg, self.normalise, self.ignore_index = seg, Normalise(), ignore_index

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """Cross entropy at the size of the masks."""
        labels = torch.stack([target.mask for target in targets if target.mask is not None])
        (scores,) = at_size([self.seg.logits(self.normalise(images))], labels.shape[1:])
        return cross_entropy(scores, labels, self.ignore_index)


class SegMiFRecipe(LoopRecipe[SegMiFSettings]):
    """First two terms, then two others and segmentation; both networks go on from round to round."""

    least, sides = SMALLEST, ("crop", "task_crop")
    presets = Presets(
        record=SegMiFSettings,
        lengths=("steps_first", "steps_later", "task_steps", "task_warmup", "fall", "task_fall"),
        sizes={
            "tiny": {
                "network": "tiny",
                "scale": None,
                "crop": (32, 32),
                "steps_first": 12,
                "steps_later": 6,
                "lr": 1e-3,
                "task_steps": 8,
                "task_crop": (32, 32),
                "task_lr": 1e-3,
                "task_warmup": 4,
                "task_fall": 40,
                "epochs": 2,
                "workers": 0,
                "log_every": 1,
            }
        },
    )

    def fusion_network(self) -> Fusion:
        """See :meth:`LoopRecipe.fusion_network`."""
        return Fusion(SIZES[self.settings.network].dims)

    def task_network(self, dataset: Dataset) -> tuple[Task, TaskNetwork]:
        """The method's own, for the classes of the dataset."""
        segmentation, s = task("segmentation"), self.settings
        seg = Segmentation(SIZES[s.network], len(segmentation.classes(dataset)))
        encoder = seg.denoise_net.get_submodule("encoder")
        begun(encoder)
        if s.backbone:
            tensors = read_tensors(Path(s.backbone))
            encoder.load_state_dict(fit(encoder, {k: v for k, v in tensors.items() if not k.startswith("head.")}))
        deepen([encoder], s.depth)
        return segmentation, Segmenter(seg, 255 if dataset.ignore_index is None else dataset.ignore_index)

    def optimiser(self, part: Part, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW; the decoder learns ten times as fast as the encoder."""
        decay = self.settings.decay
        if part == "fusion":
            return torch.optim.AdamW(network.parameters(), weight_decay=decay)
        encoder = [(n, p) for n, p in network.named_parameters() if ".encoder." in n]
        decoder = [p for n, p in network.named_parameters() if ".encoder." not in n]
        rows = [
            {"params": [p for n, p in encoder if "norm" not in n], "weight_decay": decay},
            {"params": [p for n, p in encoder if "norm" in n], "weight_decay": 0.0},
            {"params": decoder, "weight_decay": decay, "share": 10.0},
        ]
        return torch.optim.AdamW(rows)

    def steps(self, part: Part, round: int) -> int:
        """See :meth:`LoopRecipe.steps`."""
        s = self.settings
        return s.task_steps if part == "task" else s.steps_later if round else s.steps_first

    def rate(self, turn: Turn) -> float:
        """Of the fusion anew in every round; of the segmentation over all."""
        s = self.settings
        if turn.part == "fusion":
            return s.lr / (turn.round + 1) * max(0.0, 1 - turn.number / s.fall)
        done = turn.round * s.task_steps + turn.number
        if done < s.task_warmup:
            return s.task_lr * max(1e-6, done / s.task_warmup)
        return s.task_lr * max(0.0, 1 - done / s.task_fall)

    def augment(self, part: Part) -> Augment:
        """See :meth:`LoopRecipe.augment`."""
        s = self.settings
        return Augment(scale=s.scale, crop=s.crop if part == "fusion" else s.task_crop)

    def fused(self, ir: Tensor, vis: Tensor) -> Tensor:
        """The encoder sees the salient picture, without normalisation and gradient, as released."""
        y = luma(vis)
        with torch.no_grad():
            maps = self.task.get_submodule("seg")(salient(ir, y).expand_as(vis))
        fused: Tensor = self.net(ir, y, *at_size(maps, ir.shape[-2:]))
        return fused

    def fusion_losses(self, fused: Tensor, batch: Batch, turn: Turn) -> dict[str, Tensor]:
        """Distance to the salient picture: L1 and gradient in the first round, squared and SSIM later."""
        target, s = salient(batch.ir, luma(batch.vis)), self.settings
        if not turn.round:
            intensity, gradient = F.l1_loss(fused, target), sobel_l1(fused, target)
            return {"loss": intensity + gradient, "intensity": intensity, "gradient": gradient}
        pixel, ssim = F.mse_loss(fused, target), 1 - ssim_padded(fused, target)
        loss = s.weight_fusion / (turn.round + 1) * (pixel + s.weight_ssim * ssim)
        return {"loss": loss, "pixel": pixel, "ssim": ssim}

    def semantic_weight(self, turn: Turn) -> float:
        """The same in all rounds."""
        return self.settings.weight_semantic

    def coloured(self, fused: Tensor, vis: Tensor) -> Tensor:
        """With the visible chroma; not clipped, as released."""
        return recombine(fused, vis, "seafusion")

    def as_read(self, fused: Tensor) -> Tensor:
        """As the files that they fuse into."""
        return stored(fused.clamp(0, 1))

    def round_ends(self, round: int) -> None:
        """The moments of both are forgotten."""
        for optimiser in self.moves.values():
            forgotten(optimiser)

    def export(self) -> dict[str, Tensor]:
        """``fusion.*`` and ``seg.*``, as the two released files together."""
        named = {f"fusion.{name}": value for name, value in self.net.state_dict().items()}
        named |= self.task.state_dict()
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}
