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
