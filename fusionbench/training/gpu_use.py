"""How much of a graphics card a run uses: memory, and how busy the card is."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

EVERY = 1.0  # seconds, over which a driver counts


def utilisation(device: torch.device) -> int | None:
    """Percent of about the last second in which the card computed; None where driver or library do not tell."""
    try:
        return int(torch.cuda.utilization(device))
    except Exception:  # pynvml or amdsmi is not installed, or the driver refuses: each has errors of its own
        return None


class GpuUse:
    """Looks at a card after steps, at most once a second; what no library tells is asked for no more.

    Args:
        device: that computes; of a processor nothing is said.
        busy: percent, or None.
        memory: most bytes that torch held on a device.
        clock: seconds.
    """

    def __init__(
        self,
        device: torch.device,
        busy: Callable[[torch.device], int | None] = utilisation,
        memory: Callable[[torch.device], int] = torch.cuda.max_memory_allocated,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device, self.busy, self.memory, self.clock = device, busy, memory, clock
        self._seen: list[int] = []
        self._next = self.clock() + EVERY
        self._silent = device.type != "cuda"

    def look(self) -> None:
        """After a step."""
        if self._silent or self.clock() < self._next:
            return
        self._next = self.clock() + EVERY
        found = self.busy(self.device)
        self._silent = found is None
        if found is not None:
            self._seen.append(found)

    def text(self) -> str:
        """``, 6.8 GiB, GPU 31 % busy`` since the last call, as far as it is known; "" on a processor."""
        if self.device.type != "cuda":
            return ""
        seen, self._seen = self._seen, []
        share = f", GPU {sum(seen) / len(seen):.0f} % busy" if seen else ""
        return f", {self.memory(self.device) / 2**30:.1f} GiB{share}"
