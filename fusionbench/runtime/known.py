"""Fixed inputs whose results are known, computed on a device: a wrong driver or a silent fall-back shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fusionbench.runtime.device import computing

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 128
FINE, FINER = 1 + 2.0**-12, 1 + 2.0**-40  # TF32 makes 1 of the first, float32 of the second; sums of both are exact


def _product(device: str, value: float, kind: str) -> Tensor:
    import torch

    a = torch.full((SIDE, SIDE), value, dtype=getattr(torch, kind), device=device)
    return a @ torch.ones_like(a)


def _convolution(device: str, value: float, kind: str) -> Tensor:
    import torch

    x = torch.full((1, 16, 32, 32), value, dtype=getattr(torch, kind), device=device)
    return torch.nn.functional.conv2d(x, torch.ones(8, 16, 3, 3, dtype=x.dtype, device=device))


def _half(device: str) -> Tensor:
    import torch

    a = torch.arange(SIDE * SIDE, device=device).view(SIDE, SIDE).remainder(8)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        return (a.float() @ torch.eye(SIDE, device=device)).sub_(a)


def _spectrum(device: str) -> Tensor:
    import torch

    x = torch.zeros(1, 48, 64, dtype=torch.float64, device=device)
    x[0, 0, 0] = 3
    return torch.view_as_real(torch.fft.rfft2(x))[..., 0]


def _counts(device: str) -> Tensor:
    import torch

    codes = torch.arange(256 * 1024, device=device).remainder(256)
    return torch.zeros(256, dtype=torch.int64, device=device).scatter_add_(0, codes, torch.ones_like(codes))


def _sum(device: str) -> Tensor:
    import torch

    return torch.arange(2**20, dtype=torch.float64, device=device).sum()


COMPUTED: dict[str, tuple[Callable[[str], Tensor], float]] = {
    "float32 product": (lambda d: _product(d, FINE, "float32"), SIDE * FINE),
    "float32 convolution": (lambda d: _convolution(d, FINE, "float32"), 144 * FINE),
    "float64 product": (lambda d: _product(d, FINER, "float64"), SIDE * FINER),
    "float64 convolution": (lambda d: _convolution(d, FINER, "float64"), 144 * FINER),
    "float64 sum": (_sum, 2.0**19 * (2**20 - 1)),
    "float64 spectrum": (_spectrum, 3.0),
    "bfloat16 product": (_half, 0.0),
    "counts": (_counts, 1024.0),
}


def differing(device: str) -> dict[str, str]:
    """What came out otherwise than it must, by name; empty where every value is right.

    Args:
        device: ``cuda``, ``cuda:1``; ``cpu`` gives the same values.
    """
    import torch

    wrong: dict[str, str] = {}
    for name, (compute, known) in COMPUTED.items():
        try:
            with computing(), torch.no_grad():
                value = compute(device)
            if value.device.type != torch.device(device).type:
                wrong[name] = f"computed on {value.device}"
                continue
            off = float((value.double().cpu() - known).abs().max())
        except RuntimeError as error:
            wrong[name] = str(error).splitlines()[0]
            continue
        if off != 0:  # NaN too
            wrong[name] = f"off by {off:.3g} where {known:.15g} is right"
    return wrong
