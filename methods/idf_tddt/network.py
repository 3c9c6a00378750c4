"""IDF-TDDT's two networks under the names of the release: a base fusion network and text-driven kernels beside it.

69,881 and 5,794,240 parameters. The authors' repository (YR0211/IDF-TDDT) gives no title; its encoders and its
weighting are those of CLDyN's fusion network, by the same authors.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.cldyn.vfn import SLOPE, WIDTH, DenseBlock, FeatureExtraction, Weighting

BLOCKS = 4
DRIVEN = 3  # blocks whose features the text changes
TEXT = 4096  # width of a token of the language model
INNER = 512


def mirrored(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution with mirrored borders."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


def layer(inputs: int, outputs: int) -> list[nn.Module]:
    """Such a convolution, batch normalisation, LeakyReLU."""
    return [mirrored(inputs, outputs), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]


class Reconstruction(nn.Module):
    """Dense blocks and convolutions, ``[B,16,H,W]`` to an image in (0,1)."""

    def __init__(self) -> None:
        super().__init__()
        for index in range(BLOCKS):
            self.add_module(f"d{index}", DenseBlock(2 * WIDTH))
        self.res = nn.Sequential(*layer(16, 8), *layer(8, 4), mirrored(4, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return (x + 1) / 2


class BaseFusionNet(nn.Module):
    """Two encoders, their weighting, and the reconstruction."""

    def __init__(self) -> None:
        super().__init__()
        self.vi_e, self.ir_e = FeatureExtraction(BLOCKS), FeatureExtraction(BLOCKS)
        self.fb, self.ff = Reconstruction(), Weighting()


class Driven(nn.Module):
    """Adds to features ``[B,8,H,W]`` what a 3x3 kernel made of them and of the text finds in them."""

    def __init__(self) -> None:
        super().__init__()
        self.cppb = nn.Sequential(nn.Linear(2 * WIDTH + INNER, INNER), nn.Linear(INNER, WIDTH * WIDTH * 9))
        self.gap_conv, self.gmp_conv = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.bn_lrelu = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.LeakyReLU(SLOPE))
        widths = (WIDTH, 2 * WIDTH, 2 * WIDTH, WIDTH)
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            parts += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
        self.conv = nn.Sequential(*parts)
        self.zc = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        seen = torch.cat((self.gap_conv(x).mean((-2, -1)), self.gmp_conv(x).amax((-2, -1)), text), dim=1)
        kernels = self.cppb(seen).view(-1, WIDTH, 3, 3)
        shape = x.shape
        found = F.conv2d(x.reshape(1, -1, *shape[-2:]), kernels, padding=1, groups=shape[0]).view(shape)
        out: Tensor = x + self.zc(self.conv(self.bn_lrelu(found)))
        return out


class TextDriven(nn.Module):
    """The driven blocks of one modality; the adapter of the text is one for both."""

    def __init__(self, adapter: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter
        for index in range(DRIVEN):
            self.add_module(f"dpi{index}", Driven())


class TaskModule(nn.Module):
    """Driven blocks of both modalities."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter = nn.Sequential(nn.Linear(TEXT, INNER), nn.Linear(INNER, INNER))
        self.ir_t_dpi, self.vi_t_dpi = TextDriven(self.adapter), TextDriven(self.adapter)


class IDFTDDTNet(nn.Module):
    """The two as they are used together."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.T_dpi = BaseFusionNet(), TaskModule()

    def encode(self, encoder: FeatureExtraction, driven: TextDriven, x: Tensor, text: Tensor | None) -> Tensor:
        """Features of one image, changed after each of the first blocks where there is a text."""
        for index in range(BLOCKS):
            x = encoder.block(index, x)
            if text is not None and index < DRIVEN:
                x = driven.get_submodule(f"dpi{index}")(x, text)
        return x

    def forward(self, ir: Tensor, vis: Tensor, text: Tensor | None = None) -> Tensor:
        """Fused luma of two images ``[B,1,H,W]`` in [0,1], for the task that a text names.

        ``text``: ``[B,4096]``, the mean of the tokens' features; without it the base network works alone.
        """
        adapted = None if text is None else self.T_dpi.adapter(text)
        a = self.encode(self.net.ir_e, self.T_dpi.ir_t_dpi, ir, adapted)
        b = self.encode(self.net.vi_e, self.T_dpi.vi_t_dpi, vis, adapted)
        out: Tensor = self.net.fb(self.net.ff(a, b))
        return out
