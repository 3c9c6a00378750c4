"""A split's images on the device of a run, once; batches are drawn there by index, cut, mirrored and resized there."""

from __future__ import annotations

from dataclasses import replace

import torch

from fusionbench.errors import FusionbenchError
from fusionbench.training.ahead import ahead
from fusionbench.training.data import TrainingSplit
from fusionbench.training.options import Note

SHARE = 0.4  # of the card's free memory that images may take


def reside(split: TrainingSplit, device: torch.device, workers: int, note: Note) -> None:
    """Put the images of a split, uint8, onto a device; labels stay in this process.

    Args:
        split: whose ``resident`` is set; left as it is where the card has no room, with a note.
        device: of the run; the processor too, where they then lie in memory.
        workers: threads that read.
        note: takes remarks.

    Raises:
        FusionbenchError: no memory left.
    """
    room = SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")
    held, size = [], 0
    name = f"{split.dataset.name} {split.split}"
    try:
        for sample in ahead(split.read, range(len(split)), workers):
            size += sample.ir.nbytes + sample.vis.nbytes
            if size > room:
                note(
                    f"{name}: over {room / 2**30:.1f} GiB, {SHARE:.0%} of what {device} has free; loaded batch by batch"
                )
                return
            images = {role: torch.from_numpy(getattr(sample, role)).to(device) for role in ("ir", "vis")}
            held.append(replace(sample, **images))  # type: ignore[arg-type]  # tensors, see `TrainingSplit.held`
    except (torch.OutOfMemoryError, MemoryError):
        raise FusionbenchError(f"{name}: no memory on {device} for its images; take resident=false") from None
    note(f"{name}: {len(held)} pairs lie on {device}, {size / 2**20:.0f} MiB")
    split.resident = held
