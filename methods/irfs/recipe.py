"""Training IRFS: rounds of fusion, which a saliency network guides, and of that network.

Wang et al., Information Fusion 98, 2023, section 3; values of the authors' ``Trainer/train_Inter_IR_FSOD.py`` and
``loss/fusion_loss.py``. Their saliency network looks at both sources and at what is fused; it is not among ours, and
the one that stands here, with its own loss, sees what is fused alone. They keep the one that scored best on test
images, here the last one goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.colour import grey
from fusionbench.errors import FusionbenchError
from fusionbench.methods.losses.gradients import laplacian_max
from fusionbench.methods.losses.structure import ms_ssim_padded
from fusionbench.methods.semantic_loop import LoopRecipe, LoopSettings, Part, Turn, forgotten
from fusionbench.methods.vsmwls import contrast
from fusionbench.training.data import Augment, Batch
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets, Size

from .network import FSFNet


@dataclass(frozen=True, kw_only=True)
class IRFSSettings(LoopSettings):
    """Each value with its source: code (the authors') or ours."""

    network: str = "ctdnet-18"  # of saliency; ours; code: FGC2Net
    backbone: str | None = None  # a local file of its ResNet; ours; code: a Res2Net-50 of ImageNet
    split: str = "train"  # code: of VT5000
    batch: Count = 4  # code
    size: Size = (352, 352)  # to which whole pictures are brought; code
    passes: Count = 3  # over the split in a round, of the fusion; code
    lr: Positive = 1e-3  # of Adam; code
    share_ir: NotNegative = 0.9  # of infrared, times its saliency's weight, in what is to be fused; code
    share_vis: NotNegative = 0.6  # of visible; code
    sharpness: Positive = 5.0  # of the softmax that makes weights of both saliency maps; code
    weight_ssim: NotNegative = 1.0  # code
    weight_intensity: NotNegative = 20.0  # code
    weight_gradient: NotNegative = 5.0  # code
    weight_semantic: NotNegative = 1.0  # code
    task_passes: Count = 10  # of saliency in a round; code
    task_lr: Positive = 5e-5  # of Adam in the last pass of a round, to which it rises from the first; code
    clip: Positive = 0.5  # largest size of each value of the saliency's gradient; code
    epochs: Count = 10  # rounds; code
    workers: Natural = 8  # code
    log_every: Count = 10  # code


def wanted(ir: Tensor, vis: Tensor, settings: IRFSSettings) -> Tensor:
    """What is to be fused of grey images ``[B,1,h,w]``, by their saliency; its weights in whole levels, as in files."""
    maps = [contrast(x) for x in (ir, vis)]
    weights = torch.stack([x / x.amax(1, keepdim=True).clamp(min=1e-9) for x in maps]) * settings.sharpness
    of_ir, of_vis = ((weights.softmax(0) * 255).trunc() / 255).view(2, *ir.shape)
    target: Tensor = settings.share_ir * of_ir * ir + settings.share_vis * of_vis * vis
    return target


class IRFSRecipe(LoopRecipe[IRFSSettings]):
    """Three terms, and saliency from the second round on; both networks go on from round to round."""

    label = "saliency"
    least, sides = 16, ("size",)  # of multi-scale SSIM
    presets = Presets(
        record=IRFSSettings,
        lengths=("passes", "task_passes"),
        sizes={
            "tiny": {
                "network": "ctdnet-tiny",
                "size": (32, 48),
                "passes": 2,
                "lr": 5e-4,
                "task_passes": 2,
                "task_lr": 2e-3,
                "epochs": 3,
                "workers": 0,
                "log_every": 1,
            }
        },
    )

    def fusion_network(self) -> FSFNet:
        """See :meth:`LoopRecipe.fusion_network`."""
        return FSFNet()

    def optimiser(self, part: Part, network: nn.Module) -> torch.optim.Optimizer:
        """Adam; each value of the saliency's gradient is cut to a size.

        Raises:
            FusionbenchError: fp16, in which gradients are scaled.
        """
        limit = self.settings.clip
        if self.settings.precision == "fp16":
            raise FusionbenchError("precision=fp16: values of the gradient are cut to a size; use fp32 or bf16")
        adam = torch.optim.Adam(network.parameters())
        if part == "task":
            parameters = list(network.parameters())
            adam.register_step_pre_hook(lambda *_: torch.nn.utils.clip_grad_value_(parameters, limit))
        return adam

    def steps(self, part: Part, round: int) -> int:
        """See :meth:`LoopRecipe.steps`."""
        return self.passes(part) * (self.settings.passes if part == "fusion" else self.settings.task_passes)

    def rate(self, turn: Turn) -> float:
        """Of the fusion the same always; of saliency it rises by passes, anew in every round."""
        s = self.settings
        if turn.part == "fusion":
            return s.lr
        return s.task_lr * (turn.number // self.passes("task") + 1) / s.task_passes

    def augment(self, part: Part) -> Augment:
        """Whole pictures; for saliency they are mirrored at random."""
        return Augment(resize=self.settings.size, flip=0.5 if part == "task" else 0.0)

    def fused(self, ir: Tensor, vis: Tensor) -> Tensor:
        """See :meth:`LoopRecipe.fused`."""
        fused: Tensor = self.net(grey(vis), ir)
        return fused

    def fusion_losses(self, fused: Tensor, batch: Batch, turn: Turn) -> dict[str, Tensor]:
        """Distance to both sources weighted by saliency, and to the larger Laplacian."""
        s, ir, vis = self.settings, batch.ir, grey(batch.vis)
        target = wanted(ir, vis, s)
        terms = {
            "ssim": s.weight_ssim * (1 - ms_ssim_padded(fused, target)),
            "intensity": s.weight_intensity * F.l1_loss(fused, target),
            "gradient": s.weight_gradient * laplacian_max(fused, ir, vis),
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def semantic_weight(self, turn: Turn) -> float:
        """The same in all rounds."""
        return self.settings.weight_semantic

    def round_ends(self, round: int) -> None:
        """The moments of saliency are forgotten; those of the fusion are not."""
        forgotten(self.moves["task"])
