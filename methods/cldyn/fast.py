"""A2SI on a processor, without gradients: a few rows at a time, batch normalisation folded into the convolutions.

The large maps of the plain form (128 channels at full size, four branches) never leave the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 32  # of a band
Folded = tuple[Tensor, Tensor]  # weight and bias


def possible(module: nn.Module, image: Tensor) -> bool:
    """Whether the forms in here may stand in: evaluation mode, no gradients, on a processor."""
    return not (module.training or torch.is_grad_enabled()) and image.device.type == "cpu"


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> Folded:
    """A convolution's weight ``[O,...]`` with the normalisation behind it, as weight and bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def mean_of(layers: nn.Sequential, x: Tensor) -> Tensor:
    """The mean over pixels of a stack of (3x3 convolution, batch normalisation, LeakyReLU): ``[B,8,H,W]`` to ``[B,C]``.

    Args:
        layers: the stack, padded with zeros before each convolution, and a pooling layer.
        x: images or features.
    """
    convs, slopes = _stack(layers)
    return torch.cat([_mean(convs, slopes, image) for image in x.split(1)])


def _mean(convs: Sequence[Folded], slopes: Sequence[float], x: Tensor) -> Tensor:
    height = x.shape[2]
    total = x.new_zeros(1, len(convs[-1][0]))
    for start in range(0, height, ROWS):
        end = min(start + ROWS, height)
        # Each convolution takes a row on either side; rows outside the image are zeros at every level.
        first, last = max(start - len(convs), 0), min(end + len(convs), height)
        y = x[:, :, first:last].contiguous(memory_format=torch.channels_last)
        for level, ((weight, bias), slope) in enumerate(zip(convs, slopes, strict=True), 1):
            wanted = max(start - len(convs) + level, 0), min(end + len(convs) - level, height)
            y = F.pad(y, (1, 1, int(wanted[0] == first), int(wanted[1] == last)))
            y = F.leaky_relu_(F.conv2d(y, weight, bias), slope)
            first, last = wanted
        total += y.sum((2, 3))
    return total / (height * x.shape[3])


def _stack(layers: nn.Sequential) -> tuple[list[Folded], list[float]]:
    parts = list(layers)
    convs = [cast(nn.Conv2d, part) for part in parts[0:-1:3]]
    norms = [cast(nn.BatchNorm2d, part) for part in parts[1:-1:3]]
    folds = [folded(conv.weight, norm) for conv, norm in zip(convs, norms, strict=True)]
    return folds, [cast(nn.LeakyReLU, part).negative_slope for part in parts[2:-1:3]]


def branches(image: Tensor, kernels: Sequence[Tensor], dilations: Sequence[int], after: nn.Sequential) -> Tensor:
    """The mean of several convolutions of one image, each followed by batch normalisation and LeakyReLU.

    Args:
        image: features ``[1,8,H,W]``.
        kernels: of each branch, ``[8,8,k,k]``.
        dilations: of each branch; the border is padded with zeros.
        after: the normalisation and activation that the branches share.

    Returns:
        ``[1,8,H,W]``.
    """
    norm, slope = cast(nn.BatchNorm2d, after[0]), cast(nn.LeakyReLU, after[1]).negative_slope
    alike: dict[tuple[int, int], list[Folded]] = {}
    for kernel, dilation in zip(kernels, dilations, strict=True):
        reach = (kernel.shape[-1] - 1) // 2 * dilation
        alike.setdefault((reach, dilation), []).append(folded(kernel, norm))
    joined = {key: tuple(torch.cat(parts) for parts in zip(*rows, strict=True)) for key, rows in alike.items()}
    out = torch.zeros_like(image)
    most = max(reach for reach, _ in joined)
    padded = F.pad(image, (most,) * 4)
    height, width = image.shape[2:]
    for start in range(0, height, ROWS):
        end = min(start + ROWS, height)
        for (reach, dilation), (weight, bias) in joined.items():
            rows = slice(most + start - reach, most + end + reach)
            columns = slice(most - reach, most + width + reach)
            y = F.leaky_relu_(F.conv2d(padded[:, :, rows, columns], weight, bias, dilation=dilation), slope)
            out[:, :, start:end] += y.unflatten(1, (-1, image.shape[1])).sum(1)
    return out / len(kernels)
