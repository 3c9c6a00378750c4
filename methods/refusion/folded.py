"""The ReFusion network on a GPU, for a batch, without gradients: the same numbers as ``network.py`` in fewer passes.

There every pass over a map of full size counts, and products of two channels by 300,000 pixels leave the card idle:

* Channel attention is compared and applied for all heads at once: one C x C matrix per image, zero outside its heads,
  with the projection multiplied in, so that it is one more 1x1 convolution. (As a batched product of 16x16 by 16xN it
  meets a slow kernel in float32; as a convolution of one image after the other it meets those of the other layers.)
* What it compares, products of query and key channels and their squares, is one Gram matrix of both, summed over
  stretches of pixels: a product of 16xN by Nx16 in one piece would keep a handful of processors busy.
* The normalisation is one pass for mean and variance and one to apply them; its weight and bias are multiplied out.
* Under ``torch.compile`` a depthwise convolution is written as its nine taps, which become one kernel with the gate
  behind it.

In bf16 the feature map, its normalisation, the softmax, the first and the last convolution stay float32.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.method import Arithmetic

from .fast import fuse as fuse_rows
from .folding import Folded, Mix, fold_blocks, fold_fusion
from .network import EPS, ReFusionNet

STRETCH = 1024  # pixels of one product; 480x640 makes 300 of them, two for each processor of a large card


def _depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution of each channel by itself, zeros outside; compiled, half precision becomes float32."""
    if not torch.compiler.is_compiling():
        return F.conv2d(x, weight, padding=1, groups=len(weight))
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1))
    total = padded[..., :height, :width] * weight[:, :, 0, 0, None]
    for i, j in list(itertools.product(range(3), repeat=2))[1:]:
        total = total + padded[..., i : i + height, j : j + width] * weight[:, :, i, j, None]
    return total


def _normalised(x: Tensor) -> Tensor:
    """Zero mean and unit variance over the channels of each pixel."""
    variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + EPS)
    return torch.addcmul(-mean * scale, x, scale)


def _gram(x: Tensor) -> Tensor:
    """Products of all channels with each other, summed over the pixels: ``[C,N]`` to float32 ``[C,C]``."""
    count = x.shape[1] // STRETCH
    whole, rest = x[:, : count * STRETCH], x[:, count * STRETCH :].float()
    pieces = whole.unflatten(1, (count, STRETCH)).transpose(0, 1)
    total: Tensor = (pieces @ pieces.transpose(1, 2)).sum(0, dtype=torch.float32) + rest @ rest.t()
    return total


class _Block(nn.Module):
    """A transformer block, or the fusion block: ``[B,C,H,W]`` to the same."""

    point: Tensor
    bias: Tensor | None
    depth: Tensor
    feed_point: Tensor
    feed_bias: Tensor | None
    feed_depth: Tensor
    out: Tensor
    project: Tensor
    temperature: Tensor
    apart: Tensor

    def __init__(self, block: Folded) -> None:
        super().__init__()
        self.normed = block.normed
        heads = block.heads
        rows = [row for part in ("query", "key") for h in heads for row in range(*getattr(h, part).indices(1 << 16))]
        query_key = block.query_key
        bias = None if query_key.bias is None else query_key.bias[rows]
        qkv = _joined(Mix(query_key.point[rows], bias, query_key.depth[rows]), block.value)
        feed = _joined(block.gate, block.gated)
        sizes = [len(h.project) // len(h.temperature) for h in heads for _ in h.temperature]
        together = torch.block_diag(*(torch.ones(size, size) for size in sizes))
        held = {
            "point": qkv.point,
            "bias": qkv.bias,
            "depth": qkv.depth,
            "feed_point": feed.point,
            "feed_bias": feed.bias,
            "feed_depth": feed.depth,
            "out": block.out,
            "project": torch.block_diag(*(h.project[:, :, 0, 0] for h in heads)),
            "temperature": torch.cat([h.temperature.flatten() for h in heads]).repeat_interleave(torch.tensor(sizes)),
            "apart": together == 0,
        }
        for name, value in held.items():
            self.register_buffer(name, None if value is None else value.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then feed-forward, each added to its input."""
        y = F.conv2d(_normalised(x) if self.normed else x, self.point, self.bias)
        y = _depthwise(y, self.depth).to(y.dtype)
        weights, channels = self.matrices(y), x.shape[1]
        x = x + torch.cat(
            [F.conv2d(y[i : i + 1, 2 * channels :], own[:, :, None, None]) for i, own in enumerate(weights.unbind())]
        )
        y = _depthwise(F.conv2d(_normalised(x) if self.normed else x, self.feed_point, self.feed_bias), self.feed_depth)
        gate, gated = y.chunk(2, dim=1)
        out: Tensor = x + F.conv2d(F.gelu(gate.float()) * gated, self.out)
        return out

    def matrices(self, qkv: Tensor) -> Tensor:
        """The whole attention of each image, with the projection, as a matrix ``[B,C,C]`` of the values."""
        channels = qkv.shape[1] // 3
        with torch.autocast(qkv.device.type, enabled=False):
            gram = torch.stack([_gram(image.flatten(1)) for image in qkv[:, : 2 * channels].unbind()])
            norms = gram.diagonal(dim1=1, dim2=2).sqrt().clamp_min(1e-12)
            query, key = norms[:, :channels, None], norms[:, None, channels:]
            cosines = gram[:, :channels, channels:] / query / key * self.temperature[:, None]
            return self.project @ cosines.masked_fill(self.apart, -torch.inf).softmax(dim=-1)


def _joined(first: Mix, second: Mix) -> Mix:
    """Both as one wider pair of convolutions."""
    biases = [mix.bias for mix in (first, second) if mix.bias is not None]
    return Mix(
        torch.cat((first.point, second.point)),
        torch.cat(biases) if biases else None,
        torch.cat((first.depth, second.depth)),
    )


class FoldedNet(nn.Module):
    """What a network makes of two images, for inference; it keeps weights of its own.

    Args:
        net: the network, float32.
    """

    in_1: Tensor
    in_2: Tensor
    out_0: Tensor
    out_1: Tensor

    def __init__(self, net: ReFusionNet) -> None:
        super().__init__()
        # Narrow convolutions and depthwise ones are many times slower with the channels last, which the compiler likes.
        self.compile_options = {"layout_optimization": False}
        for name, conv in (("in_1", net.project_in_1), ("in_2", net.project_in_2), ("out_0", net.project_out_0)):
            self.register_buffer(name, conv.weight.detach().clone(), persistent=False)
        self.register_buffer("out_1", net.project_out_1.weight.detach().clone(), persistent=False)
        self.encoder1 = nn.Sequential(*map(_Block, fold_blocks(net.encoder1)))
        self.encoder2 = nn.Sequential(*map(_Block, fold_blocks(net.encoder2)))
        self.rest = nn.Sequential(_Block(fold_fusion(net.FM)), *map(_Block, fold_blocks(net.decoder)))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two images float32 ``[B,1,H,W]`` (infrared first, then visible luma); returns float32 ``[B,1,H,W]``."""
        with torch.autocast(first.device.type, enabled=False):
            x1, x2 = F.conv2d(first, self.in_1, padding=1), F.conv2d(second, self.in_2, padding=1)
        x = self.rest(torch.cat((self.encoder1(x1), self.encoder2(x2)), dim=1))
        x = F.leaky_relu(F.conv2d(x, self.out_0, padding=1), 0.01)
        with torch.autocast(x.device.type, enabled=False):
            return torch.sigmoid(F.conv2d(x.float(), self.out_1, padding=1))


def prepared(net: ReFusionNet, arithmetic: Arithmetic, device: torch.device) -> FoldedNet | None:
    """The network multiplied out, where it computes otherwise than in float32 on a CPU; see :func:`fused`."""
    return None if arithmetic.plain(device.type) and device.type == "cpu" else FoldedNet(net).to(device).eval()


def fused(net: ReFusionNet, folded: FoldedNet | None, first: Tensor, second: Tensor) -> Tensor:
    """What the network makes of two images, by the quickest way that there is.

    Args:
        net: the network.
        folded: from :func:`prepared`.
        first: float32 ``[B,1,H,W]`` in [0,1], infrared.
        second: likewise, visible luma.

    Returns:
        ``[B,1,H,W]`` in (0,1); layer by layer where gradients are kept.
    """
    if torch.is_grad_enabled():
        out: Tensor = net(first, second)
    elif folded is not None:
        out = folded(first, second)
    elif first.device.type == "cpu" and first.dtype == torch.float32:
        out = fuse_rows(net, first, second)
    else:
        out = net(first, second)
    return out
