"""Latent low-rank representation (LatLRR).

Li, Wu, "Infrared and visible image fusion using latent low-rank representation", arXiv:1804.08992, 2018. An image X is
split in a low-rank part XZ and a salient part LX by min |Z|_* + |L|_* + lambda |E|_1 with X = XZ + LX + E (Liu, Yan,
"Latent Low-Rank Representation for subspace segmentation and feature extraction", ICCV 2011). Low-rank parts are
averaged, salient parts added, so that the result is brighter than its sources and equal sources do not come back.

The alternating directions of Liu and Yan start from zero. With lambda = 0.8 E hardly leaves it; left out, all their
matrices stay diagonal in the singular vectors of X, so that they are computed here on vectors of singular values
instead of by two decompositions in each of some 250 rounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method

START, GROWTH = 1e-6, 1.1  # of the penalty
ROUNDS = 250


def _shrunk(x: Tensor, by: float) -> Tensor:
    return x.sign() * (x.abs() - by).clamp(min=0)


def shares(s: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """What of each singular value goes to the low-rank and to the salient part; float64 of any shape."""
    z, saliency, y1, y2, y3 = (torch.zeros_like(s) for _ in range(5))
    penalty = START
    for _ in range(rounds):
        j, k = _shrunk(z + y2 / penalty, 1 / penalty), _shrunk(saliency + y3 / penalty, 1 / penalty)
        z = (s * s * (1 - saliency) + j + (s * y1 - y2) / penalty) / (1 + s * s)
        saliency = (s * s * (1 - z) + k + (s * y1 - y3) / penalty) / (1 + s * s)
        y1 = y1 + penalty * s * (1 - z - saliency)
        y2, y3 = y2 + penalty * (z - j), y3 + penalty * (saliency - k)
        penalty *= GROWTH
    return z, saliency


class LatLRR(Method):
    """Low-rank parts averaged, salient parts added."""

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        fused = torch.zeros_like(ir, dtype=torch.float64)
        for x in (ir.double(), luma(vis).double()):
            u, s, v = torch.linalg.svd(x, full_matrices=False)
            low, salient = shares(s)
            fused = fused + (u * (s * (low / 2 + salient))[..., None, :]) @ v
        return fused.to(ir.dtype)
