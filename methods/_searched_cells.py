"""Operations and scales of TIMFusion's cells, under the names of the release."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods._norm import Norm


class Depthwise(nn.Module):
    """Grouped 3x3 convolution, one group for each of ``groups`` channels."""

    def __init__(self, inputs: int, groups: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, groups, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class ResM(nn.Module):
    """Residual: depthwise, depthwise dilated, 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            Depthwise(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x) + x
        return out


class Dilated(nn.Module):
    """Residual: ReLU, depthwise dilated, 1x1."""

    def __init__(self, channels: int, own: bool = False) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            Depthwise(channels, channels, dilation=2),
            nn.Conv2d(channels, channels, 1, bias=False),
            Norm(channels, own),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x) + x
        return out


class Dense(nn.Module):
    """Residual: three grouped convolutions, each of all that is before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (Depthwise(i * channels, channels) for i in (1, 2, 3))
        self.lrelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        a = self.lrelu(self.conv1(x))
        b = self.lrelu(self.conv2(torch.cat((x, a), dim=1)))
        out: Tensor = 0.333 * self.lrelu(self.conv3(torch.cat((x, a, b), dim=1))) + x
        return out


class SpatialGate(nn.Module):
    """A weight for each pixel, of the largest value and the mean of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Module()
        self.spatial.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial.get_submodule("conv")(seen))


class SPA(nn.Module):
    """Spatial attention."""

    def __init__(self) -> None:
        super().__init__()
        self.se = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.se(x)
        return out


class ChannelGate(nn.Module):
    """A weight for each channel, of its mean and those of its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.conv(x.mean((-2, -1))[:, None]).sigmoid()
        return x * weights.transpose(1, 2)[..., None]


class ECA(nn.Module):
    """Channel attention, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.se = ChannelGate()
        self.relu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.conv1(self.se(x)))
        return out


class SKFF(nn.Module):
    """Joins three maps: for each channel a weight of each, which sum to one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 8
        self.conv_du = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=False), nn.PReLU())
        self.fcs = nn.ModuleList(nn.Conv2d(inner, channels, 1, bias=False) for _ in range(3))

    def forward(self, maps: list[Tensor]) -> Tensor:
        stack = torch.stack(maps, dim=1)
        inner = self.conv_du(stack.sum(1).mean((-2, -1), keepdim=True))
        weights = torch.stack([to(inner) for to in self.fcs], dim=1).softmax(1)
        return (stack * weights).sum(1)


class Blur(nn.Module):
    """Binomial filter at every other pixel; its taps lie in the checkpoint."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(taps, taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Both(nn.Module):
    """Two ways from one scale to another, added."""

    def __init__(self, top: nn.Sequential, bot: nn.Sequential) -> None:
        super().__init__()
        self.top, self.bot = top, bot

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.top(x) + self.bot(x)
        return out


class Strip(nn.Module):
    """Scales one after the other."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


def point(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def down(c: int) -> Both:
    """Half the size, twice the channels."""
    inner = nn.Conv2d(c, c, 3, padding=1, bias=False)
    top = nn.Sequential(point(c, c), nn.PReLU(), inner, nn.PReLU(), Blur(c), point(c, 2 * c))
    return Both(top, nn.Sequential(Blur(c), point(c, 2 * c)))


def up(c: int) -> Both:
    """Twice the size, half the channels."""
    inner = nn.ConvTranspose2d(c, c, 3, stride=2, padding=1, output_padding=1, bias=False)
    top = nn.Sequential(point(c, c), nn.PReLU(), inner, nn.PReLU(), point(c, c // 2))
    larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return Both(top, nn.Sequential(larger, point(c, c // 2)))
