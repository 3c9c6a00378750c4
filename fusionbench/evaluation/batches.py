"""Several pairs of one size through a method at once, for devices that one pair does not keep busy.

Libraries choose their algorithms by the size of a batch, so the last bits of a result may depend on it. Therefore a
batch is always full (its last pair stands in it again where pairs are lacking): a picture depends on its pair and on
how many pairs a batch has, never on which other pairs were left to do. How many they are is part of the picture's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins.method import Context, Method
from fusionbench.runtime.device import computing, device_kind, turn
from fusionbench.runtime.flushing import flushing

PIXELS = 480 * 640  # of a pair, as batches are counted


class Pair(NamedTuple):
    """What is fused: name, infrared uint8 ``[1,H,W]`` and visible uint8 ``[3,H,W]``."""

    ident: str
    ir: np.ndarray
    vis: np.ndarray


def together(batch: int, size: tuple[int, int]) -> int:
    """Pairs of a size that are fused at once: `batch` of 480x640 or smaller ones, fewer of larger ones."""
    return max(1, min(batch, batch * PIXELS // (size[0] * size[1])))


def fuse_pairs(
    method: Method, rule: OutputRule, pairs: Sequence[Pair], device: str, context: Context, batch: int
) -> list[np.ndarray | BaseException]:
    """Fuse pairs of one size and apply the output rule.

    Args:
        method: a built method.
        rule: makes the pictures from what the method returns.
        pairs: of one size.
        device: where the method is.
        context: of the pairs, whose names come from them.
        batch: pairs of 480x640 at once.

    Returns:
        For each pair its 8-bit picture, uint8 ``[1 or 3,H,W]``, or why there is none: a pair that cannot be fused costs
        no other one its picture.
    """
    count = together(batch, (pairs[0].ir.shape[-2], pairs[0].ir.shape[-1]))
    found: list[np.ndarray | BaseException] = []
    for first in range(0, len(pairs), count):
        group = pairs[first : first + count]
        made = _tried(method, rule, group, device, context, count)
        if len(group) > 1 and isinstance(made[0], BaseException):  # one of them at least, so each by itself
            made = [one for pair in group for one in _tried(method, rule, [pair], device, context, count)]
        found += made
    return found


def _tried(
    method: Method, rule: OutputRule, pairs: Sequence[Pair], device: str, context: Context, count: int
) -> list[np.ndarray | BaseException]:
    """Pictures of a batch, or why there is none of any."""
    try:
        return [*_fused(method, rule, pairs, device, context, count)]
    except BaseException as error:  # a plugin's exit, too, is about its pictures
        if count > 1 and isinstance(error, torch.OutOfMemoryError):
            error = FusionbenchError(f"{count} pairs at once do not fit into the device's memory; take a batch of 1")
        return [error] * len(pairs)


def _fused(
    method: Method, rule: OutputRule, pairs: Sequence[Pair], device: str, context: Context, count: int
) -> list[np.ndarray]:
    """The pictures of at most `count` pairs; the batch has `count`."""
    full = [*pairs, *[pairs[-1]] * (count - len(pairs))]
    irs, viss = (_held(np.stack(images), device) for images in ([p.ir for p in full], [p.vis for p in full]))
    colourless = [bool((p.vis == p.vis[:1]).all()) for p in full]
    named = Context([p.ident for p in full], context.dataset, context.split, context.feedback)
    with turn(device), computing(), flushing(), torch.inference_mode():
        a, b = (x.to(device, non_blocking=True).to(torch.float32).div_(255) for x in (irs, viss))
        fused = method.fuse(a, b, named)
        if len(fused) != count or fused.shape[1] not in (1, 3) or fused.shape[-2:] != a.shape[-2:]:
            raise ValueError(
                f"fuse returned {list(fused.shape)} for {count} pairs of {list(a.shape[-2:])}; "
                f"expected [{count},1,H,W] or [{count},3,H,W] of the same size"
            )
        pictures: dict[int, np.ndarray] = {}
        for grey in set(colourless):  # a grey visible image makes a grey picture, whatever stands beside it
            where = [i for i in range(len(pairs)) if colourless[i] == grey]
            if where:
                made = render(fused[where], b[where], rule).cpu().numpy()
                pictures.update(zip(where, made, strict=True))
    return [pictures[i] for i in range(len(pairs))]


def _held(images: np.ndarray, device: str) -> Tensor:
    """Pictures as a tensor that a graphics card fetches by itself, while the processor goes on."""
    tensor = torch.from_numpy(images)
    return tensor.pin_memory() if device_kind(device) == "cuda" else tensor
