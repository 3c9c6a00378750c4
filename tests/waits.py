"""What waits for a graphics card, noticed on a processor."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "unique_dim", "equal", "item")


class Waits(TorchDispatchMode):
    """Counts operations, and which of them need a value or a size from the device.

    Attributes:
        operations: all.
        waiting: names of those that wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.waiting = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        self.operations += 1
        if name in WAITS or any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices):
            self.waiting.append(str(func))
        return func(*args, **(kwargs or {}))


class NeverWaits(Waits):
    """Refuses them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if self.waiting:
            raise AssertionError(f"{self.waiting[0]} waits for the device")
        return result
