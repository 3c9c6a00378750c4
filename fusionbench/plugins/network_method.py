"""Methods that are one network with a checkpoint: what they all do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.plugins.method import Method
from fusionbench.plugins.records import Value

LARGE = 1_500_000  # pixels, beyond which networks with a halo run tile by tile
SIDE = 768  # of a tile


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


def joined(state: Mapping[str, object]) -> dict[str, object]:
    """One state dict of several: ``net`` and ``name`` in it as ``net.name``; a ``module.`` before names falls away.

    What is no state dict keeps its name, so that one of such names, as recipes export it, comes back unchanged.
    """
    flat = {name: value for name, value in state.items() if not isinstance(value, Mapping)}
    nested = {name: held for name, held in state.items() if isinstance(held, Mapping)}
    return flat | {
        f"{net}.{str(name).removeprefix('module.')}": value
        for net, held in nested.items()
        for name, value in held.items()
    }


def tiled(network: Callable[..., Tensor], halo: int, *images: Tensor, side: int = SIDE) -> Tensor:
    """A network that looks no further than some pixels, tile by tile; the result is that of the whole image.

    Args:
        network: of images ``[B,C,H,W]`` to one of the same height and width, without statistics over the whole image.
        halo: how far it looks, or more; as ``side`` a multiple of the steps of coarser maps and windows.
        images: of one size.
        side: of a tile, without what is computed around it and thrown away.
    """
    high, wide = images[0].shape[-2:]
    rows = []
    for top in range(0, high, side):
        row = []
        for left in range(0, wide, side):
            above, before = min(top, halo), min(left, halo)
            down, across = min(side, high - top), min(side, wide - left)
            ys = slice(top - above, top + down + halo)
            xs = slice(left - before, left + across + halo)
            part = network(*(image[..., ys, xs] for image in images))
            row.append(part[..., above : above + down, before : before + across])
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)


def singly(network: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """A network on each image of a batch by itself.

    For what cuts values to levels: a batch moves the last bit of some, and that would move a level.
    """
    return torch.cat([network(*one) for one in zip(*(x.split(1) for x in images), strict=True)])


class NetworkMethod(Method):
    """Base of methods with one network, in evaluation mode and without gradients.

    A subclass has :meth:`make` and :meth:`fusionbench.method.Method.fuse`, which calls :meth:`run` or ``self.network``;
    :meth:`convert` too where the released file is not the network's state dict.

    Attributes:
        network: the network; its state dict is what a checkpoint holds.
        halo: how many pixels around one it looks at, where that is few; 0 where it looks at all, or sizes matter.
        side: of a tile of a large image; smaller where the network is wide. Both are multiples of the steps of coarser
            maps and windows, so that those of a tile lie where those of the whole image do.
    """

    halo = 0
    side = SIDE

    def __init__(self, **options: Value) -> None:
        super().__init__(**options)
        self.network = self.make().eval().requires_grad_(False)

    def make(self) -> nn.Module:
        """The network with any weights."""
        raise NotImplementedError

    def choice(self, name: str, known: Sequence[str]) -> str:
        """The value of an option that has a few; the first of them where it is not given.

        Raises:
            ValueError: it has no such value.
        """
        value = str(self.options.get(name, known[0]))
        if value not in known:
            raise ValueError(f"{name} is one of {', '.join(known)}, got {value!r}")
        return value

    @classmethod
    def in_tiles(cls, height: int, width: int) -> bool:
        """Whether an image of a size goes tile by tile: large ones, where there is a halo."""
        return cls.halo > 0 and height * width > LARGE

    @classmethod
    def at_once(cls, height: int, width: int) -> int:
        """See :meth:`fusionbench.method.Method.at_once`: the image, or its largest tile."""
        most = cls.side + 2 * cls.halo
        return min(height, most) * min(width, most) if cls.in_tiles(height, width) else height * width

    def run(self, *images: Tensor) -> Tensor:
        """The network on a batch; on large images tile by tile, where there is a halo, so that memory suffices."""
        if self.halo and self.in_tiles(*images[0].shape[-2:]):
            return tiled(self.network, self.halo, *images, side=self.side)
        out: Tensor = self.network(*images)
        return out

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
