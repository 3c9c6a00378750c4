"""Fusion by fourth-order partial differential equations (FPDE).

Bavirisetti, Xiao, Liu, "Multi-sensor image fusion based on fourth order partial differential equations", International
Conference on Information Fusion, 2017. The base is the image after some steps of a fourth-order diffusion (You,
Kaveh, "Fourth-order partial differential equations for noise removal", IEEE Trans. Image Processing 9(10), 2000),
du/dt = -(c u_xx)_xx - (c u_yy)_yy, the detail what remains. Details are weighted by the principal axis of their joint
covariance, bases averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import principal_weights


def _second(x: Tensor, dim: int) -> Tensor:
    """Central difference of the central difference, one-sided at the ends."""
    return torch.gradient(torch.gradient(x, dim=dim)[0], dim=dim)[0]


def diffused(x: Tensor, steps: int, dt: float, k: float) -> Tensor:
    """Levels 0..255 ``[B,1,H,W]`` after ``steps`` steps of length ``dt``; sides of 2 or more.

    The conductance is ``c(s) = 1/(1 + s/k)`` of ``s``, the length of ``(u_xx, u_yy)``.
    """
    for _ in range(steps):
        xx, yy = _second(x, -1), _second(x, -2)
        conductance = 1 / (1 + torch.hypot(xx, yy) / k)
        x = x - dt * (_second(conductance * xx, -1) + _second(conductance * yy, -2))
    return x


class FPDE(Method):
    """Details by the Karhunen-Loeve transform, bases averaged."""

    def __init__(self, steps: int = 20, dt: float = 0.9, k: float = 1.0) -> None:
        super().__init__(steps=steps, dt=dt, k=k)
        if steps < 1 or min(dt, k) <= 0:
            raise ValueError(f"fpde: needs steps >= 1, dt > 0 and k > 0; got {self.options}")
        self.steps, self.dt, self.k = steps, dt, k

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        images = [255 * ir.double(), 255 * luma(vis).double()]
        bases = [diffused(x, self.steps, self.dt, self.k) for x in images]
        details = [x - base for x, base in zip(images, bases, strict=True)]
        weights = principal_weights(*details)
        fused = (bases[0] + bases[1]) / 2 + weights[0] * details[0] + weights[1] * details[1]
        return (fused / 255).to(ir.dtype)
