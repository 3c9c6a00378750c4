"""YOLOv5's anchor head, registered with mmdetection. Imported behind ``load("mmdet")``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.losses.iou_loss import ciou_loss
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fusionbench.metrics._device import wide
from fusionbench.tasks.openmmlab.assign import Objects, by_anchor_shape, images_of, objects, overlap, pair_or_unit
from fusionbench.tasks.openmmlab.yolo import bias_of, precise, scaled
from fusionbench.training.distributed import all_mean, world

ANCHORS = (  # width and height in pixels, from clustering COCO's boxes at 640x640
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


@MODELS.register_module(name="FusionbenchYOLOv5Head", force=True)
class YOLOv5Head(BaseDenseHead):
    """One 1x1 convolution per level: for each of three anchors box, objectness and class scores.

    With s = sigmoid(t): centre = 2 s - 0.5 cells from the cell's corner, sides = (2 s)^2 times the anchor's.
    Loss: mean CIoU of the positives and mean binary cross entropy of their classes, summed over the levels; binary
    cross entropy of the objectness of all cells, whose target is the prediction's own IoU, weighted by level.

    Args:
        num_classes: number of classes.
        width: factor on the channels.
        train_cfg: none.
        test_cfg: thresholds and NMS.

    Attributes:
        strides: of the levels.
        anchors: per level, ``[3,3,2]``.
        gains: of box, objectness and classes.
        balance: weight of each level's objectness.
    """

    strides = (8, 16, 32)
    gains = (0.05, 1.0, 0.5)
    balance = (4.0, 1.0, 0.4)

    anchors: Tensor

    def __init__(
        self,
        num_classes: int,
        width: float,
        train_cfg: ConfigDict | None = None,
        test_cfg: ConfigDict | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.train_cfg, self.test_cfg = num_classes, train_cfg, test_cfg
        self.register_buffer("anchors", torch.tensor(ANCHORS, dtype=torch.float), persistent=False)
        rows = self.anchors.shape[1] * (5 + num_classes)
        self.out = nn.ModuleList(nn.Conv2d(c, rows, 1) for c in scaled(width, 1, "v5")[0][2:])

    def init_weights(self) -> None:
        """Biases from which objectness and scores start low (about 8 objects in 640x640)."""
        super().init_weights()
        for layer, stride in zip(self.out, self.strides, strict=True):
            bias = bias_of(layer).view(-1, 5 + self.num_classes)
            bias[:, 4] += math.log(8 / (640 / stride) ** 2)
            bias[:, 5:] += math.log(0.6 / (self.num_classes - 0.99))

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor]]:
        """Each level as ``[B,anchors,H_i,W_i,5+classes]``."""
        maps = [precise(layer(x)) for layer, x in zip(self.out, levels, strict=True)]
        count = self.anchors.shape[1]
        return ([m.view(len(m), count, -1, *m.shape[2:]).permute(0, 1, 3, 4, 2) for m in maps],)

    def decode(self, raw: Tensor, anchor: Tensor, column: Tensor, row: Tensor, stride: int) -> Tensor:
        """Four raw numbers ``[...,4]`` to left, top, right, bottom in pixels."""
        s = raw.sigmoid() * 2
        centre = (s[..., :2] - 0.5 + torch.stack((column, row), -1)) * stride
        half = s[..., 2:] ** 2 * anchor / 2
        return torch.cat((centre - half, centre + half), -1)

    def loss_by_feat(
        self,
        maps: list[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[Mapping[str, object]],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_box``, ``loss_obj`` and ``loss_cls``."""
        box = obj = cls = maps[0].sum() * 0
        things = objects(batch_gt_instances)
        for level, stride, anchors, balance in zip(maps, self.strides, self.anchors, self.balance, strict=True):
            cells, gt_boxes, gt_labels, there = self._positives(level, anchors, stride, things)
            found = torch.ones_like(cells[0], dtype=level.dtype) if there is None else there.to(level)
            (count,) = all_mean([found.sum()])  # over processes: each sums its part of one mean
            count = count.clamp(min=1 / world())
            positive = level[cells]
            boxes = self.decode(positive[:, :4], anchors.to(level)[cells[1]], cells[3], cells[2], stride)
            boxes, gt_boxes = pair_or_unit(there, boxes, gt_boxes)
            box = box + (ciou_loss(boxes, gt_boxes, reduction="none") * found).sum() / count
            iou = (overlap(boxes.detach(), gt_boxes).clamp(0, 1) * found).to(level)
            target = torch.zeros_like(level[..., 4])  # where positives share a cell, the best one's IoU stays
            flat = torch.zeros_like(cells[0])
            for cell, length in zip(cells, target.shape, strict=True):
                flat = flat * length + cell
            target.view(-1).scatter_reduce_(0, flat, iou, "amax")
            wanted = (gt_labels[:, None] == torch.arange(self.num_classes, device=level.device)).to(level)
            entropy = F.binary_cross_entropy_with_logits(positive[:, 5:], wanted, found[:, None], reduction="sum")
            cls = cls + entropy / (count * self.num_classes)
            obj = obj + balance * F.binary_cross_entropy_with_logits(level[..., 4], target)
        return {"loss_box": self.gains[0] * box, "loss_obj": self.gains[1] * obj, "loss_cls": self.gains[2] * cls}

    def _positives(
        self, level: Tensor, anchors: Tensor, stride: int, things: Objects
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor | None]:
        """Cells (image, anchor, row, column), boxes and labels of the positives of one level, and None.

        Where counting them would wait for a device: of all slots, and which are positives.
        """
        *where, has = by_anchor_shape(things, anchors.to(things.boxes), stride, tuple(level.shape[2:4]))
        image, thing = images_of(has), torch.arange(has.shape[1], device=has.device)[:, None, None].expand_as(has)
        slots, there = [x.flatten() for x in (image, *where, thing)], has.flatten()
        at_once = wide(level)
        *cells, thing = slots if at_once else [x[there] for x in slots]
        boxes, labels = (x[cells[0], thing] for x in (things.boxes, things.classes))
        return tuple(cells), boxes, labels, there if at_once else None

    def predict_by_feat(
        self,
        maps: list[Tensor],
        batch_img_metas: Sequence[Mapping[str, object]],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes whose objectness times class score is above the threshold, after non-maximum suppression."""
        rules: ConfigDict = cfg or self.test_cfg
        boxes, scores = [], []
        for level, stride, anchors in zip(maps, self.strides, self.anchors, strict=True):
            height, width = level.shape[2:4]
            row, column = torch.meshgrid(
                torch.arange(height, device=level.device), torch.arange(width, device=level.device), indexing="ij"
            )
            decoded = self.decode(level[..., :4], anchors.to(level)[:, None, None], column, row, stride)
            boxes.append(decoded.flatten(1, 3))
            scores.append((level[..., 4:5].sigmoid() * level[..., 5:].sigmoid()).flatten(1, 3))
        results = []
        for box, table, meta in zip(torch.cat(boxes, 1), torch.cat(scores, 1), batch_img_metas, strict=True):
            score, label, index, _ = filter_scores_and_topk(table, rules.score_thr, rules.nms_pre)
            instances = InstanceData(bboxes=box[index], scores=score, labels=label)
            results.append(self._bbox_post_process(instances, rules, rescale, with_nms, meta))
        return results
