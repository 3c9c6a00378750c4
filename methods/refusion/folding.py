"""The ReFusion network with its weights multiplied out, for the ways of working in ``fast.py`` and ``folded.py``.

* Weight and bias of the layer normalisation go into the 1x1 convolution behind it.
* Cross attention and gates of the fusion block are written as one wider block, with block-diagonal weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .network import Block, Fusion, LayerNorm


@dataclass
class Mix:
    """Weights of a 1x1 convolution (with bias) and the depthwise 3x3 behind it."""

    point: Tensor
    bias: Tensor | None
    depth: Tensor


@dataclass
class Head:
    """One attention: which channels of the query-key rows it compares, and what comes after the softmax."""

    query: slice
    key: slice
    temperature: Tensor
    project: Tensor


@dataclass
class Folded:
    """A transformer block, or the fusion block, with its weights multiplied out."""

    normed: bool
    query_key: Mix
    value: Mix
    gate: Mix
    gated: Mix
    out: Tensor
    heads: list[Head] = field(default_factory=list)


def fold_block(block: Block) -> Folded:
    """A transformer block."""
    c = len(block.norm1.body.weight)
    attn, ffn = block.attn, block.ffn
    hidden = ffn.project_out.in_channels

    def mix(norm: LayerNorm, conv: nn.Conv2d, depth: nn.Conv2d, part: slice) -> Mix:
        weight = conv.weight[part]
        bias = weight[:, :, 0, 0] @ norm.body.bias
        return Mix(weight * norm.body.weight[:, None, None], bias, depth.weight[part])

    return Folded(
        normed=True,
        query_key=mix(block.norm1, attn.qkv, attn.qkv_dwconv, slice(0, 2 * c)),
        value=mix(block.norm1, attn.qkv, attn.qkv_dwconv, slice(2 * c, None)),
        gate=mix(block.norm2, ffn.project_in, ffn.dwconv, slice(0, hidden)),
        gated=mix(block.norm2, ffn.project_in, ffn.dwconv, slice(hidden, None)),
        out=ffn.project_out.weight,
        heads=[Head(slice(0, c), slice(c, 2 * c), attn.temperature, attn.project_out.weight)],
    )


def fold_blocks(blocks: Iterable[nn.Module]) -> list[Folded]:
    """The transformer blocks among some modules."""
    return [fold_block(b) for b in blocks if isinstance(b, Block)]


def fold_fusion(fm: Fusion) -> Folded:
    """The fusion block, on both feature maps side by side."""
    c = fm.qkv1.in_channels

    def mix(
        first: nn.Conv2d, second: nn.Conv2d, depth1: nn.Conv2d, depth2: nn.Conv2d, part: slice = slice(None)
    ) -> Mix:
        point = torch.block_diag(first.weight[part].flatten(1), second.weight[part].flatten(1))
        return Mix(point[:, :, None, None], None, torch.cat((depth1.weight[part], depth2.weight[part])))

    qkv = fm.qkv1, fm.qkv2, fm.qkv1_dwconv, fm.qkv2_dwconv
    q1, k1, q2, k2 = (slice(i * c, (i + 1) * c) for i in range(4))
    return Folded(
        normed=False,
        query_key=mix(*qkv, slice(0, 2 * c)),
        value=mix(*qkv, slice(2 * c, None)),
        gate=Mix(fm.project_E.weight, None, fm.project_E_d.weight),
        gated=mix(fm.project_E1, fm.project_E2, fm.project_E1_d, fm.project_E2_d),
        out=torch.cat((fm.project_out1.weight, fm.project_out2.weight), dim=1),
        heads=[
            Head(q2, k1, fm.temperature1, fm.project_mid1.weight),
            Head(q1, k2, fm.temperature2, fm.project_mid2.weight),
        ],
    )
