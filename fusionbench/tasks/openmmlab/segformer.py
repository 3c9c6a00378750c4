"""The decoder of the SegFormer paper, registered with mmsegmentation. Imported behind ``load("mmseg")``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import SegformerHead
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module(force=True)
class LinearSegformerHead(SegformerHead):
    """SegFormer's decoder with plain linear embeddings (Xie et al. 2021, eq. 4), as TDFusion uses it.

    mmsegmentation's puts batch normalisation and ReLU behind each level's embedding; here only the fuse layer has them.
    Levels meet at a quarter of the input, bilinear, corners not aligned; ``align_corners`` is for the logits.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.convs = nn.ModuleList(nn.Conv2d(width, self.channels, 1) for width in self.in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Levels ``[B,C_i,H_i,W_i]`` to logits ``[B,classes,H/4,W/4]``."""
        levels = self._transform_inputs(inputs)
        size = levels[0].shape[2:]
        embedded = [
            F.interpolate(embed(level), size, mode="bilinear") for embed, level in zip(self.convs, levels, strict=True)
        ]
        logits: Tensor = self.cls_seg(self.fusion_conv(torch.cat(embedded, 1)))
        return logits
