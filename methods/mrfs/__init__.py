"""MRFS: fusion and segmentation that reinforce each other (CVPR 2024)."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from fusionbench.method import Context, NetworkMethod, strict

from .network import MRFSNet

HEIGHT, WIDTH = 480, 640  # smaller pictures are padded to it


class MRFS(NetworkMethod):
    """Infrared and colours in, colours in (0,1) out."""

    network: MRFSNet

    def make(self) -> MRFSNet:
        """See :meth:`NetworkMethod.make`."""
        return MRFSNet()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file: a state dict, or what lies under ``model``, ``state_dict`` or ``module``."""
        for name in ("model", "state_dict", "module"):
            held = state.get(name)
            state = held if isinstance(held, dict) else state
        return strict(state, MRFSNet.like(state))

    def load(self, weights: Path | None) -> None:
        """See :meth:`NetworkMethod.load`; of any size that training has, and any number of classes."""
        if weights is not None:
            self.network = MRFSNet.like(load_file(weights)).eval().requires_grad_(False)
        super().load(weights)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; smaller pictures stand in the middle of black 640x480."""
        height, width = ir.shape[-2:]
        rows, columns = max(HEIGHT - height, 0), max(WIDTH - width, 0)
        top, left = rows // 2, columns // 2
        y, x = (F.pad(a, (left, columns - left, top, rows - top)) for a in (vis, ir.expand_as(vis)))
        fused: Tensor = self.network(y, x)
        return fused[..., top : top + height, left : left + width]
