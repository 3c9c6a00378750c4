"""What a step of TDFusion's training sees of a pair: crops for the fusion loss, whole images for the task's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.data import Sample
from fusionbench.tasks.network import Target
from fusionbench.training.data import resize, stacked


@dataclass
class Pairs:
    """Luma pairs for a step: source a and b are infrared and visible, and the other way round where swapped.

    Attributes:
        crops: for the fusion loss, two tensors ``[B,1,h,w]`` in [0,1].
        whole: resized whole images for the task loss, likewise.
        targets: labels of ``whole``; masks may be larger than it by a whole factor.
    """

    crops: tuple[Tensor, Tensor]
    whole: tuple[Tensor, Tensor]
    targets: list[Target]

    def on(self, device: torch.device, swapped: bool) -> Pairs:
        """On a device, and followed by every pair the other way round if asked for."""

        def both(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            a, b = (x.to(device) for x in pair)
            return (torch.cat((a, b)), torch.cat((b, a))) if swapped else (a, b)

        targets = [t.to(device) for t in self.targets]
        return Pairs(both(self.crops), both(self.whole), targets * (2 if swapped else 1))


def lumas(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Infrared and visible luma of samples of one size, float32 ``[B,1,H,W]`` in [0,1]."""
    ir, vis = (stacked([getattr(s, role) for s in samples]) for role in ("ir", "vis"))
    return ir, luma(vis)


def made_smaller(sample: Sample, size: tuple[int, int]) -> Sample:
    """Images and boxes at the size that T sees; the mask stays as it is."""
    return replace(resize(replace(sample, mask=None), size), mask=sample.mask)
