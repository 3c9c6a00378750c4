"""The vision-guided fusion network (VFN) of CLDyN. Names are those of the released state dict."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of every LeakyReLU
WIDTH = 8  # channels of the features
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def _conv(into: int, out: int, activated: bool = True) -> list[nn.Module]:
    """3x3 with mirrored border, batch normalisation, LeakyReLU."""
    conv = nn.Conv2d(into, out, 3, padding=1, padding_mode="reflect")
    return [conv, nn.BatchNorm2d(out), nn.LeakyReLU(SLOPE)] if activated else [conv]


def _single(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class DenseBlock(nn.Module):
    """Two convolutions (dilation 2, zero border) on a growing concatenation of 8, 16, 24 channels; a 1x1; the sum."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.Dcov1 = self._dilated(width, width)
        self.Dcov2 = self._dilated(2 * width, width)
        self.conv = nn.Conv2d(3 * width, width, 1)

    @staticmethod
    def _dilated(into: int, out: int) -> nn.Sequential:
        conv = nn.Conv2d(into, out, 3, padding=2, dilation=2)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """``[B,8,H,W]`` to the same shape."""
        dense = torch.cat((x, self.Dcov1(x)), 1)
        dense = torch.cat((dense, self.Dcov2(dense)), 1)
        return x + F.leaky_relu(self.conv(dense), SLOPE)


class FeatureExtraction(nn.Module):
    """FEB of one modality: two shallow convolutions (1, 4, 8 channels), then dense blocks ``e0``, ``e1``..."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.bfe = nn.Sequential(*_conv(1, WIDTH // 2), *_conv(WIDTH // 2, WIDTH))
        for index in range(blocks):
            setattr(self, f"e{index}", DenseBlock())

    def block(self, index: int, x: Tensor) -> Tensor:
        """Features after block ``index``, of the image (first block) or of the features before."""
        if index == 0:
            with torch.autocast(x.device.type, enabled=False):  # half precision has half the levels of an image
                x = self.bfe(_single(x))
        out: Tensor = getattr(self, f"e{index}")(x)
        return out


def gradient(x: Tensor) -> Tensor:
    """|horizontal| + |vertical| Sobel response of each channel: weights sum to 1 in magnitude, border repeated."""
    sobel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device) / 8
    kernels = torch.stack((sobel, sobel.T))[:, None].repeat(x.shape[1], 1, 1, 1)
    both = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels, groups=x.shape[1]).abs()
    summed: Tensor = both.unflatten(1, (-1, 2)).sum(2)
    return summed


class Weighting(nn.Module):
    """FRB part 1: both modalities' features, weighted by channel and spatial attention to their gradients."""

    def __init__(self, width: int = 2 * WIDTH) -> None:
        super().__init__()
        self.mlp_aa, self.mlp_ma = self._mlp(width), self._mlp(width)
        self.conv_mean_a, self.conv_max_a = self._convs(width), self._convs(width)

    @staticmethod
    def _mlp(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    @staticmethod
    def _convs(width: int) -> nn.Sequential:
        return nn.Sequential(*_conv(width, 2 * width, False), nn.ReLU(), *_conv(2 * width, width, False))

    def forward(self, ir: Tensor, vi: Tensor) -> Tensor:
        """Two maps ``[B,8,H,W]`` to ``[B,16,H,W]``."""
        edges = torch.cat((gradient(ir), gradient(vi)), 1)
        channel = self.mlp_aa(edges.mean((2, 3))) + self.mlp_ma(edges.amax((2, 3)))
        spatial = self.conv_mean_a(F.avg_pool2d(edges, 3, 1, 1)) + self.conv_max_a(F.max_pool2d(edges, 3, 1, 1))
        return torch.sigmoid(channel[..., None, None] * spatial) * torch.cat((ir, vi), 1)


class Reconstruction(nn.Module):
    """FRB part 2: convolution, dense blocks ``d0``, ``d1``..., and convolutions to one channel in [0,1]."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.f_conv = nn.Sequential(*_conv(2 * WIDTH, WIDTH))
        self.res = nn.Sequential(*_conv(WIDTH, WIDTH // 2), *_conv(WIDTH // 2, 1, False), nn.Tanh())
        for index in range(blocks):
            setattr(self, f"d{index}", DenseBlock())

    def forward(self, x: Tensor) -> Tensor:
        """``[B,16,H,W]`` to ``[B,1,H,W]``."""
        x = self.f_conv(x)
        for index in range(self.blocks):
            x = getattr(self, f"d{index}")(x)
        with torch.autocast(x.device.type, enabled=False):  # and is coarser than a level near white
            out: Tensor = (self.res(_single(x)) + 1) / 2
        return out


class VFN(nn.Module):
    """Fuses two luma images; 34,761 parameters with two blocks (L = 2, CLDyN section 3.1).

    Args:
        blocks: dense blocks of each encoder and of the decoder.
    """

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = blocks
        self.vi_feb = FeatureExtraction(blocks)
        self.ir_feb = FeatureExtraction(blocks)
        self.frb1 = Weighting()
        self.frb2 = Reconstruction(blocks)

    def parts(self) -> list[nn.Module]:
        """What is called of it where features are changed in between, besides the first convolutions ``bfe``."""
        blocks = [feb.get_submodule(f"e{i}") for feb in (self.ir_feb, self.vi_feb) for i in range(self.blocks)]
        return [*blocks, self.frb1, self.frb2]

    def encode(self, index: int, ir: Tensor, vi: Tensor) -> tuple[Tensor, Tensor]:
        """Block ``index`` of both encoders: images ``[B,1,H,W]`` (block 0) or features ``[B,8,H,W]`` to features."""
        return self.ir_feb.block(index, ir), self.vi_feb.block(index, vi)

    def decode(self, ir: Tensor, vi: Tensor) -> Tensor:
        """Features of the last block to the fused luma ``[B,1,H,W]`` in [0,1]."""
        out: Tensor = self.frb2(self.frb1(ir, vi))
        return out

    def forward(self, ir: Tensor, vi: Tensor) -> Tensor:
        """Infrared and visible luma ``[B,1,H,W]`` in [0,1] to the fused luma; height and width at least 3."""
        for index in range(self.blocks):
            ir, vi = self.encode(index, ir, vi)
        return self.decode(ir, vi)
