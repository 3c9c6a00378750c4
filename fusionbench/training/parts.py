"""A batch that goes through a network in parts, one after the other, so that large ones fit small cards.

Accumulating the gradients of each part's own loss is another training where a loss is no mean over the batch, and many
of this field are none (a norm over it, the product of its means). Here the parts' outputs are joined, the loss is that
of the whole batch, and on the way back each part is computed again and its gradient added. Held at a time are the
intermediate results of one part; paid is a second forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from fusionbench.errors import FusionbenchError


def take_in_parts(networks: Sequence[nn.Module], count: int) -> None:
    """Let networks take their batches in parts from now on.

    Args:
        networks: called with tensors ``[B,...]``, giving one or several such tensors.
        count: of parts; the last ones may be smaller.

    Raises:
        FusionbenchError: a layer looks at the whole batch, or draws random numbers.
    """
    for network in networks:
        who = type(network).__name__
        for name, layer in network.named_modules():
            if isinstance(layer, _BatchNorm):
                raise FusionbenchError(f"{who} has batch statistics ({name}), which parts would change")
            if "Drop" in type(layer).__name__:
                raise FusionbenchError(f"{who} drops at random ({name}), in parts otherwise than whole")
        network.forward = partial(_parts, network.forward, count)


def _parts(whole: Callable[..., Any], count: int, *inputs: Tensor) -> Any:
    parts = zip(*(x.chunk(count) for x in inputs), strict=True)
    if torch.is_grad_enabled():
        outputs = [checkpoint(whole, *part, use_reentrant=False) for part in parts]
    else:
        outputs = [whole(*part) for part in parts]
    if isinstance(outputs[0], Tensor):
        return torch.cat(outputs)
    return tuple(torch.cat(values) for values in zip(*outputs, strict=True))
