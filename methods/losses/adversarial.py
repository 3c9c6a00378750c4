"""Terms of networks that learn against each other, and what their critics look at."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.gradients import spatial_gradient

Critic = Callable[[Tensor], Tensor]  # images [B,1,h,w] to one value each, [B,1]


def gradient_size(x: Tensor) -> Tensor:
    """Length of the spatial gradient at each pixel, ``[B,1,H,W]``; 1e-8 below the root (TarDAL)."""
    return (spatial_gradient(x).square().sum(1, keepdim=True) + 1e-8).sqrt()


def divergence(critic: Critic, real: Tensor, fake: Tensor, share: Tensor, power: int = 6) -> Tensor:
    """Norm of a critic's slope between both images to a power, mean over the batch (Wasserstein divergence; TarDAL).

    Args:
        critic: whose slope; the term can be differentiated in its weights.
        real: ``[B,1,h,w]``.
        fake: likewise.
        share: of the real image at the place that is looked at, ``[B,1,1,1]`` in [0,1].
        power: of the norm.
    """
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norms: Tensor = (slope.flatten(1) + 1e-6).norm(dim=1)
    return (norms**power).mean()


def critic_loss(critic: Critic, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """What a critic of Wasserstein divergence lowers: fake low, real high, and twice the slope's sixth power."""
    return critic(fake).mean() - critic(real).mean() + 2 * divergence(critic, real, fake, share)


def ms_ssim_l1(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of five Gaussian windows of one size, multiplied, with an L1 distance (kornia's ``MS_SSIMLoss``; TarDAL).

    Zhao et al. 2016, "Loss functions for image restoration with neural networks", times 200. As released for grey
    images every window counts three times: all similarities are cubed. Borders are padded with zeros.
    """
    product, luminance, smoothed = torch.ones_like(a), a, a
    for sigma in (0.5, 1.0, 2.0, 4.0, 8.0):
        taps = torch.exp(-(torch.arange(-16, 17, dtype=a.dtype, device=a.device) ** 2) / (2 * sigma**2))
        row = (taps / taps.sum())[None, None, None]

        def mean(x: Tensor, row: Tensor = row) -> Tensor:
            return F.conv2d(F.conv2d(x, row, padding=(0, 16)), row.mT, padding=(16, 0))

        m, n = mean(a), mean(b)
        luminance = (2 * m * n + 1e-4) / (m * m + n * n + 1e-4)
        upper, lower = 2 * (mean(a * b) - m * n) + 9e-4, mean(a * a) - m * m + mean(b * b) - n * n + 9e-4
        product = product * (upper / lower) ** 3
        smoothed = mean((a - b).abs())
    return 200 * (0.025 * (1 - luminance**3 * product) + 0.975 * smoothed).mean()
