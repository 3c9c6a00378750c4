"""Detectors of mmdetection as task networks. Imported behind ``load("mmdet")``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.models.dense_heads import DETRHead as _DETRHead
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.losses import FocalLoss
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import (
    Prediction,
    Target,
    TaskNetwork,
    evaluating,
    first_order,
    load_backbone,
    one_channel,
    pad_to,
    refuse_two_stage,
)
from fusionbench.tasks.openmmlab import (  # noqa: F401  (heads register themselves)
    compiled,
    retina,
    yolov5,
    yolov8,
    yolox_head,
)
from fusionbench.tasks.openmmlab.assign import SinglePrecision
from fusionbench.tasks.openmmlab.config import Config
from fusionbench.tasks.openmmlab.detr import DETRHead
from fusionbench.tasks.openmmlab.models import build, total
from fusionbench.tasks.openmmlab.packages import muted


class DetectionNetwork(TaskNetwork):
    """A detector of mmdetection.

    Parameters at 80 classes (tested): YOLOv8-n 3,157,184 and YOLOv8-s 11,166,544, publicly stated as 3.2 and 11.2
    million; YOLOv5-s 7,235,389, stated as 7.2 million; YOLOX-s 8,968,255, stated as 9.0 million. What was checked of
    YOLOv8 and YOLOv5 is this count, the assignment, the derivatives, and that they learn; no released weights were
    loaded. Where the published detectors scale their loss with the batch size, these do not.

    Args:
        config: the ``model`` part of its config.
        classes: number of classes.
        channels: 3 (RGB) or 1.
        backbone: a local file with the backbone's weights, or None.
        layout: of that file.
    """

    model: BaseDetector

    def __init__(
        self,
        config: Config,
        classes: int,
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
    ) -> None:
        super().__init__()
        self.two_stage = "roi_head" in config
        if not (self.two_stage or "bbox_head" in config):
            raise FusionbenchError("the model of this config has no bbox_head; is it an mmdetection config?")
        if self.two_stage and not compiled():
            raise FusionbenchError(
                "a two-stage detector needs RoIAlign of a compiled mmcv, and this mmcv has no compiled operations; "
                "take a one-stage detector or DETR"
            )
        model, self.normalise = build(MODELS, config, classes, channels)
        self.model = _own_parts(model)
        for part in self.model.modules():
            if hasattr(part, "assigner"):
                part.assigner = SinglePrecision(part.assigner)
        self.channels, self.classes = channels, classes
        if channels == 1:
            one_channel(self.model.backbone)
        if backbone is not None:
            load_backbone(self.model.backbone, backbone, layout)

    def _prepare(self, images: Tensor, targets: Sequence[Target] | None = None) -> tuple[Tensor, list[DetDataSample]]:
        x = pad_to(self.normalise(images))
        size, padded = tuple(images.shape[2:]), tuple(x.shape[2:])
        meta = {
            "img_shape": size,
            "ori_shape": size,
            "pad_shape": padded,
            "batch_input_shape": padded,
            "scale_factor": (1.0, 1.0),
        }
        samples = [DetDataSample(metainfo=meta) for _ in x]
        if targets is None:
            return x, samples
        if len(targets) != len(x):
            raise ValueError(f"{len(x)} images, {len(targets)} targets")
        # In float64 DETR wants its boxes in kind; the others compare with anchors, which are always single.
        kind = x.dtype if hasattr(self.model, "num_queries") else torch.float
        for number, (target, sample) in enumerate(zip(targets, samples, strict=True)):
            if target.boxes is None or target.labels is None:
                raise ValueError(f"target {number} has no boxes or no labels")
            boxes = target.boxes.to(x.device, kind).view(-1, 4)
            sample.gt_instances = InstanceData(bboxes=boxes, labels=target.labels.to(x.device).view(-1))
        return x, samples

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The detector's own losses, summed.

        Args:
            images: ``[B,C,H,W]`` in [0,1].
            targets: boxes ``[N,4]`` in pixels and labels ``[N]``; N may be 0.

        Raises:
            ValueError: a target without boxes.
            FusionbenchError: on the way back, when a second derivative of a two-stage detector is asked for.
        """
        x, samples = self._prepare(images, targets)
        with muted():
            loss = total(self.model.loss(x, samples))
        return first_order(loss) if self.two_stage else loss

    def predict(
        self, images: Tensor, confidence: float = 0.001, nms: float = 0.65, max_per_img: int = 300
    ) -> list[Prediction]:
        """Boxes within the image, best first.

        Args:
            images: ``[B,C,H,W]`` in [0,1].
            confidence: boxes with a score at or below are dropped.
            nms: boxes that overlap a better one of their class by more than this IoU are dropped (not by DETR).
            max_per_img: most boxes of an image. The defaults keep all that the protocols of average precision look at.
        """
        with evaluating(self), muted():
            x, samples = self._prepare(images)
            self._settle(confidence, nms, max_per_img)
            instances = [sample.pred_instances for sample in self.model.predict(x, samples, rescale=False)]
        edges = x.new_tensor([images.shape[3], images.shape[2]] * 2)
        result = []
        for image in instances:
            order = image.scores.argsort(descending=True, stable=True)
            best = order[image.scores[order] > confidence][:max_per_img]
            boxes = torch.minimum(image.bboxes[best].clamp(min=0), edges)
            result.append(Prediction(boxes=boxes, scores=image.scores[best], labels=image.labels[best]))
        return result

    def _settle(self, confidence: float, nms: float, max_per_img: int) -> None:
        """Hand the thresholds to whichever part applies them."""
        head = self.model.roi_head if self.two_stage else self.model.bbox_head
        config = head.test_cfg.rcnn if "rcnn" in head.test_cfg else head.test_cfg
        config.max_per_img = min(max_per_img, getattr(self.model, "num_queries", max_per_img))
        if "nms" in config:
            config.score_thr = confidence
            config.nms = {"type": "nms", "iou_threshold": nms}

    def features(self, images: Tensor) -> Tensor:
        """The last level of the neck, ``[B,C',H',W']``.

        YOLOv5-s: the output of its last C3, before detection (CLDyN's feedback), ``[B,512,H/32,W/32]``.

        Raises:
            FusionbenchError: a two-stage detector.
        """
        refuse_two_stage(self, "closed-loop training")
        with muted():
            levels: Sequence[Tensor] = self.model.extract_feat(self._prepare(images)[0])
        return levels[-1]


class PlainFocalLoss(FocalLoss):
    """In plain PyTorch: mmcv's kernel has no second derivative, and mmcv-lite has no kernel."""

    def forward(self, pred: Tensor, target: Tensor, *args: object, **options: object) -> Tensor:
        """See mmdetection; class ids become rows of 0 and 1, which it computes in PyTorch."""
        if target.ndim < pred.ndim:
            classes = pred.shape[1]
            target = nn.functional.one_hot(target, classes + 1)[:, :classes]
        loss: Tensor = super().forward(pred, target, *args, **options)
        return loss


def _own_parts(model: nn.Module) -> nn.Module:
    """Parts of mmdetection that a subclass of ours stands for; DETR's head asks for its very class when it is built."""
    forms: dict[type[nn.Module], type[nn.Module]] = {FocalLoss: PlainFocalLoss, _DETRHead: DETRHead}
    for part in model.modules():
        part.__class__ = forms.get(type(part), type(part))
    return model
