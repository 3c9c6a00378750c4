"""GIFNet under the names of the released checkpoint; 822,780 parameters, some of them idle.

Cheng et al., "One Model for ALL: Low-Level Task Interaction Is a Key to Task-Agnostic Image Fusion", CVPR 2025, section
3: a shared dense extractor, two streams (ivif and mfif) of window attention that exchange queries, one decoder.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Block, Streams

WIDTH, DEPTH = 98, 2


def reflect(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution with mirrored edges."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


class Conv(nn.Module):
    """One, named as in the checkpoint, and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d = reflect(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2d(x))


class Shared(nn.Module):
    """Both images ``[B,2,H,W]`` to 98 channels, densely."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1, self.conv_2, self.conv_3 = Conv(2, 32), Conv(34, 32), Conv(66, 32)

    def forward(self, x: Tensor) -> Tensor:
        for stage in (self.conv_1, self.conv_2, self.conv_3):
            x = torch.cat((x, stage(x)), dim=1)
        return x


def narrowing(inputs: int) -> nn.Sequential:
    """Four convolutions to one channel; the paddings keep the numbers of the checkpoint."""
    widths, layers = (inputs, 64, 32, 16, 1), list[nn.Module]()
    for a, b in pairwise(widths):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3), nn.ReLU() if b > 1 else nn.Tanh()]
    return nn.Sequential(*layers)


class Idle(nn.Module):
    """The reconstruction decoder of training: in the checkpoint, not applied in fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = narrowing(WIDTH)


class Layer(nn.Module):
    """Two blocks; after the first, the mfif stream takes some of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(WIDTH, shift=0), Block(WIDTH, shift=4))
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(DEPTH))
        self.weights_mfif = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(DEPTH))

    def forward(self, x: Streams) -> Tensor:
        first, last = self.blocks
        ivif, mfif = first(x)
        assert isinstance(last, Block)
        return last.mfif_alone(mfif + self.weights_mfif[0] * ivif)


class Projection(nn.Module):
    """A convolution named as in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = reflect(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class Unembed(nn.Module):
    """Another, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Sequential(reflect(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class Transformer(nn.Module):
    """Shared features to those of the mfif stream."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed_ivif, self.patch_embed_mfif = Projection(), Projection()
        self.layer1, self.patch_unembed = Layer(), Unembed()

    def forward(self, x: Tensor) -> Tensor:
        high, wide = x.shape[-2:]
        x = F.pad(x, (0, -wide % 4, 0, -high % 4), mode="reflect")
        out: Tensor = self.patch_unembed(self.layer1((self.patch_embed_ivif(x), self.patch_embed_mfif(x))))
        return out[..., :high, :wide]


class Extractor(nn.Module):
    """A name of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.SwinTransformerSpecific = Transformer()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.SwinTransformerSpecific(x)
        return out


class Mix(nn.Module):
    """Shared and own features to 128 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False), nn.ReLU(), nn.Conv2d(WIDTH, 128, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


class Decoder(nn.Module):
    """Mixed features to an image in (-1,1)."""

    def __init__(self) -> None:
        super().__init__()
        self.fuseComplementFeatures = Mix()
        self.decoder = narrowing(128)

    def forward(self, shared: Tensor, own: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.fuseComplementFeatures(torch.cat((shared, own), dim=1)))
        return out


class GIFNetNet(nn.Module):
    """The path of infrared and visible images (``tag 2`` of the release)."""

    def __init__(self) -> None:
        super().__init__()
        self.getSharedFeatures, self.decoder_rec = Shared(), Idle()
        self.extractor_multask, self.cnnDecoder = Extractor(), Decoder()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1)."""
        shared = self.getSharedFeatures(torch.cat((ir, vis), dim=1))
        fused: Tensor = self.cnnDecoder(shared, self.extractor_multask(shared))
        return fused / 2 + 0.5
