"""UAAFusion's networks under the names of the release; 1,010,380 (fusion) and 3,255,519 parameters (segmentation).

Bai et al., "Deep Unfolding Multi-modal Image Fusion Network via Attribution Analysis", IEEE TCSVT 2024, section III:
each stage of an unfolded optimisation is guided by how much each pixel matters to a segmentation network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionbench.methods._mobilenet import Segmentation

BLOCKS = 5
C = 32


class ConvUnit(nn.Module):
    """Two convolutions with mirrored borders, PReLU between."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.conv_unit = nn.Sequential(
            nn.Conv2d(inputs, inner, 3, padding=1, padding_mode="reflect"),
            nn.PReLU(),
            nn.Conv2d(inner, outputs, 3, padding=1, padding_mode="reflect"),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_unit(x)
        return out


class ConvLSTM(nn.Module):
    """What earlier blocks saw: gates of convolutions over the input and the state before."""

    def __init__(self) -> None:
        super().__init__()
        for source in "xh":
            for gate in "fioj":
                layer = nn.Conv2d(C, C, 3, padding=1, padding_mode="reflect")
                self.add_module(f"conv_{source}{gate}", layer)

    def gate(self, name: str, x: Tensor, state: tuple[Tensor, Tensor] | None) -> Tensor:
        """One gate before its activation."""
        out: Tensor = self.get_submodule(f"conv_x{name}")(x)
        return out if state is None else out + self.get_submodule(f"conv_h{name}")(state[0])

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        cell = self.gate("i", x, state).sigmoid() * self.gate("j", x, state).tanh()
        out = self.gate("o", x, state).sigmoid()
        if state is None:
            return out * cell, cell
        cell = self.gate("f", x, state).sigmoid() * state[1] + cell
        return out * cell.tanh(), cell


class Unfolded(nn.Module):
    """One block: base, detail, fused image and memory, each made anew of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = ConvUnit(1, C, C), ConvUnit(3 * C, C, C), ConvUnit(C, C, C)
        self.conv4 = nn.Sequential(ConvUnit(C, C // 2, 1), nn.Sigmoid())
        self.lstm = ConvLSTM()
        self.conv5, self.conv6 = ConvUnit(3 * C, C, C), ConvUnit(C, C, C)

    def forward(
        self, fused: Tensor, base: Tensor, detail: Tensor, attribution: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        seen = self.conv1(fused)
        base = self.conv2(torch.cat((seen, base, detail), dim=1))
        detail = base + self.conv3(base) * attribution.sigmoid()
        fused = self.conv4(detail)
        state = self.lstm(self.conv5(torch.cat((seen, base, detail), dim=1)), state)
        return fused, self.conv6(state[0]), detail, state


class Fusion(nn.Module):
    """The unfolded blocks. ``alpha`` and ``init_conv_f0`` are released and not used."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(BLOCKS))
        self.blockflow = nn.ModuleList(Unfolded() for _ in range(BLOCKS))
        self.init_conv_ir, self.init_conv_vi = ConvUnit(1, C // 2, C // 2), ConvUnit(1, C // 2, C // 2)
        self.init_conv_f0 = nn.Sequential(ConvUnit(C, C, 1), nn.Sigmoid())


def importance(network: nn.Module, mask: Tensor, image: Tensor) -> Tensor:
    """Gradient of each image's masked mean score by its pixels; also where gradients are switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        x = image.detach().clone().requires_grad_()
        score = (mask.clone() * network(x)).mean((1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(score, x)
    return gradient


class UAAFusionNet(nn.Module):
    """The two as they are used together."""

    def __init__(self) -> None:
        super().__init__()
        self.model_s, self.model_f = Segmentation(), Fusion()

    def forward(self, ir: Tensor, vis: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fused image of two grey ones, each ``[B,1,H,W]`` in [0,1]; in (0,1).

        ``mask``: weights of the classes at each pixel, ``[B,15,H,W]``: labels in training, else what the network sees.
        """
        base = detail = torch.cat((self.model_f.init_conv_ir(ir), self.model_f.init_conv_vi(vis)), dim=1)
        fused = before = (ir + vis) / 2
        mask, attribution = self.model_s(fused) if mask is None else mask, torch.zeros_like(fused)
        state: tuple[Tensor, Tensor] | None = None
        for number, block in enumerate(self.model_f.blockflow):
            if number:
                new = importance(self.model_s, mask, fused) * (fused - before)
                attribution = (attribution * (number - 1) + new) / number
            before = fused
            fused, base, detail, state = block(fused, base, detail, attribution, state)
        out: Tensor = fused
        return out

    def segment(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Scores of classes of the images' mean, ``[B,15,H,W]``."""
        out: Tensor = self.model_s((ir + vis) / 2)
        return out
