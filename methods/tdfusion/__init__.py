"""TDFusion: task-driven image fusion with a learnable fusion loss (CVPR 2025)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.colour import luma
from fusionbench.method import Arithmetic, Context, Method
from fusionbench.methods.refusion import convert as convert_fusion
from fusionbench.methods.refusion.folded import FoldedNet, fused, prepared
from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet

PARTS = ("F.", "G.")


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors named ``F.*`` (fusion network) and ``G.*`` (loss generation module) from a checkpoint.

    Args:
        state: what training here exports (``F.*``, ``G.*`` or both), or a released file: the fusion network alone,
            flat, each convolution under one name or two.

    Raises:
        ValueError: names or shapes of another network.
    """
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError("expected a plain dict of names and tensors")
    if not any(name.startswith(PARTS) for name in state):
        state = {f"F.{name}": value for name, value in state.items()}
    if extra := sorted(name for name in state if not name.startswith(PARTS)):
        raise ValueError(f"{len(extra)} tensors are neither of F nor of G, first {extra[0]}")
    parts = {p: {n.removeprefix(p): v for n, v in state.items() if n.startswith(p)} for p in PARTS}
    if parts["F."]:
        parts["F."] = convert_fusion(parts["F."])
    if parts["G."]:
        own = LossProposal().state_dict()
        for name in sorted(own.keys() ^ parts["G."].keys()):
            raise ValueError(f"G.{name} is {'missing' if name in own else 'not of the loss generation module'}")
        for name, value in own.items():
            if parts["G."][name].shape != value.shape:
                raise ValueError(f"G.{name} has shape {list(parts['G.'][name].shape)}; needed is {list(value.shape)}")
        parts["G."] = {name: parts["G."][name].detach().float().contiguous() for name in own}
    return {prefix + name: value for prefix, part in parts.items() for name, value in part.items()}


class TDFusion(Method):
    """Luma of both images in, fused luma in [0,1] out; needs a checkpoint.

    A checkpoint without F (ablation ``average``) fuses by the weights of G.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module | None = None
        self.proposal: nn.Module | None = None
        self.folded: FoldedNet | None = None

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`convert`."""
        return convert(state)

    def load(self, weights: Path | None) -> None:
        """Read a converted checkpoint (safetensors), strictly.

        Raises:
            ValueError: no file, or tensors of another network.
        """
        if weights is None:
            raise ValueError("tdfusion needs weights: fusionbench weights add tdfusion FILE, or train it")
        from safetensors.torch import load_file

        state = convert(load_file(weights))
        self.network = _filled(ReFusionNet(), "F.", state)
        self.proposal = _filled(LossProposal(), "G.", state)

    def compute(self, arithmetic: Arithmetic) -> None:
        """See :meth:`fusionbench.method.Method.compute`."""
        if isinstance(self.network, ReFusionNet):
            self.folded = prepared(self.network, arithmetic, self.device)
        super().compute(arithmetic)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`. On a CPU, without gradients, it goes a few rows at a time."""
        y = luma(vis)
        if isinstance(self.network, ReFusionNet):
            return fused(self.network, self.folded, ir, y)
        return (self._weights(ir, y) * torch.cat((ir, y), dim=1)).sum(1, keepdim=True)

    def _weights(self, ir: Tensor, y: Tensor) -> Tensor:
        if self.proposal is None:
            raise ValueError("this checkpoint of tdfusion has no loss generation module (tensors G.*)")
        weights: Tensor = self.proposal(ir, y)
        return weights

    def views(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> dict[str, Tensor]:
        """The weights of the learned loss for one pair: how much each source counts at each pixel.

        Args:
            ir: float32 ``[1,1,H,W]`` in [0,1].
            vis: float32 ``[1,3,H,W]`` in [0,1].
            context: not used.

        Returns:
            ``w_a`` (infrared) and ``w_b`` (visible), ``[1,H,W]`` in [0,1], adding up to 1.

        Raises:
            ValueError: the checkpoint has no G, as released ones.
        """
        with torch.no_grad():
            w = self._weights(ir, luma(vis))[0]
        return {"w_a": w[:1], "w_b": w[1:]}


def _filled(network: nn.Module, prefix: str, state: dict[str, Tensor]) -> nn.Module | None:
    """The network with the tensors under a prefix, for inference; None where there are none."""
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not own:
        return None
    network.load_state_dict(own)
    return network.eval().requires_grad_(False)
