"""YOLOX's head with a loss that waits for no device. Imported behind ``load("mmdet")``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmdet.models.dense_heads import YOLOXHead as _YOLOXHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from fusionbench.metrics._device import wide
from fusionbench.tasks.openmmlab.assign import images_of, objects, overlap, pair_or_unit, sim_ota
from fusionbench.training.distributed import all_mean


@MODELS.register_module(name="FusionbenchYOLOXHead", force=True)
class YOLOXHead(_YOLOXHead):
    """mmdetection's. On a graphics card SimOTA and the losses are those of the whole batch at once.

    The values are the same to rounding; where points cost an object exactly the same, it may take another of them.
    """

    def loss_by_feat(
        self,
        cls_scores: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        objectnesses: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[Mapping[str, object]],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox`` and ``loss_obj``."""
        if not wide(cls_scores[0]) or self.use_l1:
            theirs: dict[str, Tensor] = super().loss_by_feat(
                cls_scores,
                bbox_preds,
                objectnesses,
                batch_gt_instances,
                batch_img_metas,
                batch_gt_instances_ignore,
            )
            return theirs
        logits, sides, found = (
            torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
            for levels in (cls_scores, bbox_preds, objectnesses)
        )
        sizes = [level.shape[2:] for level in cls_scores]
        priors = torch.cat(
            self.prior_generator.grid_priors(sizes, dtype=logits.dtype, device=logits.device, with_stride=True)
        )
        boxes, found = self._bbox_decode(priors, sides), found[..., 0]
        things = objects(batch_gt_instances)
        scores = (logits.detach().sigmoid() * found.detach().sigmoid()[..., None]).sqrt()
        strides = priors[:, 2].float()
        middles = priors[:, :2].float() + strides[:, None] / 2
        slots = sim_ota(scores.float(), boxes.detach().float(), middles, strides, things)
        image, point, owner, iou, has = (x.flatten() for x in (images_of(slots[0]), *slots))
        (total,) = all_mean([has.sum().float()])
        total = total.clamp(min=1)

        is_object = torch.zeros_like(found).index_put_((image, point), has.to(found), accumulate=True)
        label = things.classes[image, owner]
        wanted = (label[:, None] == torch.arange(self.num_classes, device=label.device)) * iou[:, None]
        inferred, true = pair_or_unit(has, boxes[image, point], things.boxes[image, owner])
        covered = overlap(inferred, true).clamp(min=self.loss_bbox.eps)
        distance = ((1 - covered**2) * has).sum()  # the loss of mode "square", which mmdetection's head has
        return {
            "loss_cls": self.loss_cls(logits[image, point], wanted, has[:, None].to(logits)) / total,
            "loss_bbox": self.loss_bbox.loss_weight * distance / total,
            "loss_obj": self.loss_obj(found.reshape(-1, 1), is_object.view(-1, 1)) / total,
        }
