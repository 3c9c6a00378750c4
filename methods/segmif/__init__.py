"""SegMiF: features of segmentation in the fusion (ICCV 2023)."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from fusionbench.colour import grey
from fusionbench.method import Context, NetworkMethod, joined, strict
from fusionbench.methods._mit import too_small

from .network import SegMiFNet, salient


class SegMiF(NetworkMethod):
    """Infrared and red in, fused luma out; the mask of the release is made from both images."""

    network: SegMiFNet

    def make(self) -> SegMiFNet:
        """See :meth:`NetworkMethod.make`."""
        return SegMiFNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the two released files, a state dict each, or as :mod:`.recipe` exports them together."""
        held = joined(state)
        return strict(held, SegMiFNet.like(held))

    def load(self, weights: Path | None) -> None:
        """See :meth:`NetworkMethod.load`; of any size that training has, and any number of classes."""
        if weights is not None:
            self.network = SegMiFNet.like(load_file(weights)).eval().requires_grad_(False)
        super().load(weights)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`.

        Raises:
            ValueError: a picture smaller than 32x32.
        """
        if wanted := too_small(ir):
            raise ValueError(f"segmif needs {wanted}")
        fused: Tensor = self.network(ir, vis[:, :1], salient(ir, grey(vis)).expand_as(vis))
        return fused
