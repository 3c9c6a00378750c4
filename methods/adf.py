"""Fusion by anisotropic diffusion (ADF).

Bavirisetti, Dhuli, "Fusion of Infrared and Visible Sensor Images Based on Anisotropic Diffusion and Karhunen-Loeve
Transform", IEEE Sensors Journal 16(1), 2016. The base is the image after some steps of Perona and Malik's
diffusion over its four neighbours (conductance exp(-(g/kappa)^2)), the detail what remains. Details are weighted by the
principal axis of their joint covariance, bases averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import principal_weights


def diffused(x: Tensor, steps: int, rate: float, kappa: float) -> Tensor:
    """Levels 0..255 ``[B,1,H,W]`` after ``steps`` steps; nothing flows over the border."""
    for _ in range(steps):
        change = torch.zeros_like(x)
        for dim in (-1, -2):
            step = x.diff(dim=dim)
            flow = step * torch.exp(-((step / kappa) ** 2))
            size = step.shape[dim]
            change.narrow(dim, 0, size).add_(flow)
            change.narrow(dim, 1, size).sub_(flow)
        x = x + rate * change
    return x


class ADF(Method):
    """Details by the Karhunen-Loeve transform, bases averaged."""

    def __init__(self, steps: int = 10, rate: float = 0.15, kappa: float = 30.0) -> None:
        super().__init__(steps=steps, rate=rate, kappa=kappa)
        if steps < 1 or kappa <= 0 or not 0 < rate <= 0.25:
            raise ValueError(f"adf: needs steps >= 1, kappa > 0 and 0 < rate <= 0.25; got {self.options}")
        self.steps, self.rate, self.kappa = steps, rate, kappa

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        images = [255 * ir.double(), 255 * luma(vis).double()]
        bases = [diffused(x, self.steps, self.rate, self.kappa) for x in images]
        details = [x - base for x, base in zip(images, bases, strict=True)]
        weights = principal_weights(*details)
        fused = (bases[0] + bases[1]) / 2 + weights[0] * details[0] + weights[1] * details[1]
        return (fused / 255).to(ir.dtype)
