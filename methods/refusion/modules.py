"""What trains ReFusion's fusion network: loss proposal module, source reconstruction module, and the two losses.

Bai et al., "ReFusion: Learning Image Fusion from Reconstruction with Learnable Loss via Meta-Learning", IJCV 2024.
The loss proposal module is of the family of TDFusion's loss generation module (CVPR 2025), whose structure and
parameter names it has; the reconstruction module's inside is ours. Both are built of the fusion network's blocks and
are twice differentiable. Sources are called a (infrared, or the first of any pair) and b.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network import Block, _conv3


class LossProposal(nn.Module):
    """Two lumas in [0,1] in, one weight per pixel and source out; 44,529 parameters."""

    def __init__(self, channels: int = 16, blocks: int = 2):
        super().__init__()
        both = 2 * channels
        self.patch_embed1 = _conv3(1, channels)
        self.patch_embed2 = _conv3(1, channels)
        self.encoder1 = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.encoder2 = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.encoder3 = nn.Sequential(*(Block(both) for _ in range(blocks)))
        self.out1 = _conv3(both, channels)
        self.out2 = nn.PReLU()
        self.out3 = _conv3(channels, 2)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Weights of two images [B,1,H,W]; returns [B,2,H,W] in (0,1), the two adding up to 1 at every pixel."""
        x1 = self.encoder1(self.patch_embed1(first))
        x2 = self.encoder2(self.patch_embed2(second))
        x = self.encoder3(torch.cat((x1, x2), dim=1))
        out: Tensor = self.out3(self.out2(self.out1(x))).softmax(dim=1)
        return out


class _Head(nn.Module):
    """One source from the fused image."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.project_in = _conv3(1, channels)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.project_out_0 = _conv3(channels, channels)
        self.project_out_1 = _conv3(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.project_in(x))
        return torch.sigmoid(self.project_out_1(F.leaky_relu(self.project_out_0(x), 0.01)))


class Reconstruction(nn.Module):
    """Both sources from the fused image alone, by one head each."""

    def __init__(self, channels: int = 16, blocks: int = 2):
        super().__init__()
        self.first = _Head(channels, blocks)
        self.second = _Head(channels, blocks)

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Fused luma [B,1,H,W] in [0,1]; returns the first and the second source, each [B,1,H,W] in (0,1)."""
        return self.first(fused), self.second(fused)


def proposed_loss(fused: Tensor, a: Tensor, b: Tensor, weights: Tensor, alpha: float = 1.0) -> Tensor:
    """The fusion loss: intensity by proposed weights, plus ``alpha`` times a fixed gradient term.

    ``mean(w_a (F - a)^2 + w_b (F - b)^2)``, and the mean absolute difference between the fused image's Sobel responses
    and, at each pixel, the stronger one of the two sources (a where they are equal), both directions added. This second
    term is that of TDFusion.

    Args:
        fused: ``[B,1,H,W]`` in [0,1].
        a: first source, likewise.
        b: second source, likewise.
        weights: ``[B,2,H,W]`` as :class:`LossProposal` gives them.
        alpha: share of the gradient term, not negative; with 0 it is not computed.

    Returns:
        A scalar, differentiable in ``fused`` and ``weights``.
    """
    w_a, w_b = weights.split(1, dim=1)
    intensity = (w_a * (fused - a).square() + w_b * (fused - b).square()).mean()
    out: Tensor = intensity + alpha * gradient_loss(fused, a, b) if alpha else intensity
    return out


def gradient_loss(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mean distance (L1) of the Sobel responses to the stronger ones of both sources, x and y added; ``[B,1,H,W]``."""
    of_a, of_b = sobel(a), sobel(b)
    wanted = torch.where(of_a.abs() >= of_b.abs(), of_a, of_b)
    return 2 * (sobel(fused) - wanted).abs().mean()  # the mean over both directions, doubled, is their sum


def sobel(image: Tensor) -> Tensor:
    """Signed Sobel responses along x and y, ``[B,1,H,W]`` to ``[B,2,H,W]``, zeros outside the image."""
    x = F.pad(image, (1, 1, 1, 1))  # sums of slices, which autocast leaves in float32
    down = x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]
    across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return torch.cat((down[..., 2:] - down[..., :-2], across[..., 2:, :] - across[..., :-2, :]), dim=1)


def reconstruction_loss(rebuilt: tuple[Tensor, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error of both rebuilt sources, added; all are ``[B,1,H,W]`` in [0,1], the result is a scalar."""
    return F.mse_loss(rebuilt[0], a) + F.mse_loss(rebuilt[1], b)
