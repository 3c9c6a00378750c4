"""LRRNet under the names of the released checkpoint; 49,204 parameters.

Li et al., "LRRNet: A Novel Representation Learning Guided Fusion Network for Infrared and Visible Images", IEEE TPAMI
45(9), 2023, section 3: iterations of learned low-rank representation, unrolled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, BLOCKS = 256, 4
PART = 32  # channels of a code at once


class Conv(nn.Module):
    """3x3 convolution with mirrored edges, named as in the checkpoint."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2d(x)
        return out


class Iteration(nn.Module):
    """The residual of an image under the present code, as a code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_Wdz, self.conv_Wdtz = Conv(WIDTH, 1), Conv(1, WIDTH)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        out: Tensor = self.conv_Wdtz(x - self.conv_Wdz(code))
        return out


class Decomposition(nn.Module):
    """An image ``[B,1,H,W]`` to its low-rank and its sparse part, each ``[B,128,H,W]``."""

    def __init__(self) -> None:
        super().__init__()
        self.lamj, self.lamz = nn.Parameter(torch.zeros(1, WIDTH)), nn.Parameter(torch.zeros(1, 1))
        self.conv_W00 = Conv(1, WIDTH)
        for i in range(BLOCKS):
            setattr(self, f"lrrblock{i}", Iteration())

    def soft(self, x: Tensor, threshold: Tensor) -> Tensor:
        """Soft threshold, with one for each channel."""
        return x.sign() * F.relu(x.abs() - threshold)

    def after(self, step: Tensor, code: Tensor | None = None) -> Tensor:
        """The next code of a step and the code before it; without gradients in the place of the step, part by part.

        A code is 1 KiB a pixel, and a line of arithmetic on the whole of it holds several.
        """
        codes = [step] if code is None else [step, code]
        threshold = self.lamj.view(1, WIDTH, 1, 1)
        if torch.is_grad_enabled():
            return self._after(threshold, *codes)
        out = step.to(torch.result_type(step, threshold))
        groups = zip(*(x.split(PART, dim=1) for x in (out, threshold, *codes)), strict=True)
        for here, *group in groups:
            here.copy_(self._after(*group))
        return out

    def _after(self, threshold: Tensor, step: Tensor, code: Tensor | None = None) -> Tensor:
        return self.soft(step if code is None else self.lamz * code + step, threshold)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.after(self.conv_W00(x))
        for i in range(BLOCKS):
            code = self.after(getattr(self, f"lrrblock{i}")(x, code), code)
        low, sparse = code.chunk(2, dim=1)
        return low, sparse


class Decoder(nn.Module):
    """The parts of both images to images, fused low with low and sparse with sparse, and added."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("ReZx", "ReUx", "ReZy", "ReUy"):
            setattr(self, f"conv_{name}", Conv(WIDTH // 2, 1))
        self.conv_ReL, self.conv_ReH = Conv(2, 1), Conv(2, 1)

    def images(self, parts: tuple[Tensor, Tensor], of: str) -> tuple[Tensor, Tensor]:
        """Low-rank and sparse part of an image, ``x`` the infrared and ``y`` the visible one, as images."""
        low, sparse = parts
        return self.get_submodule(f"conv_ReZ{of}")(low), self.get_submodule(f"conv_ReU{of}")(sparse)

    def forward(self, ir: tuple[Tensor, Tensor], vis: tuple[Tensor, Tensor]) -> Tensor:
        low, high = (torch.cat(both, dim=1) for both in zip(ir, vis, strict=True))
        fused: Tensor = self.conv_ReL(low) + self.conv_ReH(high)
        return fused


class LRRNet(nn.Module):
    """A decomposition for each image, one decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.get_ls1, self.get_ls2, self.decoder = Decomposition(), Decomposition(), Decoder()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` stretched to [0,1]; of any range."""
        first = self.decoder.images(self.get_ls1(ir), "x")  # before the other code is begun
        fused: Tensor = self.decoder(first, self.decoder.images(self.get_ls2(vis), "y"))
        return fused
