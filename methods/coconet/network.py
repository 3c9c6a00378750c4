"""CoCoNet's network under the names of the release; 9,169,605 parameters, with those of VGG-19.

Liu et al., "CoCoNet: Coupled Contrastive Learning Network with Multi-level Feature Ensemble for Multi-modality Image
Fusion", IJCV 2024, section 3: a U-Net over both images, joined at three scales by the features of VGG-19 of each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._norm import Norm

SLOPE = 0.2
SCALES = (32, 64, 128, 256)  # channels of the U-Net's maps, the finest first
POOL = 0
STAGES = ((64, POOL, 64), (POOL, 128, 128), (POOL, 256, 256, 256, 256))  # of VGG-19: its convolutions' widths
LAYERS = {  # of the U-Net, each a 3x3 convolution, LeakyReLU and batch normalisation: channels in and out
    "1_1": (2, 32),
    "1_2": (32, 32),
    "2_1": (32, 64),
    "2_2": (64, 64),
    "3_1": (64, 128),
    "3_2": (128, 128),
    "4_1": (128, 256),
    "4_2": (256, 256),
    "7_1": (256, 128),
    "7_2": (128, 128),
    "8_1": (128, 64),
    "8_2": (64, 64),
    "9_1": (64, 32),
}


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class VGG19(nn.Module):
    """VGG-19 of grey images up to the fourth convolution of its third stage; the first stage pools after one."""

    def __init__(self) -> None:
        super().__init__()
        index, before = 0, 1
        for number, widths in enumerate(STAGES, 1):
            stage = nn.Sequential()
            for width in widths:
                if width == POOL:
                    stage.add_module(str(index), nn.MaxPool2d(2))
                    index += 1
                    continue
                stage.add_module(str(index), conv(before, width))
                stage.add_module(str(index + 1), nn.ReLU())
                before, index = width, index + 2
            self.add_module(f"slice{number}", stage)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.children():
            x = stage(x)
            found.append(x)
        return found


class ChannelAttention(nn.Module):
    """Attention between channels, to those least alike."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2, self.conv_3 = (conv(channels, channels) for _ in range(3))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        value = self.conv_3(x)
        a, b, c = self.conv_1(x).flatten(2), self.conv_2(x).flatten(2), value.flatten(2)
        energy = a @ b.transpose(-2, -1)
        weights = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        out: Tensor = self.gamma * (weights @ c).view_as(value) + value
        return out


class CoCoNetNet(nn.Module):
    """The fusion network; sides are multiples of 8.

    Args:
        own: whether each image is normalised by its own statistics, see :class:`Norm`.
    """

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        for channels in SCALES:  # that of 32, and att_deconv9, are released and not used
            self.add_module(f"se_{channels}", ChannelAttention(channels))
        self.vgg19 = VGG19()
        for name, (inputs, outputs) in LAYERS.items():
            self.add_module(f"conv{name}", conv(inputs, outputs))
            self.add_module(f"bn{name}", Norm(outputs, own))
        self.deconv4, self.deconv6, self.att_deconv7 = conv(768, 256), conv(256, 128), conv(384, 128)
        self.deconv7, self.att_deconv8 = conv(128, 64), conv(192, 64)
        self.deconv8, self.att_deconv9 = conv(64, 32), conv(96, 32)
        self.conv9_2, self.conv10 = conv(32, 32), nn.Conv2d(32, 1, 1)

    def layers(self, x: Tensor, *names: str) -> Tensor:
        """Some of the layers, one after the other."""
        for name in names:
            x = self.get_submodule(f"bn{name}")(F.leaky_relu(self.get_submodule(f"conv{name}")(x), SLOPE))
        return x

    def attended(self, *maps: Tensor) -> Tensor:
        """Maps of one scale, each after the attention of that scale, side by side."""
        attention = self.get_submodule(f"se_{maps[0].shape[1]}")
        return torch.cat([attention(x) for x in maps], dim=1)

    def forward(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in 0..255; in (-1,1)."""
        of_vis, of_ir = self.vgg19(vis), self.vgg19(ir)
        x1 = self.layers(torch.cat((vis, ir), dim=1), "1_1", "1_2")
        x2 = self.layers(F.max_pool2d(x1, 2), "2_1", "2_2")
        x3 = self.layers(F.max_pool2d(x2, 2), "3_1", "3_2")
        x = self.layers(F.max_pool2d(x3, 2), "4_1")
        x = self.layers(self.deconv4(self.attended(x, of_ir[2], of_vis[2])), "4_2")
        x = torch.cat((self.deconv6(twice(x)), self.att_deconv7(self.attended(x3, of_ir[1], of_vis[1]))), dim=1)
        x = self.layers(x, "7_1", "7_2")
        x = torch.cat((self.deconv7(twice(x)), self.att_deconv8(self.attended(x2, of_ir[0], of_vis[0]))), dim=1)
        x = self.layers(x, "8_1", "8_2")
        x = self.layers(torch.cat((self.deconv8(twice(x)), x1), dim=1), "9_1")
        out: Tensor = self.conv10(F.leaky_relu(self.conv9_2(x), SLOPE)).tanh()
        return out


def twice(x: Tensor) -> Tensor:
    """Bilinear, to twice the size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
