from __future__ import annotations

import torch
from _images import levels

from fusionbench.metrics import en


def test_known_entropies():
    every = torch.arange(256.0).reshape(1, 16, 16)
    assert en(every, every, every) == 8
    two = levels([[0, 255], [255, 0]])
    assert en(two, two, two) == 1
    assert en(two * 0, two, two) == 0


def test_levels_are_rounded_and_only_counted():
    a, b = levels([[0.4, 9.6]]), levels([[200, 3]])
    assert en(a, a, a) == en(b, b, b) == 1
