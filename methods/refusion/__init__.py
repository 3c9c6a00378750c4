"""ReFusion: fusion learned from reconstruction (IJCV 2024)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from fusionbench.colour import luma
from fusionbench.method import Arithmetic, Context, Method

from .folded import FoldedNet, fused, prepared
from .network import ReFusionNet

TWIN = ".conv."  # the released files list every convolution as X.weight and again as X.conv.weight


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's 86 tensors from a released checkpoint.

    Args:
        state: the file's state dict: 140 names, each convolution twice; or 86 without the second names.

    Raises:
        ValueError: a pair of names with different tensors, or names or shapes of another network.
    """
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError("expected a plain dict of names and tensors")
    for name, value in state.items():
        if TWIN in name:
            plain = name.replace(TWIN, ".")
            if plain not in state or state[plain].shape != value.shape or not state[plain].equal(value):
                raise ValueError(f"{name} should be the same tensor as {plain}, and is not")
    tensors = {name: value.detach().float().contiguous() for name, value in state.items() if TWIN not in name}
    wanted = {name: value.shape for name, value in ReFusionNet().state_dict().items()}
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise ValueError(f"{len(missing)} tensors of the network are missing, first {missing[0]}")
    if extra := sorted(tensors.keys() - wanted.keys()):
        raise ValueError(f"{len(extra)} tensors are not of this network, first {extra[0]}")
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has shape {list(tensors[name].shape)}; the network needs {list(shape)}")
    return {name: tensors[name] for name in wanted}


class ReFusion(Method):
    """Luma of both images in, fused luma in (0,1) out; needs a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ReFusionNet().eval().requires_grad_(False)
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
            raise ValueError("refusion needs weights: fusionbench weights add refusion FILE")
        from safetensors.torch import load_file

        self.network.load_state_dict(convert(load_file(weights)))

    def compute(self, arithmetic: Arithmetic) -> None:
        """See :meth:`fusionbench.method.Method.compute`."""
        self.folded = prepared(self.network, arithmetic, self.device)
        super().compute(arithmetic)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`. On a CPU, without gradients, it goes a few rows at a time."""
        return fused(self.network, self.folded, ir, luma(vis))
