"""Metrics as objects that gather one value per image, in torchmetrics' update/compute form."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ._planes import Images, Metric


class MeanOverImages:
    """Mean of a metric over every image seen.

    Subclasses set `function`. NaN values (the metric is undefined for that image) are left out of the mean and
    counted; an infinite one (PSNR of a copy) makes the mean infinite.

    Args:
        levels: the white level of images in a float type, 1 or 255, see :class:`fusionbench.metrics._planes.Metric`.
        **options: what the function takes.

    Example:
        >>> from fusionbench.metrics import EN
        >>> en = EN()
        >>> flat = torch.zeros(2, 1, 8, 8)
        >>> en.update(flat, flat, flat)
        >>> en.compute()
        tensor(0., dtype=torch.float64)
    """

    function: ClassVar[Metric]

    def __init__(self, *, levels: float | None = None, **options: bool | int | float | str) -> None:
        self.levels, self.options = levels, options
        self._batches: list[Tensor] = []

    def update(self, fused: Images, ir: Images, vis: Images) -> None:
        """Score a batch, or one image ``[H,W]``: tensors or arrays, grey levels 0..255."""
        self._batches.append(type(self).function(fused, ir, vis, levels=self.levels, **self.options).double())

    @property
    def values(self) -> Tensor:
        """One value per image in the order seen, ``[N]`` in float64."""
        return torch.cat(self._batches) if self._batches else torch.empty(0, dtype=torch.float64)

    @property
    def excluded(self) -> Tensor:
        """How many images have no value."""
        return self.values.isnan().sum()

    def compute(self) -> Tensor:
        """Mean over the images that have a value; NaN if none has."""
        return self.values.nanmean()

    def reset(self) -> None:
        """Forget every image."""
        self._batches.clear()
