"""A graphics card that is none: tensors that are not on the processor, though their numbers lie and are computed there.

What a card would refuse is refused (operations on tensors of two devices), what the program would wait for is counted,
and code that asks whether it is on a processor takes its other way. PyTorch without CUDA has no derivatives of tensors
of the device ``cuda``; so it is called ``meta``, which no code here asks for. Not covered: memory, streams, automatic
precision and pinned memory of :mod:`torch.cuda`, other kernels' rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from tests.waits import WAITS

CARD = torch.device("meta")
COPIES = ("_to_copy", "copy_", "to")


class OnCard(Tensor):
    """A tensor that says it lies on the card.

    Attributes:
        held: its numbers, on the processor.
    """

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCard:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=CARD
        )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"OnCard({list(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {}, [])


class Card(TorchDispatchMode):
    """Inside, there is a card.

    Attributes:
        waits: operations for which the processor would wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {}, self.waits)


class _Made(TorchFunctionMode):
    """``torch.tensor(numbers, device=...)`` makes a tensor here and brings it there; of ``meta`` it has no numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        if name not in ("tensor", "as_tensor", "new_tensor"):
            return func(*args, **kwargs)
        device = kwargs.pop("device", None)
        if name == "new_tensor":
            like, *args = args
            func, device, kwargs = torch.tensor, device or like.device, {"dtype": like.dtype, **kwargs}
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


def _computed(func, args, kwargs, waits: list[str]):
    name, flat = func.overloadpacket.__name__, [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    asked = _asked(func, args, kwargs)
    there = [x for x in flat if isinstance(x, OnCard)]
    # A number of the processor may go along as a tensor without dimensions, and small indices are copied over.
    strange = [x for x in flat if not isinstance(x, OnCard) and x.ndim and "index" not in name]
    if there and strange and name not in COPIES:
        raise RuntimeError(f"{func}: tensors on the card and on cpu, {[list(x.shape) for x in flat]}")
    if there and (name in WAITS or _masked(name, args) or (asked is not None and asked.type == "cpu")):
        waits.append(str(func))
    if name == "copy_" and there and not isinstance(args[0], OnCard):
        waits.append(str(func))
    args_here, kwargs_here = (
        tree_map_only(torch.device, lambda _: torch.device("cpu"), tree_map_only(OnCard, _held, x))
        for x in (args, kwargs)
    )
    out = func(*args_here, **kwargs_here)
    on_card = asked == CARD if asked is not None else bool(there)
    if name == "copy_":
        return args[0]
    known = {id(x.held): x for x in there}  # what is changed in place stays the same object
    return tree_map_only(Tensor, lambda x: known[id(x)] if id(x) in known else OnCard(x) if on_card else x, out)


def _asked(func, args, kwargs) -> torch.device | None:
    """The device that an operation is told of; a name, a device, or another tensor's."""
    if func.overloadpacket.__name__ == "to" and func._overloadname == "other":
        return CARD if isinstance(args[1], OnCard) else torch.device("cpu")
    named = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.device)]
    return named[0] if named else None


def _held(x: OnCard) -> Tensor:
    return x.held


def _masked(name: str, args) -> bool:
    indices = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)


@contextmanager
def card() -> Iterator[Card]:
    """A card, for a while."""
    real = torch.autocast
    torch.autocast = lambda kind, *rest, **options: nullcontext() if kind == CARD.type else real(kind, *rest, **options)
    try:
        with _Made(), Card() as mode:
            yield mode
    finally:
        torch.autocast = real
