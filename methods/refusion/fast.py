"""The ReFusion network on a CPU: the same numbers as ``network.py``, a few rows at a time.

Worked layer by layer, an image of 480x640 moves through several gigabytes of intermediate maps, and most of the time
goes into memory. Here only the feature map is kept whole; everything wider lives for a handful of rows, in the cache:

* Rows flow through a chain of stages. A depthwise 3x3 needs one row more than it returns, so each stage trails the one
  before it by a row. Each remembers the last two rows of its input; updates of the feature map happen in place.
* Channel attention must have seen a whole image before it can be applied. What it needs of it is small: products of
  query and key channels and their squares. The chain of one block collects them for the block after it.
* After the softmax, attention is a linear map between channels: one small matrix, with the projection behind it.
* Weights are multiplied out first (``folding.py``).
* Everything is laid out [rows, columns, channels], and convolutions go to oneDNN where PyTorch has it. (PyTorch would
  hand 1x1 convolutions to a matrix product, which on some processors is half as fast.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .folding import Folded, Mix, fold_blocks, fold_fusion
from .network import EPS, ReFusionNet

PIXELS = 8192  # per step; of those tried, about the best with one and with two threads
ROWS = 8  # per step at least; must exceed the number of stages in a chain
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch, "mkldnn_convolution")


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, pad: int = 0, groups: int = 1) -> Tensor:
    """Rows [h,w,C] to rows [h or fewer,w,N]; only columns are padded."""
    x = x[None].permute(0, 3, 1, 2)
    if ONEDNN:
        y = torch.mkldnn_convolution(x, weight, bias, (0, pad), (1, 1), (1, 1), groups)
    else:
        y = F.conv2d(x, weight, bias, padding=(0, pad), groups=groups)
    return y.permute(0, 2, 3, 1).contiguous()[0]


def _normalise(x: Tensor, out: Tensor) -> None:
    """Zero mean and unit variance over the channels; [pixels, channels]."""
    share = x.new_full((x.shape[1],), 1 / x.shape[1])
    torch.sub(x, (x @ share)[:, None], out=out)
    out.mul_((out.square() @ share).add_(EPS).rsqrt_()[:, None])


class _Stage:
    """Something done to the rows of the feature map ``x`` [H,W,C], from top to bottom."""

    def __init__(self, x: Tensor, block: Folded, step: int):
        self.x, self.block = x, block
        self.held = x.new_zeros(step + ROWS, *x.shape[1:])  # the (normalised) input; two rows stay for the next step
        self.seen = self.done = 0

    def advance(self, ready: int) -> int:
        """Rows before ``ready`` are final for this stage; returns the same number for the stage behind it."""
        height, channels = self.x.shape[0], self.x.shape[2]
        self.first, self.last = self.seen == 0, ready == height
        rows = self.x[self.seen : ready]
        end = 2 + len(rows)
        if self.block.normed:
            _normalise(rows.reshape(-1, channels), self.held[2:end].view(-1, channels))
        else:
            self.held[2:end] = rows
        self.input = self.held[int(self.first) : end + int(self.last)]  # with one row above and below the image
        done = height if self.last else ready - 1
        self.work(self.x[self.done : done])
        self.held[:2] = self.held[end - 2 : end].clone()
        self.seen, self.done = ready, done
        return done

    def mix(self, weights: Mix) -> Tensor:
        """Both convolutions; the rows outside the image are zero between them, as padding has it."""
        y = _convolve(self.input, weights.point, weights.bias)
        if self.first:
            y[0] = 0
        if self.last:
            y[-1] = 0
        return _convolve(y, weights.depth, pad=1, groups=len(weights.depth))

    def work(self, target: Tensor) -> None:
        """Do it for the rows that have become complete."""
        raise NotImplementedError


class _Collect(_Stage):
    """Sums what attention needs over all pixels; changes nothing."""

    def __init__(self, x: Tensor, block: Folded, step: int):
        super().__init__(x, block, step)
        self.squares: list[Tensor] = []
        self.products: list[Tensor] = []

    def work(self, target: Tensor) -> None:
        y = self.mix(self.block.query_key).flatten(0, 1)
        self.squares.append((y * y).sum(0))
        self.products.append(torch.stack([y[:, h.query].t() @ y[:, h.key] for h in self.block.heads]))

    def matrix(self) -> Tensor:
        """Weights [C,C,1,1] of the whole attention as a 1x1 convolution of the values."""
        squares, products = (torch.stack(t).double().sum(0) for t in (self.squares, self.products))
        norms = squares.sqrt().clamp_min(1e-12)
        parts = []
        for head, p in zip(self.block.heads, products, strict=True):
            heads = len(head.temperature)
            size = len(p) // heads
            cosines = (p / norms[head.query, None] / norms[head.key]).view(heads, size, heads, size)
            own = cosines.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # channels are compared within a head
            weights = torch.block_diag(*(own * head.temperature).softmax(dim=-1))
            parts.append(head.project[:, :, 0, 0] @ weights.to(head.project.dtype))
        matrix: Tensor = torch.block_diag(*parts)
        return matrix[:, :, None, None]


class _Attend(_Stage):
    """Adds the attention's result."""

    def __init__(self, x: Tensor, block: Folded, step: int, matrix: Tensor):
        super().__init__(x, block, step)
        self.matrix = matrix

    def work(self, target: Tensor) -> None:
        target += _convolve(self.mix(self.block.value), self.matrix)


class _Feed(_Stage):
    """Adds the gated feed-forward's result."""

    def work(self, target: Tensor) -> None:
        target += _convolve(F.gelu(self.mix(self.block.gate)).mul_(self.mix(self.block.gated)), self.block.out)


def _through(x: Tensor, blocks: list[Folded], step: int) -> None:
    """Send the feature map through the blocks, in place."""

    def run(*stages: _Stage) -> None:
        for row in range(0, len(x), step):
            ready = min(row + step, len(x))
            for stage in stages:
                ready = stage.advance(ready)

    collect = _Collect(x, blocks[0], step)
    run(collect)
    for i, block in enumerate(blocks):
        stages = [_Attend(x, block, step, collect.matrix()), _Feed(x, block, step)]
        if i + 1 < len(blocks):
            collect = _Collect(x, blocks[i + 1], step)
            stages.append(collect)
        run(*stages)


def _fuse_one(net: ReFusionNet, pair: list[Tensor], encoders: list[list[Folded]], rest: list[Folded]) -> Tensor:
    height, width = pair[0].shape[-2:]
    step = max(ROWS, PIXELS // width)
    x = pair[0].new_empty(height, width, 2 * net.project_in_1.out_channels)
    halves = x.chunk(2, dim=-1)
    for half, image, conv, blocks in zip(halves, pair, (net.project_in_1, net.project_in_2), encoders, strict=True):
        padded = F.pad(image, (1, 1, 1, 1))
        for row in range(0, height, step):
            half[row : row + step] = F.conv2d(padded[:, row : row + step + 2], conv.weight).permute(1, 2, 0)
        _through(half, blocks, step)
    _through(x, rest, step)

    result = x.new_empty(1, height, width)
    for row in range(0, height, 2 * step):
        end = min(row + 2 * step, height)
        top, bottom = max(row - 2, 0), min(end + 2, height)  # two rows more, for two 3x3 convolutions
        y = F.conv2d(x[None, top:bottom].permute(0, 3, 1, 2), net.project_out_0.weight, padding=1)
        y = F.conv2d(F.leaky_relu_(y, 0.01), net.project_out_1.weight, padding=1)
        result[:, row:end] = y[0, :, row - top : end - top]
    return result.sigmoid_()


@torch.no_grad()
def fuse(net: ReFusionNet, first: Tensor, second: Tensor) -> Tensor:
    """What ``net(first, second)`` returns, to 1e-5.

    Args:
        net: the network, float32, on the CPU.
        first: float32 ``[B,1,H,W]`` in [0,1], infrared; any height and width.
        second: likewise, visible luma.

    Returns:
        ``[B,1,H,W]`` in (0,1), without gradients; the same bits every time for the same number of threads.
    """
    encoders = [fold_blocks(net.encoder1), fold_blocks(net.encoder2)]
    rest = [fold_fusion(net.FM), *fold_blocks(net.decoder)]
    return torch.stack([_fuse_one(net, list(pair), encoders, rest) for pair in zip(first, second, strict=True)])
