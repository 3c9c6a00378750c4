"""Methods that are one network with a checkpoint: what they all do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.plugins.method import Method
from fusionbench.plugins.records import Value


def strict(state: Mapping[str, object], network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a state dict, when they are those of a network and nothing else; floats as float32.

    Args:
        state: names and tensors as read from a checkpoint.
        network: with the same names and shapes.

    Raises:
        ValueError: a name is missing or is not the network's, or a tensor has another shape.
    """
    wanted = network.state_dict()
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("expected a plain dict of names and tensors")
    if missing := [name for name in wanted if name not in state]:
        raise ValueError(f"{len(missing)} tensors of the network are missing, first {missing[0]}")
    if extra := [name for name in state if name not in wanted]:
        raise ValueError(f"{len(extra)} tensors are not of this network, first {extra[0]}")
    tensors: dict[str, Tensor] = {}
    for name, own in wanted.items():
        value = state[name]
        assert isinstance(value, Tensor)
        if value.shape != own.shape:
            raise ValueError(f"{name} has shape {list(value.shape)}; the network needs {list(own.shape)}")
        tensors[name] = value.detach().to(own.dtype).contiguous().clone()
    return tensors


def singly(network: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """A network on each image of a batch by itself.

    For what cuts values to levels: a batch moves the last bit of some, and that would move a level.
    """
    return torch.cat([network(*one) for one in zip(*(x.split(1) for x in images), strict=True)])


class NetworkMethod(Method):
    """Base of methods with one network, in evaluation mode and without gradients.

    A subclass has :meth:`make` and :meth:`fusionbench.method.Method.fuse`; :meth:`convert` too where the released file
    is not the network's state dict.

    Attributes:
        network: the network; its state dict is what a checkpoint holds.
    """

    def __init__(self, **options: Value) -> None:
        super().__init__(**options)
        self.network = self.make().eval().requires_grad_(False)

    def make(self) -> nn.Module:
        """The network with any weights."""
        raise NotImplementedError

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`fusionbench.method.Method.convert` and :func:`strict`."""
        return strict(state, self.network)

    def load(self, weights: Path | None) -> None:
        """Read a converted checkpoint (safetensors), strictly.

        Raises:
            ValueError: no file, or tensors of another network.
        """
        if weights is None:
            raise ValueError("this method needs weights; `fusionbench weights list` shows which, and how to add them")
        from safetensors.torch import load_file

        self.network.load_state_dict(strict(load_file(weights), self.network))
