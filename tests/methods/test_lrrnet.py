"""LRRNet without gradients works in place, part by part, so that a code of 1 KiB a pixel is held three times at most.

Oracle: the same network with gradients, which takes every code as a whole.
"""

from __future__ import annotations

import pytest
import torch

from fusionbench.evaluation.cost import measure
from fusionbench.evaluation.entries import entries
from fusionbench.methods.lrrnet.network import LRRNet

CODE = 256 * 4  # bytes a pixel


def network() -> LRRNet:
    torch.manual_seed(0)
    made = LRRNet()
    with torch.no_grad():
        for name, values in made.named_parameters():
            if "lamj" in name:
                values.normal_(0, 0.02)  # a threshold may be learned to be negative
            elif "lamz" in name:
                values.fill_(0.7)
    return made


@pytest.mark.parametrize("half", [False, True])
def test_in_place_as_whole(half: bool) -> None:
    made = network()
    ir, vis = torch.rand(2, 2, 1, 21, 34)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        whole = made(ir, vis)
        with torch.inference_mode():
            assert torch.equal(made(ir, vis), whole)
    assert whole.requires_grad
    whole.square().sum().backward()
    assert all(values.grad is not None for values in made.parameters())


@pytest.mark.slow
def test_memory() -> None:
    (entry,) = entries("lrrnet", untrained=True)[0][:1]
    (row,) = measure([entry], (240, 320), "cpu", 1, 1)
    assert row.failure == ""
    assert row.peak_mib is not None
    assert row.peak_mib * 2**20 < 5 * CODE * 240 * 320  # all of it at once would be 6
