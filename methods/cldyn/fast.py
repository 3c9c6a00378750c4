"""Without gradients: batch normalisation folded into the convolutions, and A2SI a few rows at a time on a processor.

There the large maps of the plain form (128 channels at full size, four branches) never leave the cache; on a GPU each
image goes in one piece.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

ROWS = 32  # of a band
Module = TypeVar("Module", bound=nn.Module)
Folded = tuple[Tensor, Tensor]  # weight and bias


def possible(module: nn.Module, image: Tensor) -> bool:
    """Whether the forms in here may stand in: evaluation mode, no gradients."""
    return not (module.training or torch.is_grad_enabled())


def rows_of(x: Tensor) -> int:
    """How many rows of an image ``[B,C,H,W]`` are worked on at a time."""
    return ROWS if x.device.type == "cpu" else x.shape[2]


def without_norms(module: Module) -> Module:
    """A copy for evaluation, in which each batch normalisation behind a convolution is part of its weights.

    Args:
        module: with both next to each other in ``nn.Sequential``.
    """
    module = copy.deepcopy(module).eval()
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for place, (conv, norm) in enumerate(itertools.pairwise(list(part))):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    part[place], part[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return module.requires_grad_(False)


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
    height, rows = x.shape[2], rows_of(x)
    total = x.new_zeros(1, len(convs[-1][0]))
    for start in range(0, height, rows):
        end = min(start + rows, height)
        # Each convolution takes a row on either side; rows outside the image are zeros at every level.
        first, last = max(start - len(convs), 0), min(end + len(convs), height)
        y = x[:, :, first:last]
        if rows == ROWS:
            y = y.contiguous(memory_format=torch.channels_last)
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
    step = rows_of(image)
    for start in range(0, height, step):
        end = min(start + step, height)
        for (reach, dilation), (weight, bias) in joined.items():
            rows = slice(most + start - reach, most + end + reach)
            columns = slice(most - reach, most + width + reach)
            y = F.leaky_relu_(F.conv2d(padded[:, :, rows, columns], weight, bias, dilation=dilation), slope)
            out[:, :, start:end] += y.unflatten(1, (-1, image.shape[1])).sum(1)
    return out / len(kernels)
