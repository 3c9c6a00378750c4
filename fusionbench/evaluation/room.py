"""Whether a picture fits into memory, before it is begun."""

from __future__ import annotations

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import Entry
from fusionbench.plugins.registry import resolve
from fusionbench.runtime.device import device_kind
from fusionbench.runtime.memory import room

SMALL = 256 << 20  # bytes that are there


def check_room(entry: Entry, size: tuple[int, int], device: str, count: int = 1) -> None:
    """Refuse a picture that needs more memory than there is, on a CPU, where the card says how much it needs.

    A process that is out of memory is ended by the system without a word.

    Args:
        entry: that would make it.
        size: height and width of the pair.
        device: ``cpu``, ``cuda:1``...
        count: pairs of that size at once.

    Raises:
        FusionbenchError: it does not fit, in one line.
    """
    height, width = size
    each = entry.card.facts.memory * count
    if each * height * width < SMALL or device_kind(device) != "cpu":
        return
    needed = each * resolve("method", entry.card.name).at_once(height, width)
    there = room()
    if there is not None and needed > there:
        what, remedy = ("a picture", "") if count == 1 else (f"a batch of {count}", "take a batch of 1, ")
        raise FusionbenchError(
            f"{entry.id}: {what} of {width}x{height} pixels needs about {needed / 2**30:,.1f} GiB of memory, "
            f"and {there / 2**30:,.1f} GiB are free; {remedy}make the images smaller, or take another method"
        )
