"""Every method on pairs that nobody would choose: a pixel, a row, one level; other layouts of memory, gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

import fusionbench
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import Entry, entries
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.small import TINY, in_words, told
from fusionbench.plugins.cards import MethodCard, cards

SLOW = 3_000_000  # parameters, beyond which a method is left to `make test-all`
TINY_SIZES = ((1, 1), (1, 9), (9, 1), (2, 3), (3, 2), (5, 40), (17, 23))
NEAR = 5e-4  # an eighth of a grey level: random weights carry the last bit of a black picture far
FLAT = 0.02  # of a black picture: five levels of nothing
SIDES = (33, 35)  # from which on every method fuses
EVERY = [
    pytest.param(
        card,
        id=card.name,
        marks=[pytest.mark.slow] if (card.facts.parameters or 0) > SLOW or card.facts.slow else [],
    )
    for card in cards("method").values()
    if not card.facts.precomputed
]


def entry_of(card: MethodCard) -> Entry:
    """The method with weights that come with it, or with those that its network begins with."""
    found, missing = entries(card.name, untrained=True)
    if not found:
        pytest.skip(str(missing[0]))  # a dictionary that is no network
    return found[0]


@contextmanager
def refusal(words: str) -> Iterator[None]:
    """Inside, a picture may be refused with these words, and with no others."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not re.search(words, str(error)):
            raise


def noise(channels: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 99 + width).integers(0, 256, (channels, height, width), dtype=np.uint8)


def flat(channels: int, level: int) -> np.ndarray:
    return np.full((channels, *SIDES), level, dtype=np.uint8)


@pytest.mark.parametrize("card", EVERY)
def test_tiny_pairs_and_flat_ones(card: MethodCard) -> None:
    entry = entry_of(card)
    method, rule = entry.build("cpu"), entry.output_rule()
    for size in TINY_SIZES:
        refused = rf"a pair of {size[1]}x{size[0]} pixels is too small|at least \d+x\d+, got {size[0]}x{size[1]}$"
        with refusal(refused), told(size):
            picture = fuse_pair(method, rule, noise(1, *size), noise(3, *size))
            assert (picture.dtype, picture.shape[-2:]) == (np.uint8, size)
    sources = [(flat(1, a), flat(3, b)) for a in (0, 77, 255) for b in (0, 77, 255)]
    for ir, vis in (*sources, (noise(1, *SIDES), flat(3, 0)), (flat(1, 0), noise(3, *SIDES))):
        assert fuse_pair(method, rule, ir, vis).shape[-2:] == SIDES  # and no NaN, of which it makes an error


def three(channels: int) -> Tensor:
    """A batch of a picture, a black one and a dark one."""
    images = torch.rand(3, channels, *SIDES, generator=torch.Generator().manual_seed(channels))
    return images * torch.tensor([1.0, 0.0, 0.1])[:, None, None, None]


def same(one: Tensor, other: Tensor) -> None:
    """Alike, picture by picture; on a black one LRRNet divides what rounding leaves by 1e-5."""
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        torch.testing.assert_close(a, b, rtol=0, atol=FLAT if number == 1 else NEAR)


@pytest.mark.parametrize("card", EVERY)
def test_batches_layouts_and_gradients(card: MethodCard) -> None:
    torch.manual_seed(0)  # of random weights
    method = entry_of(card).build("cpu")
    ir, vis = three(1), three(3)
    with torch.inference_mode():
        together = method.fuse(ir, vis)
        assert together.isfinite().all()
        same(together, torch.cat([method.fuse(a[None], b[None]) for a, b in zip(ir, vis, strict=True)]))
        turned = ir.transpose(2, 3).contiguous().transpose(2, 3)
        spread = vis.repeat_interleave(2, dim=3)[..., ::2]
        for other in (vis.to(memory_format=torch.channels_last), spread):
            same(together, method.fuse(turned, other))
    same(together, method.fuse(ir.clone().requires_grad_(), vis.clone().requires_grad_()).detach())


def test_what_is_too_small_is_said_in_words() -> None:
    size = (5, 40)
    error = RuntimeError("Argument #6: Padding size should be less than the corresponding input dimension, but got 9")
    assert str(in_words(error, size)) == "a pair of 40x5 pixels is too small for this method; take larger pictures"
    assert in_words(error, (TINY, TINY)) is error  # of a large picture it says something else
    other = RuntimeError("boo")
    assert in_words(other, size) is other
    with pytest.raises(RuntimeError, match="boo"), told(size):
        raise other


def test_the_python_interface_says_it_too() -> None:
    with pytest.raises(FusionbenchError, match=r"fpde: a pair of 1x1 pixels is too small for this method; take larger"):
        fusionbench.fuse("fpde", noise(1, 1, 1)[0], noise(1, 1, 1)[0])
    one, other = noise(1, 9, 9)[0], noise(1, 9, 10)[0]
    with pytest.raises(FusionbenchError, match=r"ir is \(9, 9\) but vis is \(9, 10\); pairs must be aligned"):
        fusionbench.fuse("average", one, other)
    for wrong in (one.astype(np.float32), one[None, None], one[:0], np.asfortranarray(noise(3, 9, 9))):
        with pytest.raises(FusionbenchError, match=r"needs uint8 \[H,W\] or \[H,W,3\]"):
            fusionbench.fuse("average", wrong, one)
