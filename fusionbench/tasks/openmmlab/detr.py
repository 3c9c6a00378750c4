"""DETR's head with one matching for the whole step. Imported behind ``load("mmdet")``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DETRHead as _DETRHead
from mmdet.models.losses import CrossEntropyLoss, GIoULoss, L1Loss
from mmdet.models.task_modules.assigners import BBoxL1Cost, ClassificationCost, IoUCost
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fusionbench.metrics._device import wide
from fusionbench.tasks.openmmlab.assign import Objects, generalised_overlap, objects, pair_or_unit
from fusionbench.training.distributed import all_mean


class DETRHead(_DETRHead):
    """mmdetection's. On a graphics card the queries of all images and decoder layers are matched together.

    Costs are computed there, copied once, matched by the processor (Kuhn 1955; scipy's Hungarian method) and copied
    back: the step waits once, not three times for each image and layer.
    """

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[Mapping[str, tuple[int, int]]],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox`` and ``loss_iou``, of each decoder layer or summed over them."""
        scores, boxes = all_layers_cls_scores, all_layers_bbox_preds
        if not wide(scores) or not self._as_published():
            theirs: dict[str, Tensor] = super().loss_by_feat(
                scores, boxes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
            return theirs
        counts = [len(own.labels) for own in batch_gt_instances]
        (height, width), things = batch_img_metas[0]["img_shape"], objects(batch_gt_instances)
        size = torch.full_like(things.boxes[:1, :1], width)  # as boxes are: width, height, width, height
        size[..., 1::2] = height
        query = self._matched(scores.detach(), boxes.detach(), things, counts, size)
        has = query >= 0
        query = query.clamp(min=0)

        layers, batch, queries, classes = scores.shape
        fill = torch.full((layers, batch, queries + 1), classes - 1, device=scores.device)  # the last takes the rest
        label = fill.scatter_(2, torch.where(has, query, queries), things.classes.expand_as(query))[..., :queries]
        weight = torch.ones_like(scores[0, 0, 0])
        weight[-1] = self.bg_cls_weight
        entropy = F.cross_entropy(scores.flatten(0, 2), label.flatten(), weight, reduction="sum")
        positives = sum(min(count, queries) for count in counts)
        negatives = batch * queries - positives
        divisor = max(positives + negatives * self.bg_cls_weight, 1)
        (mean,) = all_mean([torch.full_like(entropy, positives)])
        mean = mean.clamp(min=1)

        predicted = boxes.gather(2, query[..., None].expand(*query.shape, 4))
        true = (bbox_xyxy_to_cxcywh(things.boxes) / size).expand_as(predicted)
        apart = ((predicted - true).abs() * has[..., None]).sum()
        pixels = (bbox_cxcywh_to_xyxy(x.flatten(0, 2)) for x in (predicted * size, true * size))
        found, wanted = pair_or_unit(has.flatten(), *pixels)
        outside = ((1 - generalised_overlap(found, wanted, self.loss_iou.eps)) * has.flatten()).sum()
        return {
            "loss_cls": self.loss_cls.loss_weight * entropy / (divisor + torch.finfo(torch.float32).eps),
            "loss_bbox": self.loss_bbox.loss_weight * apart / (mean + torch.finfo(torch.float32).eps),
            "loss_iou": self.loss_iou.loss_weight * outside / (mean + torch.finfo(torch.float32).eps),
        }

    def _as_published(self) -> bool:
        """Whether costs and losses are the paper's, which :meth:`loss_by_feat` writes out."""
        costs = self.assigner.assigner.match_costs
        kinds = (ClassificationCost, BBoxL1Cost, IoUCost, CrossEntropyLoss, L1Loss, GIoULoss)
        parts = (*costs, self.loss_cls, self.loss_bbox, self.loss_iou)
        if [type(part) for part in parts] != list(kinds) or self.loss_cls.use_sigmoid or self.sync_cls_avg_factor:
            return False
        return (costs[1].box_format, costs[2].iou_mode) == ("xywh", "giou")

    @torch.no_grad()
    def _matched(self, scores: Tensor, boxes: Tensor, things: Objects, counts: Sequence[int], size: Tensor) -> Tensor:
        """The query of each object in each layer, int64 ``[layers,B,N]``, -1 where it has none."""
        layers, _, queries, _ = scores.shape
        kind, length, cover = (cost.weight for cost in self.assigner.assigner.match_costs)
        scores, boxes, true, size = (x.float() for x in (scores, boxes, things.boxes, size))
        index = things.classes[None, :, None].expand(layers, -1, queries, -1)
        cost = -kind * scores.softmax(-1).gather(3, index)
        cost += length * torch.cdist(boxes, (bbox_xyxy_to_cxcywh(true) / size).expand(layers, -1, -1, -1), p=1)
        corners = bbox_cxcywh_to_xyxy(boxes * size)
        cost -= cover * generalised_overlap(corners[..., None, :], true[:, None])
        table = cost.cpu().numpy()
        query = torch.full((layers, *things.labels.shape), -1)
        for layer in range(layers):
            for image, count in enumerate(counts):
                row, column = linear_sum_assignment(table[layer, image, :, :count])
                query[layer, image, column] = torch.from_numpy(row)
        return query.to(scores.device)
