"""SFDFusion under the names of the released checkpoint; 139,695 parameters.

Hu et al., "SFDFusion: An Efficient Spatial-Frequency Domain Fusion Network for Infrared and Visible Image Fusion",
ECAI 2024, section 3: modality refinement in space, amplitude and phase fused in frequency.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 8


def conv(inputs: int, outputs: int, last: nn.Module | None = None) -> nn.Sequential:
    """3x3 convolution, and ReLU or another end."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), last or nn.ReLU())


class Gate(nn.Module):
    """Features times a weight in (0,1) for each."""

    def __init__(self) -> None:
        super().__init__()
        self.att = conv(WIDTH, WIDTH, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.att(x)
        return out


class Sobel(nn.Module):
    """Sum of the sizes of two depthwise filters, which begin as Sobel's and are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.convx = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
        self.convy = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convx(x).abs() + self.convy(x).abs()
        return out


class Refinement(nn.Module):
    """Features of both images: gated by themselves, gated by their sum, and their gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.ir_embed, self.vi_embed = conv(1, WIDTH), conv(1, WIDTH)
        self.ir_att1, self.ir_att2, self.vi_att1, self.vi_att2 = Gate(), Gate(), Gate(), Gate()
        self.grad_ir, self.grad_vi = Sobel(), Sobel()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        ir, vis = self.ir_embed(ir), self.vi_embed(vis)
        both = ir + vis
        first = self.ir_att1(ir) + self.ir_att2(both) + self.grad_ir(ir)
        second = self.vi_att1(vis) + self.vi_att2(both) + self.grad_vi(vis)
        return torch.cat((first, second), dim=1)


class Two(nn.Module):
    """Two convolutions over two maps."""

    def __init__(self, middle: int, outputs: int, slope: float) -> None:
        super().__init__()
        ends = [nn.LeakyReLU(slope) if slope else nn.ReLU() for _ in range(2)]
        self.conv1 = nn.Sequential(*conv(2, middle, ends[0]), *conv(middle, outputs, ends[1]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        out: Tensor = self.conv1(torch.cat((a, b), dim=1))
        return out


class Joining(nn.Module):
    """All features to an image in (-1,1)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = conv(3 * WIDTH, 32)
        self.down_conv = nn.Sequential(conv(32, 128), conv(128, 64), conv(64, 32), conv(32, 1, nn.Tanh()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_conv(self.encoder(x))
        return out


class SFDFusionNet(nn.Module):
    """The branch in space, the branch in frequency, and what joins them; each fused image is stretched to [0,1]."""

    def __init__(self) -> None:
        super().__init__()
        self.dmrm, self.ff1, self.ff2 = Refinement(), Two(1, 1, 0.1), Two(1, 1, 0.1)
        self.ifft, self.fus_block = Two(WIDTH // 2, WIDTH, 0.0), Joining()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma of infrared and visible luma, each ``[B,1,H,W]`` in [0,1], W even; in [0,1]."""
        first, second = torch.fft.rfftn(ir, dim=(-2, -1)), torch.fft.rfftn(vis, dim=(-2, -1))
        with torch.autocast(ir.device.type, enabled=False):  # spectra have too wide a range for half precision
            size, phase = self.ff1(first.abs(), second.abs()), self.ff2(first.angle(), second.angle())
        spectrum = torch.complex(size * phase.cos() + 1e-8, size * phase.sin() + 1e-8)
        back = torch.fft.irfftn(spectrum, dim=(-2, -1)).abs()
        x: Tensor = self.fus_block(torch.cat((self.dmrm(ir, vis), self.ifft(back, back)), dim=1))
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return (x - low) / torch.where(high > low, high - low, 1.0)
