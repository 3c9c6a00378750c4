"""The device that computes."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext

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
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0].split(". ")[0].rstrip(".")  # some of torch's reasons are a paragraph
        if f"'{device_kind(device)}' backend" in said.lower():
            said = "this PyTorch was built without it"
        raise FusionbenchError(f"device {device}: {said}; `fusionbench doctor` shows what is there") from None


def devices_of(text: str) -> tuple[str, ...]:
    """The devices that a user named: ``cuda:0,cuda:1``; ``cuda`` stands for all cards that torch sees.

    Raises:
        FusionbenchError: none, or some of another kind.
    """
    devices = tuple(name.strip() for name in text.split(",") if name.strip())
    if len({device_kind(name) for name in devices}) != 1:
        raise FusionbenchError(f"device={text}: name devices of one kind, e.g. cuda:0,cuda:1")
    if "cuda" in devices:
        import torch

        if len(devices) > 1:
            raise FusionbenchError(f"device={text}: cuda alone stands for all cards; else number each")
        count = torch.cuda.device_count()
        return tuple(f"cuda:{number}" for number in range(count)) if count > 1 else devices
    return devices


def device_kind(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


_TURNS: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


def turn(device: str) -> AbstractContextManager[object]:
    """Inside, a thread has a device to itself; a processor, of which there are several, is not waited for.

    Threads that read and write files beside it keep a graphics card busy, which itself does one thing at a time.
    """
    return nullcontext() if device == "cpu" else _TURNS[device]


class computing:
    """Inside, float32 means float32 on a graphics card, or TF32 where that is asked for; whatever torch was set to.

    torch leaves TF32 on for convolutions and off for matrix products. Its switches are the process's, so the first
    context of all threads sets them and the last one puts them back; one inside another changes nothing.

    Args:
        tf32: whether convolutions and matrix products of float32 may be computed in TF32 (10 bits of 23).
    """

    _lock = threading.Lock()
    _inside = 0
    _before = (False, False)

    def __init__(self, tf32: bool = False) -> None:
        self.tf32 = tf32

    def __enter__(self) -> None:
        from torch import backends

        with computing._lock:
            if not computing._inside:
                computing._before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
                backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = self.tf32
            computing._inside += 1

    def __exit__(self, *_: object) -> None:
        from torch import backends

        with computing._lock:
            computing._inside -= 1
            if not computing._inside:
                backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = computing._before
