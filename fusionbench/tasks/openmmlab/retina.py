"""RetinaNet's head, exact over processes, with a loss that waits for no device. Imported behind ``load("mmdet")``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmdet.models.dense_heads import RetinaHead as _RetinaHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from fusionbench.metrics._device import wide
from fusionbench.tasks.openmmlab.assign import Objects, by_largest_overlap, images_of, objects
from fusionbench.training.distributed import all_mean


@MODELS.register_module(name="FusionbenchRetinaHead", force=True)
class RetinaHead(_RetinaHead):
    """mmdetection's, with losses divided by the positives of all processes and not by those of its own.

    On a graphics card assignment and losses are those of the whole batch and all levels at once.
    """

    def get_targets(self, *args: object, **options: object) -> tuple[object, ...]:
        """See ``AnchorHead.get_targets``; the last value is the divisor."""
        *targets, divisor = super().get_targets(*args, **options)
        return *targets, all_mean([torch.tensor(float(divisor), device=targets[0][0].device)])[0]

    def loss_by_feat(
        self,
        cls_scores: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[Mapping[str, object]],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_cls`` and ``loss_bbox``, of each level or summed over them."""
        if not wide(cls_scores[0]):
            theirs: dict[str, Tensor] = super().loss_by_feat(
                cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
            return theirs
        logits, deltas = (
            torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, width) for x in levels], 1)
            for levels, width in ((cls_scores, self.cls_out_channels), (bbox_preds, 4))
        )
        sizes = [level.shape[2:] for level in cls_scores]
        anchors = torch.cat(self.prior_generator.grid_priors(sizes, device=logits.device))
        things, rules = objects(batch_gt_instances), self.train_cfg.assigner
        owner, has, nothing = by_largest_overlap(
            anchors, things, rules.pos_iou_thr, rules.neg_iou_thr, rules.min_pos_iou
        )
        (divisor,) = all_mean([has.sum(1).clamp(min=1).sum().float()])  # an image without objects counts as one
        image = images_of(owner)
        wanted = (things.labels[image, owner][..., None] == torch.arange(logits.shape[2], device=owner.device)) & has[
            ..., None
        ]
        heavy = (has | nothing).flatten().float()
        loss_cls = self.loss_cls(logits.flatten(0, 1), wanted.flatten(0, 1).float(), heavy, avg_factor=divisor)
        wrong = (deltas - self._towards(anchors, things, image, owner, has)).abs() * has[..., None]
        least = torch.finfo(torch.float32).eps  # as mmdetection divides
        return {"loss_cls": loss_cls, "loss_bbox": self.loss_bbox.loss_weight * wrong.sum() / (divisor + least)}

    def _towards(self, anchors: Tensor, things: Objects, image: Tensor, owner: Tensor, has: Tensor) -> Tensor:
        """What leads from each anchor to its object, ``[B,T,4]``; from others to themselves."""
        true = torch.where(has[..., None], things.boxes[image, owner], anchors)
        sides, true_sides = anchors[:, 2:] - anchors[:, :2], true[..., 2:] - true[..., :2]
        moved = (true[..., :2] + true[..., 2:] - anchors[:, :2] - anchors[:, 2:]) / 2 / sides
        raw = torch.cat((moved, (true_sides / sides).log()), -1).unbind(-1)
        coder = self.bbox_coder
        return torch.stack([(x - m) / s for x, m, s in zip(raw, coder.means, coder.stds, strict=True)], -1)
