"""TIMFusion's networks under the names of the release; 994,917 and 237,308 parameters, light 127,358.

Liu et al., "A Task-guided, Implicitly-searched and Meta-initialized Deep Model for Image Fusion", IEEE TPAMI 2024:
section 3 searches the operations of cells, which are listed here as found; one network fuses, another refines.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionbench.methods._norm import Norm
from fusionbench.methods._searched_cells import ECA, SKFF, SPA, Dense, Dilated, ResM, Strip, down, up

C = 48


class Layer(nn.Module):
    """Convolution with mirrored borders."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2d(x)
        return out


class Before(nn.Module):
    """What stands at the head of a cell: ReLU, 1x1, normalisation."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1, bias=False), Norm(C, own))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Found(nn.Module):
    """An operation at its place."""

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self._op = operation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._op(x)
        return out


def chain(operations: Sequence[nn.Module]) -> nn.Sequential:
    """Operations one after the other."""
    return nn.Sequential(*(Found(operation) for operation in operations))


class Chain(nn.Module):
    """A cell that is a chain of operations."""

    def __init__(self, *operations: nn.Module, own: bool = False) -> None:
        super().__init__()
        self.preprocess1 = Before(own)
        self._ops = chain(operations)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._ops(self.preprocess1(x))
        return out


class MultiScale(nn.Module):
    """A cell that does the same at three scales and joins them."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess1 = Before(own=False)
        self.down_2, self.down_4 = Strip(down(C)), Strip(down(C), down(2 * C))
        self.upsample_2, self.upsample_4 = Strip(up(2 * C)), Strip(up(4 * C), up(2 * C))
        self.SKFF = SKFF(C)
        self._ops, self._ops_1, self._ops_2 = (chain((ResM(c), Dilated(c))) for c in (C, 2 * C, 4 * C))

    def forward(self, x: Tensor) -> Tensor:
        x = self.preprocess1(x)
        half, quarter = self._ops_1(self.down_2(x)), self._ops_2(self.down_4(x))
        out: Tensor = self.SKFF([self._ops(x), self.upsample_2(half), self.upsample_4(quarter)]) + x
        return out


def tail() -> nn.Sequential:
    """Features to an image."""
    return nn.Sequential(Layer(C, C), nn.PReLU(), Layer(C, C // 2), Layer(C // 2, 1, 1))


class First(nn.Module):
    """Two images in, a first fused one out; sides are multiples of 4.

    Args:
        light: whether the cells are those of the light network.
    """

    def __init__(self, light: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(Layer(2, 2 * C), nn.PReLU(), Layer(2 * C, C), nn.PReLU())
        self.stem_out = tail()
        cells = (
            [Chain(ResM(C), ECA(C)), Chain(ResM(C), ECA(C))] if light else [MultiScale(), Chain(Dense(C), Dilated(C))]
        )
        self.cells = nn.Sequential(*cells)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        out: Tensor = self.stem_out(self.cells(self.stem(torch.cat((first, second), dim=1))))
        return out


class Mask(nn.Module):
    """Where one branch is used: of its largest value twice, and its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Module()
        self.spatial.conv = nn.Conv2d(3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        largest = x.amax(1, keepdim=True)
        out: Tensor = self.spatial.get_submodule("conv")(torch.cat((largest, largest, x.mean(1, keepdim=True)), dim=1))
        return out.sigmoid()


class Second(nn.Module):
    """Both images, each beside the first fused one, to the fused image.

    Args:
        own: whether each image is normalised by its own statistics, see :class:`Norm`.
    """

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.spa = Mask()
        self.stem2, self.stem3 = self.head(own), self.head(own)
        self.stem_out2, self.stem_out3 = tail(), tail()  # for the losses of training
        self.stem_out4 = nn.Sequential(Layer(C, C), Layer(C, C // 2), Layer(C // 2, 1, 1))
        self.cells2 = nn.Sequential(*(Chain(SPA(), Dilated(C, own), own=own) for _ in range(2)))
        self.cells3 = nn.Sequential(*(Chain(ECA(C), SPA(), own=own) for _ in range(2)))

    @staticmethod
    def head(own: bool) -> nn.Sequential:
        """Two images to features."""
        return nn.Sequential(Layer(2, 2 * C), nn.PReLU(), Layer(2 * C, C), Norm(C, own), nn.PReLU())

    def forward(self, vis: Tensor, ir: Tensor, fused: Tensor) -> Tensor:
        a = self.cells3(self.stem2(torch.cat((vis, fused), dim=1)))
        b = self.cells2(self.stem3(torch.cat((ir, fused), dim=1)))
        mask = self.spa(a)
        out: Tensor = self.stem_out4(mask * a + (1 - mask) * b)
        return out


class TIMFusionNet(nn.Module):
    """The two as they are used together."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.model_1, self.model_2 = First(), Second(own)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; of no fixed range."""
        out: Tensor = self.model_2(vis, ir, self.model_1(ir, vis))
        return out
