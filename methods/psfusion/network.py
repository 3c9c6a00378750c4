"""PSFusion's network under the names of the release; 45,908,840 parameters.

Tang et al., "Rethinking the necessity of image fusion in high-level vision tasks: a practical infrared and visible
image fusion network based on progressive semantic injection and scene fidelity", Information Fusion 2023, section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._psfusion import DSRM, PSFM, SDFM, SIM, Classifier, FReLU, Head, SemanticDecoder
from fusionbench.methods._resnet import Basic, stages

RESNET34 = (3, 4, 6, 3)
MODALITIES = {"thermal": 1, "rgb": 3}  # channels


class Stem(nn.Module):
    """An image to features at its size, and those to features at half of it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.SFEB1 = nn.Sequential(
            nn.Conv2d(inputs, 32, 7, padding=3),
            nn.BatchNorm2d(32),
            FReLU(32),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            FReLU(32),
        )
        self.SFEB2 = nn.Sequential(
            nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), FReLU(64), nn.Conv2d(64, 64, 3, padding=1)
        )


class PSFusionNet(nn.Module):
    """The network; sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        for name, channels in MODALITIES.items():
            self.add_module(f"encoder_{name}_conv1", Stem(channels))
            self.add_module(f"encoder_{name}_bn1", nn.BatchNorm2d(64))
            for number, stage in enumerate(stages(Basic, RESNET34), 3):
                self.add_module(f"encoder_{name}_layer{number}", stage)
        self.high_fuse6, self.high_fuse5, self.high_fuse4 = PSFM(512), PSFM(256), PSFM(128)
        self.low_fuse3, self.low_fuse2, self.low_fuse1 = SDFM(64, 64), SDFM(64, 32), SDFM(32, 32)
        self.SIM1, self.SIM2, self.SIM3 = SIM(64), SIM(32), SIM(64)
        self.to_fused_seg = nn.ModuleList(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)) for _ in range(4))
        self.seg_decoder, self.rec_decoder, self.seg_rec_decoder = SemanticDecoder(), DSRM(), DSRM()
        self.classfier = Classifier()
        self.pred_fusion, self.pred_vi, self.pred_ir = Head(), Head(masked=True), Head(masked=True)

    def encode(self, name: str, x: Tensor) -> list[Tensor]:
        """Maps of one modality at six scales, the finest first."""
        stem = self.get_submodule(f"encoder_{name}_conv1")
        fine = stem.get_submodule("SFEB1")(x)
        maps = [fine, F.relu(self.get_submodule(f"encoder_{name}_bn1")(stem.get_submodule("SFEB2")(fine)))]
        x = F.max_pool2d(maps[-1], 3, 2, 1)
        for number in range(3, 7):
            x = self.get_submodule(f"encoder_{name}_layer{number}")(x)
            maps.append(x)
        return maps

    def features(self, rgb: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        """What is segmented, ``[B,64,H/4,W/4]``, and what images are made of, ``[B,32,H,W]``."""
        both = zip(self.encode("rgb", rgb), self.encode("thermal", ir), strict=True)
        names = ("low_fuse1", "low_fuse2", "low_fuse3", "high_fuse4", "high_fuse5", "high_fuse6")
        maps = [self.get_submodule(name)(*pair) for name, pair in zip(names, both, strict=True)]
        size = maps[2].shape[-2:]
        found = [
            F.interpolate(layer(x), size, mode="bilinear", align_corners=True)
            for layer, x in zip(self.to_fused_seg, maps[2:], strict=True)
        ]
        semantic = self.seg_decoder(torch.cat(found, dim=1))
        scene = self.rec_decoder(self.SIM2(maps[0], self.SIM1(maps[1], maps[2])))
        return semantic, self.seg_rec_decoder(self.SIM3(scene, semantic))

    def forward(self, rgb: Tensor, ir: Tensor) -> Tensor:
        """Fused luma of colours ``[B,3,H,W]`` and infrared ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        out: Tensor = self.pred_fusion(self.features(rgb, ir)[1])
        return out

    def outputs(self, rgb: Tensor, ir: Tensor) -> dict[str, Tensor]:
        """All that the network was trained to give, by name; scores of classes are ``[B,K,H,W]``."""
        semantic, scene = self.features(rgb, ir)
        scores: dict[str, Tensor] = self.classfier(semantic)
        return {"fused": self.pred_fusion(scene), "vi": self.pred_vi(scene), "ir": self.pred_ir(scene)} | scores
