"""How networks compute: in which arithmetic, and whether they are compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionbench.errors import FusionbenchError, find

if TYPE_CHECKING:
    from torch import nn

BY_DEVICE = {"cpu": ("float32", "bf16"), "cuda": ("float32", "tf32", "bf16")}  # others: float32
PRECISIONS = ("float32", "tf32", "bf16")
ALIASES = {"fp32": "float32", "bfloat16": "bf16"}
SIZES = 256  # sizes of pictures for which one network may be compiled


@dataclass(frozen=True)
class Arithmetic:
    """What a network's forward pass is computed in.

    Attributes:
        precision: ``float32``; ``tf32``: convolutions and matrix products in TF32; ``bf16``: in bfloat16, by autocast.
            Weights and whatever is around the network stay float32.
        compiled: whether it goes through ``torch.compile``, for each size of picture anew, so that no result depends on
            which sizes came before.
    """

    precision: str = "float32"
    compiled: bool = False

    def plain(self, kind: str) -> bool:
        """Whether a network may stay as it is written: nothing is asked for, and the device is not CUDA."""
        return kind != "cuda" and self == Arithmetic()

    @contextmanager
    def running(self, kind: str) -> Iterator[None]:
        """Inside, torch computes in this arithmetic on a kind of device; its switches are put back."""
        import torch

        with ExitStack() as stack:
            if self.precision == "tf32":
                stack.enter_context(_tf32())
            if self.precision == "bf16":
                stack.enter_context(torch.autocast(kind, dtype=torch.bfloat16))
            if self.compiled:
                stack.enter_context(_each_size())
            yield

    def apply(self, network: nn.Module, kind: str) -> None:
        """From now on calls of the network compute so; what it returns is float32 as before.

        Args:
            network: where it has an attribute ``compile_options``, these are given to the compiler.
            kind: of the device that it is on.
        """
        if self == Arithmetic():
            return
        forward: Callable[..., Any] = network.forward
        if self.compiled:
            import torch

            forward = torch.compile(forward, dynamic=False, options=getattr(network, "compile_options", None))

        def computed(*inputs: Any, **named: Any) -> Any:
            with self.running(kind), _told():
                return _single(forward(*inputs, **named))

        network.forward = computed


def settled(kind: str, precision: str) -> str:
    """The precision that is meant, where a kind of device has it.

    Raises:
        FusionbenchError: there is none of that name, or not on that device.
    """
    name = find(ALIASES.get(precision.strip().lower(), precision), PRECISIONS, "no precision")
    have = BY_DEVICE.get(kind, ("float32",))
    if name not in have:
        raise FusionbenchError(f"precision={name}: a device of kind {kind} computes in {' or '.join(have)}")
    return name


def check_compiler(device: str) -> None:
    """Compile something small, before any work.

    Raises:
        FusionbenchError: it cannot be done here.
    """
    import torch

    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1

    with _told():
        torch.compile(doubled)(torch.ones(3, device=device))


@contextmanager
def _told() -> Iterator[None]:
    """What the compiler cannot do, in one line."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise FusionbenchError(f"compiled=True: torch cannot compile here: {lines[0] if lines else error!r}") from error


@contextmanager
def _tf32() -> Iterator[None]:
    """TF32 for the networks of a run; around them it is off, see :class:`fusionbench.runtime.device.computing`."""
    from torch import backends

    before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before


def _each_size() -> Any:
    """Beyond its limit the compiler would go on without compiling, and another result, unless told to fail."""
    import torch

    return torch._dynamo.config.patch(recompile_limit=SIZES, fail_on_recompile_limit_hit=True)


def _single(value: Any) -> Any:
    """Tensors of half precision in what a network returned as float32."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, dict):
        return {name: _single(part) for name, part in value.items()}
    return type(value)(map(_single, value)) if type(value) in (list, tuple) else value
