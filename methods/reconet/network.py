"""ReCoNet's fusion network under the names of the released checkpoint (its first version); 7,527 parameters.

Huang et al., "ReCoNet: Recurrent Correction Network for Fast and Efficient Multi-modality Image Fusion", ECCV 2022,
section 3.2: the fused image is refined in a loop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, LOOPS = 64, 3


def dilated(dilation: int) -> nn.Sequential:
    """3x3 convolution of the two attended images and the fused one."""
    conv = nn.Conv2d(3, WIDTH, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(conv, nn.BatchNorm2d(WIDTH), nn.ReLU())


def attended(image: Tensor, fused: Tensor, conv: nn.Module) -> Tensor:
    """An image, weighted by what it and the fused one show."""
    both = torch.cat((image, fused), dim=1)
    weight = conv(torch.cat((both.amax(1, keepdim=True), both.mean(1, keepdim=True)), dim=1))
    return image * torch.sigmoid(weight)


class ReCoNetNet(nn.Module):
    """One step, gone through three times; it begins with the brighter of both images."""

    def __init__(self) -> None:
        super().__init__()
        self.att_a_conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.att_b_conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.dil_conv_1, self.dil_conv_2, self.dil_conv_3 = dilated(1), dilated(2), dilated(3)
        self.fus_conv = nn.Sequential(nn.Conv2d(3 * WIDTH, 1, 3, padding=1), nn.BatchNorm2d(1), nn.Tanh())

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (-1,1)."""
        fused = torch.maximum(ir, vis)
        for _ in range(LOOPS):
            a, b = attended(ir, fused, self.att_a_conv), attended(vis, fused, self.att_b_conv)
            x = torch.cat((a, fused, b), dim=1)
            fused = self.fus_conv(torch.cat((self.dil_conv_1(x), self.dil_conv_2(x), self.dil_conv_3(x)), dim=1))
        return fused
