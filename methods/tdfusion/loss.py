"""TDFusion's fusion loss: intensities by learned weights, and the stronger gradient of the two sources.

Bai et al., "Task-driven Image Fusion with Learnable Fusion Loss", CVPR 2025: L_f = L_int + alpha L_grad. All images are
lumas ``[B,1,H,W]`` in [0,1]; every function is twice differentiable in them (almost everywhere, as L1 is).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fusionbench.methods.refusion.modules import sobel


class FusionLoss(NamedTuple):
    """The loss and its two terms, scalars."""

    total: Tensor
    intensity: Tensor
    gradient: Tensor


def stronger(first: Tensor, second: Tensor) -> Tensor:
    """In each direction and pixel the signed Sobel response of larger magnitude; the first image wins ties."""
    a, b = sobel(first), sobel(second)
    return torch.where(a.abs() >= b.abs(), a, b)


def intensity_loss(fused: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """``mean((w_a (I_a - F))^2) + mean((w_b (I_b - F))^2)``; weights ``[B,2,H,W]``, w_a and then w_b."""
    apart = torch.cat((first, second), dim=1) - fused
    return 2 * (weights * apart).square().mean()  # the mean over both maps is half the sum of the two means


def gradient_loss(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Mean distance (L1) of the fused image's Sobel responses to the stronger ones, added over x and y."""
    return 2 * (sobel(fused) - stronger(first, second)).abs().mean()


def fusion_loss(fused: Tensor, first: Tensor, second: Tensor, weights: Tensor, alpha: float = 1.0) -> FusionLoss:
    """The whole loss.

    Args:
        fused: ``[B,1,H,W]`` in [0,1].
        first: source a.
        second: source b.
        weights: w_a and w_b, ``[B,2,H,W]``, adding up to 1.
        alpha: of the gradient term; with 0 it is not computed.
    """
    intensity = intensity_loss(fused, first, second, weights)
    gradient = gradient_loss(fused, first, second) if alpha else torch.zeros_like(intensity)
    return FusionLoss(intensity + alpha * gradient, intensity, gradient)
