"""SegMiF: features of segmentation in the fusion (ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.method import Context, NetworkMethod, joined, strict
from fusionbench.methods._mit import too_small

from .network import SegMiFNet


class SegMiF(NetworkMethod):
    """Infrared and red in, fused luma out; the mask of the release is empty here."""

    network: SegMiFNet

    def make(self) -> SegMiFNet:
        """See :meth:`NetworkMethod.make`."""
        return SegMiFNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files, a state dict each."""
        return strict(joined(state), self.network)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`.

        Raises:
            ValueError: a picture smaller than 32x32.
        """
        if wanted := too_small(ir):
            raise ValueError(f"segmif needs {wanted}")
        fused: Tensor = self.network(ir, vis[:, :1], torch.zeros_like(vis))
        return fused
