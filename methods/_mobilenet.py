"""MobileNetV2 with a decoder of two scales, under the names that UAAFusion's segmentation network has.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2; Chen et al.,
DeepLabv3+, ECCV 2018, for the decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLAN = (  # expansion, channels, repeats, stride, dilation of the first and of the others
    (1, 16, 1, 1, 1, 1),
    (6, 24, 2, 2, 1, 1),
    (6, 32, 3, 2, 1, 1),
    (6, 64, 4, 2, 1, 1),
    (6, 96, 3, 1, 1, 1),
    (6, 160, 3, 1, 1, 2),  # the published network halves the size here
    (6, 320, 1, 1, 2, 2),
)
FINE = 4  # parts before the map of 24 channels, which the decoder takes too
CLASSES = 15


def convolved(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> list[nn.Module]:
    """3x3 convolution, normalisation, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)]


class Inverted(nn.Module):
    """Wider, depthwise, narrower; residual where the size stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        wide = inputs * expansion
        first = [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(
            *(first if expansion > 1 else []),
            *convolved(wide, wide, stride, dilation, wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNet(nn.Module):
    """Grey image to its maps of 24 and 320 channels."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Sequential(*convolved(1, 32, 2))]
        inputs = 32
        for expansion, outputs, repeats, stride, first, others in PLAN:
            for index in range(repeats):
                step, dilation = (1, others) if index else (stride, first)
                parts.append(Inverted(inputs, outputs, expansion, step, dilation))
                inputs = outputs
        self.features = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.features[:FINE](x)
        return fine, self.features[FINE:](fine)


class Segmentation(nn.Module):
    """``[B,1,H,W]`` to scores of classes in (0,1), ``[B,15,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = MobileNet()
        self.shortcut_conv = nn.Sequential(nn.Conv2d(24, 48, 1), nn.BatchNorm2d(48), nn.ReLU(inplace=True))
        self.cat_conv = nn.Sequential(
            nn.Conv2d(368, 256, 3, padding=1),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
        )
        self.cls_conv = nn.Conv2d(256, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.feature_extractor(x)
        coarse = larger(coarse, fine.shape[-2:])
        scores = self.cls_conv(self.cat_conv(torch.cat((coarse, self.shortcut_conv(fine)), dim=1)))
        return larger(scores, x.shape[-2:]).sigmoid()


def larger(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, corners on corners."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
