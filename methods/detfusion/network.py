"""DetFusion's fusion path under the names of the release; 54,035,813 parameters without the detector's heads.

Sun et al., "DetFusion: A Detection-driven Infrared and Visible Image Fusion Network", ACM MM 2022, section 3: where a
detector of each modality looks, weights the features that are fused.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._resnet import Bottleneck, stages

RESNET50 = (3, 4, 6, 3)
C = 256  # channels of each level of the pyramids


class Backbone(nn.Module):
    """ResNet-50: ``[B,3,H,W]`` to the maps of its four stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for number, stage in enumerate(stages(Bottleneck, RESNET50), 1):
            self.add_module(f"layer{number}", stage)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
            maps.append(x)
        return maps


class Layer(nn.Module):
    """A convolution of the pyramid."""

    def __init__(self, inputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, C, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Pyramid(nn.Module):
    """Feature pyramid; the fusion needs its finest level, the detector the others."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(Layer(C << index, 1) for index in range(4))
        self.fpn_convs = nn.ModuleList(Layer(C, 3) for _ in range(4))

    def forward(self, maps: list[Tensor]) -> Tensor:
        own = [lateral(x) for lateral, x in zip(self.lateral_convs, maps, strict=True)]
        x = own.pop()
        while own:
            x = own[-1] + F.interpolate(x, own.pop().shape[-2:], mode="nearest")
        out: Tensor = self.fpn_convs[0](x)
        return out


class DenseLayers(nn.Module):
    """Three convolutions without activation, each of all that is before it."""

    def __init__(self) -> None:
        super().__init__()
        for number in (1, 2, 3):
            self.add_module(f"DenseConv{number}", nn.Conv2d(16 * number, 16, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat((x, layer(x)), dim=1)
        return x


class Encoder(nn.Module):
    """A grey image ``[B,1,H,W]`` to ``[B,64,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.layers = DenseLayers()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(F.relu(self.Conv1(x)))
        return out


class FusionHead(nn.Module):
    """Both images and the attention to the fused image. ``fusion_conv`` is released and not used."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_rgb, self.encoder_tir = Encoder(), Encoder()
        self.fusion_conv = nn.Conv2d(128, 64, 1)
        for number, (inputs, outputs) in enumerate(((128, 64), (64, 32), (32, 16), (16, 1)), 2):
            self.add_module(f"decoder_Conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))

    def forward(self, vis: Tensor, ir: Tensor, attention: Tensor) -> Tensor:
        x = torch.cat((self.encoder_rgb(vis), self.encoder_tir(ir)), dim=1)
        x = x + x * attention
        for number in (2, 3, 4):
            x = self.get_submodule(f"decoder_Conv{number}")(x)
            x = F.relu(x + x * attention)
        out: Tensor = self.get_submodule("decoder_Conv5")(x)
        return out


class DetFusionNet(nn.Module):
    """The path from two images to the fused one; sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone_r, self.backbone_i = Backbone(), Backbone()
        self.neck_r, self.neck_i = Pyramid(), Pyramid()
        self.fusion_head = FusionHead()
        self.fusion_conv = nn.Conv2d(2 * C, C, 1)
        for name in ("rgb", "tir"):
            self.add_module(f"conv_{name}att1", nn.Conv2d(C, C // 2, 1, bias=False))
            self.add_module(f"bn_{name}att1", nn.BatchNorm2d(C // 2))
            self.add_module(f"conv_{name}att2", nn.Conv2d(C // 2, 1, 1, bias=False))
            self.add_module(f"bn_{name}att2", nn.BatchNorm2d(1))

    def attention(self, name: str, x: Tensor) -> Tensor:
        """Where the detector of a modality looks: ``[B,256,h,w]`` to ``[B,1,h,w]`` in (0,1)."""
        for number in ("1", "2"):
            x = self.get_submodule(f"bn_{name}att{number}")(self.get_submodule(f"conv_{name}att{number}")(x))
            x = x.relu() if number == "1" else x.sigmoid()
        return x

    def forward(self, input_r: Tensor, input_i: Tensor, vis: Tensor, ir: Tensor) -> Tensor:
        """Fused image of two grey ones ``[B,1,H,W]`` in 0..255; of no fixed range.

        The first two are the same as the detectors take them: three channels by ImageNet's mean and deviation.
        """
        r, i = self.neck_r(self.backbone_r(input_r)), self.neck_i(self.backbone_i(input_i))
        common = F.relu(self.fusion_conv(torch.cat((r, i), dim=1)))
        both = torch.maximum(self.attention("rgb", r + common), self.attention("tir", i + common))
        both = F.interpolate(both, vis.shape[-2:], mode="bilinear", align_corners=True)
        out: Tensor = self.fusion_head(vis / 255, ir / 255, both)
        return out
