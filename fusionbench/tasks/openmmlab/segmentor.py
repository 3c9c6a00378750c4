"""Networks of mmsegmentation as task networks. Imported behind ``load("mmseg")``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses.cross_entropy_loss import CrossEntropyLoss, cross_entropy
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import Prediction, Target, TaskNetwork, evaluating, load_backbone, one_channel, pad_to
from fusionbench.tasks.openmmlab import segformer  # noqa: F401  (registers its decoder)
from fusionbench.tasks.openmmlab.config import Config
from fusionbench.tasks.openmmlab.models import build, total
from fusionbench.tasks.openmmlab.packages import muted
from fusionbench.training.distributed import part_of_mean


class SegmentationNetwork(TaskNetwork):
    """A network of mmsegmentation.

    Args:
        config: the ``model`` part of its config.
        classes: number of classes.
        channels: 3 (RGB) or 1.
        backbone: a local file with the backbone's weights, or None.
        layout: of that file.
        ignore_index: mask id that counts for nothing.
    """

    model: BaseSegmentor

    def __init__(
        self,
        config: Config,
        classes: int,
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if "decode_head" not in config:
            raise FusionbenchError("the model of this config has no decode_head; is it an mmsegmentation config?")
        if classes < 2 or 0 <= ignore_index < classes:
            raise FusionbenchError(
                f"{classes} classes, ids 0 to {classes - 1}, do not go with ignore_index {ignore_index}"
            )
        self.model, self.normalise = build(MODELS, config, classes, channels)
        self.channels, self.classes, self.ignore_index = channels, classes, ignore_index
        if channels == 1:
            one_channel(self.model.backbone)
        if backbone is not None:
            load_backbone(self.model.backbone, backbone, layout)
        for part in self.model.modules():
            if hasattr(part, "avg_non_ignore"):
                part.avg_non_ignore = True  # the mean is over the pixels that count
            if hasattr(part, "conv_seg") or hasattr(part, "loss_decode"):
                part.ignore_index = ignore_index
            if isinstance(part, BaseDecodeHead) and type(part).loss_by_feat is BaseDecodeHead.loss_by_feat:
                part.loss_by_feat = MethodType(_head_losses, part)

    def _prepare(self, images: Tensor) -> Tensor:
        return pad_to(self.normalise(images))

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The config's losses (SegFormer: cross entropy) at label resolution, summed over its heads.

        Args:
            images: ``[B,C,H,W]`` in [0,1].
            targets: masks ``[kH,kW]``, ids below the number of classes, or the ignore index. With k above 1 the
                labels are at full size and the images made smaller, as in TDFusion; k is a whole number.

        Returns:
            The mean over the pixels that count; 0 (with zero gradients) where none does.

        Raises:
            ValueError: a mask is missing or of another size.
        """
        x = self._prepare(images)
        height, width = images.shape[2:]
        samples = []
        for number, target in enumerate(targets):
            times = 0 if target.mask is None else max(1, target.mask.shape[0] // height)
            if target.mask is None or target.mask.shape != (times * height, times * width):
                have = "no mask" if target.mask is None else f"a mask of {list(target.mask.shape)}"
                raise ValueError(f"target {number} has {have}; its image is {list(images.shape[2:])}")
            mask = pad_to(target.mask.to(x.device)[None], 32 * times, self.ignore_index)
            meta = {"img_shape": tuple(x.shape[2:])}
            samples.append(SegDataSample(gt_sem_seg=PixelData(data=mask), metainfo=meta))
        if len(samples) != len(x):
            raise ValueError(f"{len(x)} images, {len(samples)} targets")
        with muted():
            loss = total(self.model.loss(x, samples))
        masks = [sample.gt_sem_seg.data for sample in samples]
        return part_of_mean(loss, torch.stack([(mask != self.ignore_index).sum() for mask in masks]).sum())

    def logits(self, images: Tensor) -> Tensor:
        """Logits at the images' size, ``[B,classes,H,W]``."""
        x = self._prepare(images)
        meta = {"img_shape": tuple(x.shape[2:]), "ori_shape": tuple(x.shape[2:]), "pad_shape": tuple(x.shape[2:])}
        with muted():
            logits: Tensor = self.model.encode_decode(x, [meta] * len(x))
        return logits[..., : images.shape[2], : images.shape[3]]

    def predict(self, images: Tensor) -> list[Prediction]:
        """The class of the largest logit of each pixel; logits are upsampled first."""
        with evaluating(self):
            logits = self.logits(images)
            best = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        return [Prediction(mask=mask) for mask in best]

    def features(self, images: Tensor) -> Tensor:
        """The last level of the encoder (or of the neck, if any); SegFormer: the output of the last stage's norm.

        Returns:
            ``[B,256,H/32,W/32]`` (MiT-B0) or ``[B,512,H/32,W/32]`` (MiT-B2), sizes rounded up.
        """
        with muted():
            levels: Sequence[Tensor] = self.model.extract_feat(self._prepare(images))
        return levels[-1]


def _head_losses(head: BaseDecodeHead, logits: Tensor, samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
    """A decoder's losses by name; without its accuracy, which nobody reads and for which a card would be waited for."""
    labels = head._stack_batch_gt(samples)
    logits = F.interpolate(logits, labels.shape[2:], mode="bilinear", align_corners=head.align_corners)
    weight = head.sampler.sample(logits, labels) if head.sampler is not None else None
    given: Any = head.loss_decode
    parts = given if isinstance(given, nn.ModuleList) else [given]
    losses: dict[str, Tensor] = {}
    part: Any
    for part in parts:
        if weight is None and _is_plain(part):
            value = part.loss_weight * _mean_cross_entropy(logits, labels.squeeze(1), head.ignore_index)
        else:
            value = part(logits, labels.squeeze(1), weight=weight, ignore_index=head.ignore_index)
        losses[part.loss_name] = losses[part.loss_name] + value if part.loss_name in losses else value
    return losses


def _is_plain(loss: nn.Module) -> bool:
    """Whether a loss is the mean cross entropy of the pixels that count, all classes alike."""
    if type(loss) is not CrossEntropyLoss or loss.cls_criterion is not cross_entropy:
        return False
    return loss.reduction == "mean" and loss.class_weight is None and loss.avg_non_ignore


def _mean_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """mmsegmentation's value, to the bit below 2^24 pixels; the number of those that count stays on the device."""
    each = F.cross_entropy(logits, labels, reduction="none", ignore_index=ignore_index)
    return each.sum() / ((labels != ignore_index).sum().to(each.dtype) + torch.finfo(torch.float32).eps)
