"""RetinaNet's head, exact over processes. Imported behind ``load("mmdet")``."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RetinaHead as _RetinaHead
from mmdet.registry import MODELS

from fusionbench.training.distributed import all_mean


@MODELS.register_module(name="FusionbenchRetinaHead", force=True)
class RetinaHead(_RetinaHead):
    """mmdetection's, with losses divided by the positives of all processes and not by those of its own."""

    def get_targets(self, *args: object, **options: object) -> tuple[object, ...]:
        """See ``AnchorHead.get_targets``; the last value is the divisor."""
        *targets, divisor = super().get_targets(*args, **options)
        return *targets, all_mean([torch.tensor(float(divisor), device=targets[0][0].device)])[0]
