"""YOLOv8's anchor-free head, registered with mmdetection. Imported behind ``load("mmdet")``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.dense_heads.gfl_head import Integral
from mmdet.models.losses.gfocal_loss import distribution_focal_loss
from mmdet.models.losses.iou_loss import ciou_loss
from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmdet.structures.bbox import distance2bbox
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fusionbench.metrics._device import wide
from fusionbench.tasks.openmmlab.assign import Objects, images_of, objects, pair_or_unit, task_aligned
from fusionbench.tasks.openmmlab.yolo import bias_of, conv, precise, scaled
from fusionbench.training.distributed import all_mean, world


@MODELS.register_module(name="FusionbenchYOLOv8Head", force=True)
class YOLOv8Head(BaseDenseHead):
    """Decoupled head: class scores, and for each side of the box a distribution over 16 distances in strides.

    Loss: binary cross entropy of the classes against task-aligned target scores, CIoU and distribution focal loss
    (Li et al. 2020) of the assigned points weighted with those scores; each over the sum of the target scores.

    Args:
        num_classes: number of classes.
        width: factor on the channels.
        train_cfg: none.
        test_cfg: thresholds and NMS.

    Attributes:
        strides: of the levels.
        bins: distances 0..bins-1.
        gains: of classes, CIoU and distribution loss.
        topk: points per object.
    """

    strides = (8, 16, 32)
    bins = 16
    gains = (0.5, 7.5, 1.5)
    topk = 10

    def __init__(
        self,
        num_classes: int,
        width: float,
        train_cfg: ConfigDict | None = None,
        test_cfg: ConfigDict | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.train_cfg, self.test_cfg = num_classes, train_cfg, test_cfg
        channels = scaled(width, 1, "v8")[0][2:]
        side = max(16, channels[0] // 4, 4 * self.bins)
        wide = max(channels[0], min(num_classes, 100))
        self.box = nn.ModuleList(
            nn.Sequential(conv(c, side, 3), conv(side, side, 3), nn.Conv2d(side, 4 * self.bins, 1)) for c in channels
        )
        self.cls = nn.ModuleList(
            nn.Sequential(conv(c, wide, 3), conv(wide, wide, 3), nn.Conv2d(wide, num_classes, 1)) for c in channels
        )
        self.integral = Integral(self.bins - 1)
        self.points = MlvlPointGenerator(list(self.strides), offset=0.5)

    def init_weights(self) -> None:
        """Biases from which the boxes start small and the scores low (about 5 objects in 640x640)."""
        super().init_weights()
        for box, cls, stride in zip(self.box, self.cls, self.strides, strict=True):
            bias_of(box).fill_(1.0)
            bias_of(cls).fill_(math.log(5 / self.num_classes / (640 / stride) ** 2))

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits ``[B,classes,H_i,W_i]`` and distance distributions ``[B,4*bins,H_i,W_i]`` of each level."""
        return (
            [precise(head(x)) for head, x in zip(self.cls, levels, strict=True)],
            [precise(head(x)) for head, x in zip(self.box, levels, strict=True)],
        )

    def _flat(self, scores: list[Tensor], sides: list[Tensor]) -> tuple[Tensor, ...]:
        """Logits ``[B,P,classes]``, distributions ``[B,P,4*bins]``, boxes ``[B,P,4]``, points and strides ``[P,4]``."""
        priors = self.points.grid_priors(
            [s.shape[2:] for s in scores], dtype=scores[0].dtype, device=scores[0].device, with_stride=True
        )
        where = torch.cat(priors)
        logits = torch.cat([s.flatten(2) for s in scores], 2).transpose(1, 2)
        spread = torch.cat([s.flatten(2) for s in sides], 2).transpose(1, 2)
        distance = self.integral(spread).view(*spread.shape[:2], 4) * where[:, 2:3]
        return logits, spread, distance2bbox(where[None, :, :2].expand(len(logits), -1, -1), distance), where

    def loss_by_feat(
        self,
        scores: list[Tensor],
        sides: list[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[Mapping[str, object]],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_box`` and ``loss_dfl``."""
        logits, spread, boxes, where = self._flat(scores, sides)
        image, point, gt_boxes, gt_labels, weight, there = self._positives(
            logits.detach().sigmoid(), boxes.detach(), where[:, :2], batch_gt_instances
        )
        wanted = torch.zeros_like(logits)
        wanted.index_put_((image, point, gt_labels), weight.to(wanted), accumulate=True)
        (total,) = all_mean([weight.sum()])  # over processes, so that each sums its part of one mean
        total = total.clamp(min=1 / world())

        cls = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / total
        found, true = pair_or_unit(there, boxes[image, point], gt_boxes)
        box = (ciou_loss(found, true, reduction="none") * weight).sum() / total
        stride, centre = where[point, 2:3], where[point, :2]
        truth = torch.cat((centre - gt_boxes[:, :2], gt_boxes[:, 2:] - centre), 1) / stride
        truth = truth.clamp(0, self.bins - 1.01)
        spread = spread[image, point].reshape(-1, self.bins)
        per_side = distribution_focal_loss(spread, truth.flatten(), reduction="none")
        dfl = (per_side.view(-1, 4).mean(1) * weight).sum() / total
        return {
            "loss_cls": self.gains[0] * cls,
            "loss_box": self.gains[1] * box,
            "loss_dfl": self.gains[2] * dfl,
        }

    def _positives(
        self, scores: Tensor, boxes: Tensor, points: Tensor, instances: Sequence[InstanceData]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Image, point, box, label and target score of each positive, in order of images and points; and None.

        Where counting them would wait for a device: of all slots, of score 0 but for the positives; and which are.
        """
        if wide(boxes):
            return self._slots(scores, boxes, points, objects(instances))
        rows = []
        for number, own in enumerate(instances):
            here = slice(number, number + 1)
            _, point, *rest, has = self._slots(scores[here], boxes[here], points, objects([own]))
            (kept,) = has.nonzero(as_tuple=True)
            kept = kept[point[kept].argsort()]
            rows.append([x[kept] for x in (torch.full_like(point, number), point, *rest)])
        image, point, true, label, weight = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return image, point, true, label, weight, None

    def _slots(
        self, scores: Tensor, boxes: Tensor, points: Tensor, things: Objects
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        point, weight, has = task_aligned(scores, boxes, points, things, self.topk)
        true = things.boxes[:, :, None].expand(*point.shape, 4).flatten(0, 2)
        flat = (images_of(point), point, things.classes[..., None].expand_as(point), weight, has)
        image, point, label, weight, has = (x.flatten() for x in flat)
        return image, point, true, label, weight, has

    def predict_by_feat(
        self,
        scores: list[Tensor],
        sides: list[Tensor],
        batch_img_metas: Sequence[Mapping[str, object]],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes above the threshold, every class for itself, after non-maximum suppression."""
        rules: ConfigDict = cfg or self.test_cfg
        logits, _, boxes, _ = self._flat(scores, sides)
        results = []
        for table, box, meta in zip(logits.sigmoid(), boxes, batch_img_metas, strict=True):
            score, label, index, _ = filter_scores_and_topk(table, rules.score_thr, rules.nms_pre)
            instances = InstanceData(bboxes=box[index], scores=score, labels=label)
            results.append(self._bbox_post_process(instances, rules, rescale, with_nms, meta))
        return results
