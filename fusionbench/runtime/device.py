"""The device that computes."""

from __future__ import annotations

from fusionbench.errors import FusionbenchError


def check_device(device: str) -> None:
    """Look whether a device can be used, before any work.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``...

    Raises:
        FusionbenchError: it is not there.
    """
    if device == "cpu":
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FusionbenchError(
            f"device {device}: {str(error).splitlines()[0]}; `fusionbench doctor` shows what is there"
        ) from None


def device_kind(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


def precision(kind: str) -> str:
    """What a kind of device computes float32 networks in: ``float32``, or ``tf32`` where torch is set to it."""
    if kind != "cuda":
        return "float32"
    import torch

    return "tf32" if torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32 else "float32"
