"""Gradient transfer fusion (GTF).

Ma, Chen, Li, Huang, "Infrared and visible image fusion via gradient transfer and total variation minimization",
Information Fusion 31, 2016. The fused image x minimises |x - u|_1 + lambda |grad(x - v)|_1 of infrared u and visible
v, which with y = x - v is the TV-L1 problem |y - (u - v)|_1 + lambda |grad y|_1. It is solved as by the
authors with iteratively reweighted least squares (Rodriguez, Wohlberg, "Efficient Minimization Method for a Generalized
Total Variation Functional", IEEE Trans. Image Processing 18(2), 2009): a few rounds, each some steps of conjugate
gradients; the minimum itself has coarser edges than what the authors publish.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method

FIDELITY, SMOOTHNESS = 0.05, 0.01  # share of the residuals and gradients below which a weight grows no more
SMALLEST = 1e-6


def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences along rows and columns, zero at the far border."""
    return x.diff(dim=-1, append=x[..., -1:]), x.diff(dim=-2, append=x[..., -1:, :])


def transposed(across: Tensor, down: Tensor) -> Tensor:
    """The transpose of :func:`gradient`."""
    result = torch.zeros_like(across)
    for part, dim in ((across, -1), (down, -2)):
        inner = part.narrow(dim, 0, part.shape[dim] - 1)
        result.narrow(dim, 1, inner.shape[dim]).add_(inner)
        result.narrow(dim, 0, inner.shape[dim]).sub_(inner)
    return result


def _inverse(x: Tensor, share: float) -> Tensor:
    """``1/x``, where the given share of the smallest values of each image counts as one value."""
    flat = x.flatten(1)
    least = flat.kthvalue(max(1, round(share * flat.shape[1])), 1)[0].clamp(min=SMALLEST)
    return 1 / torch.maximum(x, least.view(-1, 1, 1, 1))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def tv_l1(target: Tensor, lam: float, rounds: int, steps: int) -> Tensor:
    """Approximately the y of smallest ``|y - target|_1 + lam |grad y|_1``; ``[B,1,H,W]`` in float64."""
    y = target
    fidelity, smooth = torch.ones_like(target), torch.full_like(target, lam)
    for _ in range(rounds + 1):
        residual = fidelity * (target - y) - transposed(*(smooth * part for part in gradient(y)))
        direction, size = residual, _dot(residual, residual)
        for _ in range(steps):
            image = fidelity * direction + transposed(*(smooth * part for part in gradient(direction)))
            length = size / _dot(direction, image).clamp(min=1e-300)
            y = y + length * direction
            residual = residual - length * image
            size, before = _dot(residual, residual), size
            direction = residual + size / before.clamp(min=1e-300) * direction
        fidelity = _inverse((y - target).abs(), FIDELITY)
        smooth = lam * _inverse(torch.hypot(*gradient(y)), SMOOTHNESS)
    return y


class GTF(Method):
    """Intensities of infrared, gradients of visible."""

    def __init__(self, lam: float = 4.0, rounds: int = 5, steps: int = 20) -> None:
        super().__init__(lam=lam, rounds=rounds, steps=steps)
        if lam <= 0 or rounds < 1 or steps < 1:
            raise ValueError(f"gtf: needs lam > 0, rounds >= 1 and steps >= 1; got {self.options}")
        self.lam, self.rounds, self.steps = lam, rounds, steps

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        visible = luma(vis).double()
        return (visible + tv_l1(ir.double() - visible, self.lam, self.rounds, self.steps)).to(ir.dtype)
