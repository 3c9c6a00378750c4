"""Two-scale image fusion by visual saliency (TIF).

Bavirisetti, Dhuli, "Two-scale image fusion of visible and infrared images using saliency detection", Infrared Physics
& Technology 76, 2016. Base: mean of 35x35; detail: what remains. Saliency: squared difference of that mean and a 3x3
median; the details are weighted by their share of it, the bases averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Context, Method
from fusionbench.methods._filters import box, median3


class TIF(Method):
    """Details by their saliency, bases averaged."""

    def __init__(self, window: int = 35) -> None:
        super().__init__(window=window)
        if window < 1 or window % 2 == 0:
            raise ValueError(f"tif: window is {window}; it must be odd and positive")
        self.window = window

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`."""
        images = [ir.double(), luma(vis).double()]
        bases = [box(x, self.window, "wrap") for x in images]
        salient = [(median3(x) - base) ** 2 for x, base in zip(images, bases, strict=True)]
        total = salient[0] + salient[1]
        weight = torch.where(total > 0, salient[0] / total, 0.5)
        details = [x - base for x, base in zip(images, bases, strict=True)]
        fused = (bases[0] + bases[1]) / 2 + weight * details[0] + (1 - weight) * details[1]
        return fused.to(ir.dtype)
